package io.github.nf4j.autograd;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.github.nf4j.JavaProcess;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.junit.jupiter.api.Test;

/// What steps, tapes and calls leave for the garbage collector once they are warm: docs/benchmarking.md says of what it consists.
class AllocationTest {
    private static final Path MODEL = Path.of("src/test/resources/fixtures/models/llama-tied");
    private static final Pattern LINE = Pattern.compile("(.*): (\\d+) bytes");
    private static final int TAPES = 3;
    private static final int OPERATIONS = 27;
    private static final int OPERATIONS_ON_SHARED_ARENAS = 11;
    /// Of a whole training step, all of it the batch's. It was 3,051 when this was written.
    private static final long STEP_BYTES = 3_100;
    /// Of a call on memory in shared arenas. They were 280 and less.
    private static final long SHARED_BYTES = 300;

    @Test
    void neitherCallsNorTapesAllocateOnceTheyAreWarm() throws IOException, InterruptedException {
        List<String> command = new ArrayList<>(JavaProcess.command());
        command.add("-Xbatch"); // a busy machine compiles as early as an idle one
        command.addAll(List.of(AllocationRun.class.getName(), MODEL.toString()));
        Process process = new ProcessBuilder(command).redirectErrorStream(true).start();
        String output = new String(process.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
        assertEquals(0, process.waitFor(), output);
        Map<String, Long> bytes = new LinkedHashMap<>();
        output.lines().map(LINE::matcher).filter(Matcher::matches)
                .forEach(line -> bytes.put(line.group(1), Long.parseLong(line.group(2))));
        assertEquals(TAPES + 2 + OPERATIONS + OPERATIONS_ON_SHARED_ARENAS, bytes.size(), output);
        bytes.forEach((name, found) -> assertTrue(found <= most(name), output));
    }

    private static long most(String name) {
        return name.equals("whole step") ? STEP_BYTES : name.endsWith("shared arenas") ? SHARED_BYTES : 0;
    }
}
