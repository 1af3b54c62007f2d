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
import org.junit.jupiter.api.Test;

/// Out of memory at every allocation of the native library, while a model is loaded and a training step taken.
class FaultsTest {
    private static final Path INTERPOSER = Path.of(System.getProperty("nf4j.library.path"), "test", "libinterpose.so").toAbsolutePath();

    @Test
    void everyFailingAllocationIsReportedAndLosesNothing() throws IOException, InterruptedException {
        assumeTrue(Files.exists(INTERPOSER), INTERPOSER + " is missing; make test-native builds it");
        List<String> command = new ArrayList<>(JavaProcess.command());
        command.addAll(List.of(FaultRun.class.getName(), INTERPOSER.toString(), "src/test/resources/fixtures/models/llama-tied"));
        ProcessBuilder builder = new ProcessBuilder(command).redirectErrorStream(true);
        builder.environment().put("LD_PRELOAD", INTERPOSER.toString());
        Process process = builder.start();
        String output = new String(process.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
        assertEquals(0, process.waitFor(), output);
        Matcher result = Pattern.compile("(?m)^(.*): (\\d+) allocations, (\\d+) problems$").matcher(output);
        for (String work : List.of("loading a model", "a training step")) {
            assertTrue(result.find(), output);
            assertEquals(work, result.group(1));
            assertTrue(Integer.parseInt(result.group(2)) > 30, output);
            assertEquals("0", result.group(3), output);
        }
    }
}
