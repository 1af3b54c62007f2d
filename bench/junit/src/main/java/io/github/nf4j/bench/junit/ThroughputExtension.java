package io.github.nf4j.bench.junit;

import io.github.nf4j.bench.stats.Interval;
import java.io.IOException;
import java.io.Reader;
import java.io.Writer;
import java.lang.reflect.InvocationTargetException;
import java.lang.reflect.Method;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Locale;
import java.util.Properties;
import org.junit.jupiter.api.extension.ExtensionConfigurationException;
import org.junit.jupiter.api.extension.ExtensionContext;
import org.junit.jupiter.api.extension.InvocationInterceptor;
import org.junit.jupiter.api.extension.ReflectiveInvocationContext;
import org.junit.platform.commons.support.AnnotationSupport;
import org.junit.platform.commons.support.ReflectionSupport;
import org.opentest4j.AssertionFailedError;

/// Calls the body of a [ThroughputTest] and its baseline many times instead of once.
final class ThroughputExtension implements InvocationInterceptor {
    private static final String UPDATE_PROPERTY = "nf4j.throughput.update";
    private static final int MEASUREMENTS = 3;

    @Override
    public void interceptTestMethod(Invocation<Void> invocation, ReflectiveInvocationContext<Method> call, ExtensionContext context)
            throws Throwable {
        ThroughputTest test = AnnotationSupport.findAnnotation(call.getExecutable(), ThroughputTest.class).orElseThrow();
        invocation.skip();
        if (!(test.atLeast() > 0)) {
            throw new ExtensionConfigurationException("atLeast is " + test.atLeast() + "; it must be positive");
        }
        Object instance = call.getTarget().orElseThrow();
        Method baseline = ReflectionSupport.findMethod(instance.getClass(), test.baseline())
                .orElseThrow(() -> new ExtensionConfigurationException(
                        "baseline: " + instance.getClass().getName() + " has no method " + test.baseline() + "()"));
        PairedTimer timer = new PairedTimer(operation(call.getExecutable(), instance), operation(baseline, instance));
        String key = instance.getClass().getName() + "." + call.getExecutable().getName();
        if (test.stored().isEmpty()) {
            check(timer, test.atLeast(), context);
        } else if (Boolean.getBoolean(UPDATE_PROPERTY)) {
            store(Path.of(test.stored()), key, timer.measure().centre());
        } else {
            check(timer, test.atLeast() * stored(Path.of(test.stored()), key), context);
        }
    }

    /// Fails when every measurement is sure. One that is not lets the test pass: an alarm that cries wolf is switched off.
    private static void check(PairedTimer timer, double atLeast, ExtensionContext context) throws Throwable {
        Interval ratio = null;
        for (int i = 0; i < MEASUREMENTS; i++) {
            ratio = timer.measure();
            context.publishReportEntry("throughput / baseline", text(ratio));
            if (ratio.high() >= atLeast) {
                return;
            }
        }
        throw new AssertionFailedError(String.format(Locale.ROOT, "throughput is %s of the baseline's; expected at least %.3f", text(ratio),
                atLeast));
    }

    private static PairedTimer.Operation operation(Method method, Object instance) {
        method.setAccessible(true);
        return () -> {
            try {
                method.invoke(instance);
            } catch (InvocationTargetException e) {
                throw e.getCause();
            }
        };
    }

    private static double stored(Path file, String key) throws IOException {
        String value = Files.exists(file) ? read(file).getProperty(key) : null;
        if (value == null) {
            throw new ExtensionConfigurationException(file + " has no " + key + ": run the test once with -D" + UPDATE_PROPERTY + "=true");
        }
        try {
            return Double.parseDouble(value);
        } catch (NumberFormatException e) {
            throw new ExtensionConfigurationException(file + ": " + key + " is '" + value + "', which is no number", e);
        }
    }

    /// Tests may run at the same time.
    private static synchronized void store(Path file, String key, double ratio) throws IOException {
        Properties properties = Files.exists(file) ? read(file) : new Properties();
        properties.setProperty(key, String.format(Locale.ROOT, "%.3f", ratio));
        try (Writer writer = Files.newBufferedWriter(file)) {
            properties.store(writer, "Throughput of tests / throughput of their baselines; written with -D" + UPDATE_PROPERTY + "=true");
        }
    }

    private static Properties read(Path file) throws IOException {
        Properties properties = new Properties();
        try (Reader reader = Files.newBufferedReader(file)) {
            properties.load(reader);
        }
        return properties;
    }

    private static String text(Interval ratio) {
        return String.format(Locale.ROOT, "%.3f (99 %%: %.3f to %.3f)", ratio.centre(), ratio.low(), ratio.high());
    }
}
