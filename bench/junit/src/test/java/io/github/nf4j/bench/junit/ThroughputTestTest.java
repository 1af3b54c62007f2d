package io.github.nf4j.bench.junit;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.platform.engine.discovery.DiscoverySelectors.selectMethod;

import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Locale;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.platform.engine.TestExecutionResult;
import org.junit.platform.testkit.engine.EngineTestKit;
import org.junit.platform.testkit.engine.Events;

/// Runs throughput tests of known speed and looks at what JUnit says of them.
class ThroughputTestTest {
    private static final Path STORED = Path.of("target/throughput.properties");

    @AfterEach
    void forget() throws Exception {
        System.clearProperty("nf4j.throughput.update");
        Files.deleteIfExists(STORED);
    }

    @Test
    void asFastAsItsBaselinePasses() {
        run("same").assertStatistics(statistics -> statistics.succeeded(1));
    }

    @Test
    void halfAsFastFailsAndSaysHowMuch() {
        String message = failure("halfAsFast");
        assertTrue(message.contains("throughput is 0.") && message.contains("expected at least 0.900"), message);
    }

    @Test
    void aSpeedUpCanBeAskedFor() {
        run("twiceAsFast").assertStatistics(statistics -> statistics.succeeded(1));
        assertTrue(failure("notTwiceAsFast").contains("expected at least 1.500"));
    }

    @Test
    void aBodyThatThrowsFailsWithWhatItThrew() {
        assertEquals("broken", failure("throwing"));
    }

    @Test
    void slipsAreSaid() {
        assertTrue(failure("withoutBaseline").contains("has no method missing()"));
        assertTrue(failure("withoutSense").contains("atLeast is 0.0"));
    }

    @Test
    void aStoredRatioIsGuarded() throws Exception {
        assertTrue(failure("storedTwiceAsFast").contains("-Dnf4j.throughput.update=true"));
        System.setProperty("nf4j.throughput.update", "true");
        run("storedTwiceAsFast").assertStatistics(statistics -> statistics.succeeded(1));
        System.clearProperty("nf4j.throughput.update");
        run("storedTwiceAsFast").assertStatistics(statistics -> statistics.succeeded(1));
        // once it was three times as fast as now: lost
        String stored = Files.readString(STORED);
        double ratio = Double.parseDouble(stored.substring(stored.lastIndexOf('=') + 1).strip());
        Files.writeString(STORED, stored.substring(0, stored.lastIndexOf('=') + 1) + String.format(Locale.ROOT, "%.3f", 3 * ratio));
        assertTrue(failure("storedTwiceAsFast").contains("expected at least"));
        Files.writeString(STORED, stored.substring(0, stored.lastIndexOf('=') + 1) + "fast");
        assertTrue(failure("storedTwiceAsFast").contains("no number"));
    }

    private static Events run(String method) {
        return EngineTestKit.engine("junit-jupiter").selectors(selectMethod(Cases.class, method)).execute().testEvents();
    }

    private static String failure(String method) {
        Events events = run(method).assertStatistics(statistics -> statistics.failed(1));
        return events.failed().stream().findFirst().orElseThrow().getRequiredPayload(TestExecutionResult.class)
                .getThrowable().orElseThrow().getMessage();
    }

    /// Its name is not that of a test class, so it is only run from here.
    static class Cases {
        private static double sink;

        @ThroughputTest(baseline = "work")
        void same() {
            work();
        }

        @ThroughputTest(baseline = "work")
        void halfAsFast() {
            work();
            work();
        }

        @ThroughputTest(baseline = "twofoldWork", atLeast = 1.5)
        void twiceAsFast() {
            work();
        }

        @ThroughputTest(baseline = "work", atLeast = 1.5)
        void notTwiceAsFast() {
            work();
        }

        @ThroughputTest(baseline = "work")
        void throwing() {
            throw new IllegalStateException("broken");
        }

        @ThroughputTest(baseline = "missing")
        void withoutBaseline() {
            work();
        }

        @ThroughputTest(baseline = "work", atLeast = 0)
        void withoutSense() {
            work();
        }

        @ThroughputTest(baseline = "twofoldWork", atLeast = 0.7, stored = "target/throughput.properties")
        void storedTwiceAsFast() {
            work();
        }

        void twofoldWork() {
            work();
            work();
        }

        /// Some microseconds that cannot be shortened: each step needs the one before.
        void work() {
            double value = sink + 1;
            for (int i = 0; i < 1000; i++) {
                value = Math.sqrt(value + i);
            }
            sink = value;
        }
    }
}
