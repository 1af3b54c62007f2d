package io.github.nf4j.train;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import io.github.nf4j.JavaProcess;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/// Failures of the native library at every point where there can be one, while a model is loaded and a training step taken.
class FaultsTest {
    private static final Path NATIVE = Path.of(System.getProperty("nf4j.library.path")).toAbsolutePath();
    private static final Path INTERPOSER = NATIVE.resolve("test/libinterpose.so");

    /// @param fault    of [FaultRun]
    /// @param atLeast  how many there are, less a margin for changes
    @ParameterizedTest
    @CsvSource({"ALLOCATION, 60", "LAUNCH, 150", "DEVICE, 150"})
    void everyFailureIsReportedAndLosesNothing(String fault, int atLeast) throws IOException, InterruptedException {
        assumeTrue(Files.exists(INTERPOSER), INTERPOSER + " is missing; make test-native builds it");
        assumeTrue(fault.equals("ALLOCATION") || Files.exists(NATIVE.resolve("libnf4j-simt.so")), "make simt builds libnf4j-simt.so");
        List<String> command = new ArrayList<>(JavaProcess.command());
        command.addAll(List.of(FaultRun.class.getName(), INTERPOSER.toString(), "src/test/resources/fixtures/models/llama-tied", fault));
        ProcessBuilder builder = new ProcessBuilder(command).redirectErrorStream(true);
        builder.environment().put("LD_PRELOAD", INTERPOSER.toString());
        Process process = builder.start();
        String output = new String(process.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
        assertEquals(0, process.waitFor(), output);
        Matcher result = Pattern.compile("(?m)^" + fault + ": (\\d+) faults, (\\d+) problems$").matcher(output);
        assertTrue(result.find(), output);
        assertTrue(Integer.parseInt(result.group(1)) >= atLeast, output);
        assertEquals("0", result.group(2), output);
    }
}
