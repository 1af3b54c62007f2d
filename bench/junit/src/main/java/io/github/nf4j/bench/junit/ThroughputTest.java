package io.github.nf4j.bench.junit;

import java.lang.annotation.Documented;
import java.lang.annotation.ElementType;
import java.lang.annotation.Retention;
import java.lang.annotation.RetentionPolicy;
import java.lang.annotation.Target;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.ExtendWith;

/// A test whose body is an operation that must be fast enough, compared with another method of the same class:
///
/// ```java
/// @ThroughputTest(baseline = "unfused", atLeast = 1.2)
/// void fused() {
///     kernel.run(x, y);
/// }
///
/// void unfused() {
///     first.run(x, t);
///     second.run(t, y);
/// }
/// ```
///
/// Both are called many times, in turns, in this process, so whatever else the machine does hits both. The test fails only when
/// three measurements are each sure that it is too slow. There are no times in it, only ratios: it means the same on every machine.
///
/// Each body should take more than some hundred nanoseconds, use what it computes, and leave things so that it can be called again.
@Test
@Documented
@Retention(RetentionPolicy.RUNTIME)
@Target(ElementType.METHOD)
@ExtendWith(ThroughputExtension.class)
public @interface ThroughputTest {
    /// The method without parameters that this one is compared with.
    String baseline();

    /// Calls per second of this method / calls per second of the baseline. With [#stored]: share of the stored ratio.
    double atLeast() default 0.9;

    /// A properties file, relative to the working directory, with the ratio that was once reached: the test guards against losing
    /// it. Run once with `-Dnf4j.throughput.update=true` to write it. Empty compares with the baseline alone.
    String stored() default "";
}
