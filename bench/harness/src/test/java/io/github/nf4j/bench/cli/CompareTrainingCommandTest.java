package io.github.nf4j.bench.cli;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import io.github.nf4j.Backend;
import io.github.nf4j.BackendUnavailableException;
import io.github.nf4j.Device;
import io.github.nf4j.bench.result.CaseResult;
import io.github.nf4j.bench.result.ResultFile;
import io.github.nf4j.bench.result.ResultFiles;
import java.io.IOException;
import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/// One layer, few tokens: every process is real.
class CompareTrainingCommandTest {
    @TempDir
    private Path folder;

    @Test
    void eachOfOursIsARowBesideTheOthersAndOnlyTheRestIsRunLater() {
        Path file = folder.resolve("training.json");
        CommandRun first = run(file, "1", "nf4j-.*-f32");
        assertEquals(0, first.exitCode(), first::toString);
        assertTrue(first.out().contains("| nf4j-qlora-f32 |"), first::toString);
        ResultFile part = ResultFiles.read(file);
        assertTrue(part.run().finished() && part.cases().size() == 2);
        for (CaseResult row : part.cases()) {
            assertTrue(row.isMeasured() && row.verify().ok() && row.stats().median() > 0 && row.rate().floorUs() > 0, row::toString);
            assertEquals(2, row.timing().samplesUs().length);
            assertTrue(row.step().peakMb() > 50 && row.step().tokensPerS() > 0);
            assertEquals(1, row.peers().size());
            double parts = row.step().forwardUs()[1] + row.step().backwardUs()[1] + row.step().optimizerUs()[1];
            assertEquals(row.timing().samplesUs()[1], parts, 1);
        }
        CommandRun second = run(file, "2", "nf4j-.*-f32", "--resume");
        assertEquals(0, second.exitCode(), second::toString);
        for (CaseResult row : ResultFiles.read(file).cases()) {
            double[] before = part.find(row.id()).orElseThrow().timing().samplesUs();
            assertEquals(4, row.timing().samplesUs().length);
            assertArrayEquals(before, new double[] {row.timing().samplesUs()[0], row.timing().samplesUs()[1]}, 1e-6);
        }
    }

    @Test
    void rowsOfAGpuThatIsNotThereSaySo() throws IOException {
        assumeTrue(noCuda());
        Path file = folder.resolve("cuda.json");
        CommandRun run = run(file, "1", "f32$", "--backend", "cuda");
        assertEquals(0, run.exitCode(), run::toString);
        ResultFile result = ResultFiles.read(file);
        assertEquals(List.of("train.lora", "train.qlora"), result.cases().stream().map(row -> row.key().op()).toList());
        for (CaseResult row : result.cases()) {
            assertTrue(row.status() == CaseResult.Status.SKIPPED && row.note().startsWith("no CUDA device: "), row::toString);
            assertTrue(row.key().backend().equals("cuda") && row.repro().contains("--backend cuda"), row::toString);
            assertEquals(3, row.peers().size(), row::toString); // the other of ours, and PEFT with and without bitsandbytes
            assertTrue(row.peers().stream().allMatch(peer -> peer.note().startsWith("no CUDA device: ")), row::toString);
        }
        assertTrue(run.out().contains("| nf4j-qlora-f32 | SKIPPED: no CUDA device: "), run::toString);
    }

    private static boolean noCuda() {
        try (Device _ = Device.open(Backend.CUDA)) {
            return false;
        } catch (BackendUnavailableException e) {
            return true;
        }
    }

    @Test
    void badInputIsRefused() {
        Path file = folder.resolve("none.json");
        assertTrue(run(file, "1", "peft-lora-f32").err().contains("none of nf4j's"));
        assertEquals(2, run(file, "0", "nf4j").exitCode());
        CommandRun unknown = CommandRun.of("compare-training", "--model", "smollm-135m", "--out", file.toString());
        assertEquals(2, unknown.exitCode());
        assertTrue(unknown.err().contains("the nearest are smollm2-135m"), unknown::toString);
    }

    private static CommandRun run(Path file, String rounds, String contenders, String... more) {
        String[] arguments = {"compare-training", "--layers", "1", "--tokens", "8", "--steps", "2", "--rounds", rounds, "--contenders",
                contenders,
                "--out", file.toString()};
        String[] all = java.util.Arrays.copyOf(arguments, arguments.length + more.length);
        System.arraycopy(more, 0, all, arguments.length, more.length);
        return CommandRun.of(all);
    }
}
