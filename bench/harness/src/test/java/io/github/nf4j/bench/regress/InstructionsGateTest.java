package io.github.nf4j.bench.regress;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/// bench/instructions.sh with a callgrind that counts what it is told to.
class InstructionsGateTest {
    private static final Path SCRIPT = Path.of(System.getProperty("nf4j.root"), "bench/instructions.sh");

    @TempDir
    private Path folder;

    private Path baseline;

    private record Run(int exitCode, String out) {
    }

    @BeforeEach
    void writeABaseline() throws Exception {
        program("valgrind", "exit ${VALGRIND_EXIT_CODE:-0}");
        program("callgrind_annotate", "cat '" + folder.resolve("counted") + "'");
        baseline = folder.resolve("baseline.txt");
        counted(100_000, 20_000, 3_000);
        assertEquals(0, run("1").exitCode());
        assertTrue(Files.readString(baseline).contains("\nnf4j_nf4_matmul 100000 20000 3000\n"), () -> "no counts in it");
    }

    private void program(String name, String body) throws IOException {
        Path file = Files.writeString(folder.resolve(name), "#!/bin/sh\n" + body + "\n");
        assertTrue(file.toFile().setExecutable(true));
    }

    /// As callgrind_annotate prints it, with one operation whose counts never change and a function that is none.
    private void counted(int instructions, int loads, int stores) throws IOException {
        Files.writeString(folder.resolve("counted"), String.format(Locale.ROOT, """
                Ir                  Dr                Dw
                %,d (61.00%%)  %,d (60.00%%) %,d (59.10%%)  native/core/api_nf4.cpp:nf4j_nf4_matmul@@NF4J_1 [/build/libnf4j.so]
                7,000 ( 9.00%%)  600 ( 9.00%%) 50 ( 1.00%%)  native/core/api_layers.cpp:nf4j_norm_forward [/build/libnf4j.so]
                9,999 ( 9.00%%)  999 ( 9.00%%) 99 ( 1.00%%)  native/core/device.cpp:nf4j_device_open [/build/libnf4j.so]
                """, instructions, loads, stores));
    }

    private Run run(String update, String... environment) throws IOException, InterruptedException {
        List<String> command = new ArrayList<>(List.of("sh", SCRIPT.toString(), "driver", baseline.toString(), update));
        ProcessBuilder builder = new ProcessBuilder(command).redirectErrorStream(true);
        builder.environment().merge("PATH", folder.toString(), (path, ours) -> ours + ":" + path);
        for (int i = 0; i < environment.length; i += 2) {
            builder.environment().put(environment[i], environment[i + 1]);
        }
        Process process = builder.start();
        String out = new String(process.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
        return new Run(process.waitFor(), out);
    }

    @Test
    void upToOnePercentMoreIsNoAlarm() throws Exception {
        assertEquals(0, run("").exitCode());
        counted(100_999, 20_199, 3_029);
        assertEquals(0, run("").exitCode());
        counted(50_000, 10_000, 1_000);
        assertEquals(0, run("").exitCode());
    }

    @Test
    void moreOfAnyOfTheThreeIsOne() throws Exception {
        for (int[] counts : new int[][] {{101_001, 20_000, 3_000}, {100_000, 20_201, 3_000}, {100_000, 20_000, 3_031}}) {
            counted(counts[0], counts[1], counts[2]);
            Run run = run("");
            assertEquals(1, run.exitCode(), run::toString);
            assertTrue(run.out().contains("MORE       nf4j_nf4_matmul") && run.out().contains("same       nf4j_norm_forward"),
                    run::toString);
        }
    }

    @Test
    void whatWasNotCountedIsUnusable() throws Exception {
        Files.writeString(folder.resolve("counted"),
                "7,000 (9.00%) 600 (9.00%) 50 (1.00%)  native/core/api_layers.cpp:nf4j_norm_forward [/a]\n");
        Run run = run("");
        assertEquals(2, run.exitCode(), run::toString);
        assertTrue(run.out().contains("1 operations of the baseline were not counted"), run::toString);
        assertEquals(2, run("", "VALGRIND_EXIT_CODE", "1").exitCode());
    }

    @Test
    void countsOfOtherToolsAreNotCompared() throws Exception {
        Files.writeString(baseline, Files.readString(baseline).replaceFirst("compiler [^,]*", "compiler 1.0"));
        Run run = run("");
        assertEquals(3, run.exitCode(), run::toString);
        assertTrue(run.out().contains("compiler 1.0"), run::toString);
    }
}
