package io.github.nf4j.autograd;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.github.nf4j.JavaProcess;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.Test;

/// What calls and tapes leave for the garbage collector once they are warm: docs/benchmarking.md says of what it consists.
class AllocationTest {
    private static final int OPERATIONS = 25;
    private static final int OPERATIONS_ON_SHARED_ARENAS = 9;
    /// Of 1000 passes with seven operations. It was 824,000 when this was written.
    private static final long TAPE_BYTES = 900_000;
    /// Of 1000 calls on memory in shared arenas. They were 280,000 and less.
    private static final long SHARED_BYTES = 300_000;

    @Test
    void callsAllocateNothingAndATapeOnlyWhatItRecords() throws IOException, InterruptedException {
        List<String> command = new ArrayList<>(JavaProcess.command());
        command.add("-Xbatch"); // a busy machine compiles as early as an idle one
        command.add(AllocationRun.class.getName());
        Process process = new ProcessBuilder(command).redirectErrorStream(true).start();
        String output = new String(process.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
        assertEquals(0, process.waitFor(), output);
        List<String> lines = output.lines().toList();
        assertEquals(1 + OPERATIONS + OPERATIONS_ON_SHARED_ARENAS, lines.size(), output);
        assertTrue(bytes(lines.getFirst()) <= TAPE_BYTES, output);
        for (String operation : lines.subList(1, 1 + OPERATIONS)) {
            assertEquals(0, bytes(operation), output);
        }
        for (String operation : lines.subList(1 + OPERATIONS, lines.size())) {
            assertTrue(bytes(operation) <= SHARED_BYTES, output);
        }
    }

    private static long bytes(String line) {
        return Long.parseLong(line.replaceAll(".*: (\\d+) bytes", "$1"));
    }
}
