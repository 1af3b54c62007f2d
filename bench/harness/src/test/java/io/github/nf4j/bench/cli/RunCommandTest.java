package io.github.nf4j.bench.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import io.github.nf4j.bench.cases.BenchCase;
import io.github.nf4j.bench.cases.Catalog;
import io.github.nf4j.bench.cases.Scope;
import io.github.nf4j.bench.result.CaseResult;
import io.github.nf4j.bench.result.CaseResult.Status;
import io.github.nf4j.bench.result.ResultFile;
import io.github.nf4j.bench.result.ResultFiles;
import io.github.nf4j.bench.run.Checkout;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import java.util.regex.Pattern;
import java.util.stream.Collectors;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/// Real runs with budgets of nothing: every case of the suite `smoke` is prepared, verified and timed.
class RunCommandTest {
    @TempDir
    private Path folder;

    @Test
    void smokeMeasuresEveryOperationOfTheAbiAndAllResultsAreRight() {
        Path file = folder.resolve("smoke.json");
        CommandRun run = CommandRun.of("run", "--suite", "smoke", "--budget", "1h", "--quick", "--out", file.toString());
        assertEquals(0, run.exitCode(), run::toString);
        ResultFile result = ResultFiles.read(file);
        assertTrue(result.run().finished());
        assertTrue(result.floors().copyGbs() > 0 && result.floors().readGbs() > 0);
        Set<String> families = new HashSet<>();
        for (CaseResult row : result.cases()) {
            assertTrue(row.isMeasured() && row.verify().ok() && row.verify().value() <= row.verify().bound(), row::toString);
            assertTrue(row.rate().floorUs() > 0 && row.stats().median() > 0, row::toString);
            families.add(row.key().op().substring(0, row.key().op().indexOf('.')));
            assertEquals(1, listed(row.repro()), row::repro);
        }
        assertEquals(Set.of("nf4", "dense", "lora", "norm", "rope", "attention", "mlp", "embedding", "loss", "optim", "memory"), families);
    }

    /// How many cases a row's command would measure.
    private static long listed(String repro) {
        List<String> words = Pattern.compile("'([^']*)'|(\\S+)").matcher(repro).results()
                .map(word -> word.group(1) == null ? word.group(2) : word.group(1)).toList();
        List<String> arguments = new ArrayList<>(List.of("list"));
        for (String option : List.of("--suite", "--scope", "--op", "--shape")) {
            arguments.addAll(List.of(option, words.get(words.indexOf(option) + 1)));
        }
        CommandRun list = CommandRun.of(arguments.toArray(String[]::new));
        assertEquals(0, list.exitCode(), list::toString);
        return list.out().lines().count();
    }

    @Test
    void filesOfModelsAreLoadedVerifiedAndTimed() {
        Path file = folder.resolve("load.json");
        CommandRun run = CommandRun.of("run", "--suite", "smoke", "--scope", "load", "--budget", "1h", "--quick", "--out", file.toString());
        assertEquals(0, run.exitCode(), run::toString);
        ResultFile result = ResultFiles.read(file);
        assertEquals("smoke-load", result.run().suite());
        assertEquals(Set.of("load.safetensors", "load.safetensors_nf4", "load.gguf", "load.gguf_nf4", "load.bitsandbytes", "load.nf4",
                "load.nf4_double", "load.adapter", "load.adapter_save", "load.tokenizer", "load.encode"),
                result.cases().stream().map(row -> row.key().op()).collect(Collectors.toSet()));
        for (CaseResult row : result.cases()) {
            assertTrue(row.isMeasured() && row.verify().ok() && row.key().scope().equals("load"), row::toString);
            assertTrue(row.rate().gbs() > 0 && row.rate().floorUs() > 0 && row.rate().bound().equals("memory"), row::toString);
            assertEquals(1, listed(row.repro()), row::repro);
        }
        assertEquals(11, CommandRun.of("list", "--scope", "load").out().lines().count());
        CommandRun none = CommandRun.of("list", "--scope", "load", "--suite", "limits");
        assertEquals(2, none.exitCode());
        assertTrue(none.err().contains("suite limits has no cases of scope load"), none::toString);
        CommandRun gate = CommandRun.of("regress", "--base", "HEAD", "--scope", "kernel");
        assertEquals(2, gate.exitCode());
        assertTrue(gate.err().contains("expected call or load"), gate::toString);
    }

    @Test
    void anInterruptedRunIsResumedWithoutMeasuringAnythingTwice() {
        Path file = folder.resolve("part.json");
        CommandRun first = CommandRun.of("run", "--op", "^memory", "--budget", "1ms", "--quick", "--out", file.toString());
        assertEquals(0, first.exitCode(), first::toString);
        ResultFile part = ResultFiles.read(file);
        assertTrue(!part.run().finished() && part.cases().size() < 8, first::toString);
        CommandRun second = CommandRun.of("run", "--op", "^memory", "--quick", "--out", file.toString(), "--resume");
        assertEquals(0, second.exitCode(), second::toString);
        ResultFile whole = ResultFiles.read(file);
        assertTrue(whole.run().finished() && whole.run().durationS() > part.run().durationS());
        assertEquals(4, whole.cases().stream().map(row -> row.key().op()).distinct().count());
        for (CaseResult row : part.cases()) {
            assertEquals(row.stats(), whole.find(row.id()).orElseThrow().stats());
        }
        CommandRun other = CommandRun.of("run", "--suite", "full", "--op", "^memory.copy$", "--quick", "--out", file.toString(),
                "--resume");
        assertEquals(2, other.exitCode());
        assertTrue(other.err().contains("is of suite smoke; this is full"), other::toString);
    }

    @Test
    void whereResultsCannotGoNothingIsMeasured() throws Exception {
        Path file = Files.writeString(folder.resolve("mine.json"), "mine");
        CommandRun run = CommandRun.of("run", "--op", "memory.copy", "--out", file.toString());
        assertEquals(2, run.exitCode());
        assertTrue(run.err().contains("exists"), run::toString);
        assertEquals("mine", Files.readString(file));
        Path lost = folder.resolve("nowhere/f.json");
        CommandRun nowhere = CommandRun.of("run", "--op", "memory.copy", "--quick", "--out", lost.toString());
        assertEquals(2, nowhere.exitCode());
        assertTrue(nowhere.err().contains("there is no folder") && nowhere.out().isEmpty(), nowhere::toString); // before anything is measured
        CommandRun none = CommandRun.of("run", "--op", "memory.copy", "--quick");
        assertTrue(none.exitCode() == 2 && none.err().contains("--out"), none::toString);
        CommandRun unbegun = CommandRun.of("run", "--op", "memory.copy", "--quick", "--resume", "--out",
                folder.resolve("f.json").toString());
        assertTrue(unbegun.exitCode() == 2 && unbegun.err().contains("f.json: no such file"), unbegun::toString);
    }

    @Test
    void unknownNamesAreRefusedWithTheNearest() {
        CommandRun operation = CommandRun.of("run", "--op", "nf4.matmull", "--out", "unused.json");
        assertEquals(2, operation.exitCode());
        assertTrue(operation.err().contains("the nearest are nf4.matmul"), operation::toString);
        CommandRun shape = CommandRun.of("list", "--shape", "smolm2-135m.q,");
        assertEquals(2, shape.exitCode());
        assertTrue(shape.err().matches("(?s).*the nearest are [^\n]*smollm2-135m\\.q.*"), shape::toString);
        CommandRun peer = CommandRun.of("run", "--peers", "openblast", "--out", "unused.json");
        assertEquals(2, peer.exitCode());
        assertTrue(peer.err().contains("the nearest are openblas"), peer::toString);
        assertEquals(2, CommandRun.of("list", "--op", "(").exitCode());
        assertEquals(2, CommandRun.of("run", "--budget", "soon", "--out", "unused.json").exitCode());
        assertEquals(2, CommandRun.of("run", "--threads", "-1", "--out", "unused.json").exitCode());
        assertEquals(2, CommandRun.of().exitCode());
    }

    @ParameterizedTest
    @CsvSource({"run, --suite, limit, limits", "regress, --scope, loads, load", "run, --backend, coda, cuda", "run, --backend, auto, cuda",
            "compare, --fail-on, ambig, ambg", "compare, --fail-on, 'slow,misssing', missing", "train, --compute, f23, f32",
            "race, --compute, bf61, bf16", "train, --base, nf3, nf4"})
    void anUnknownChoiceIsRefusedWithTheNearest(String subcommand, String option, String given, String nearest) {
        CommandRun run = CommandRun.of(subcommand, option, given);
        assertEquals(2, run.exitCode());
        String wrong = given.substring(given.indexOf(',') + 1);
        assertTrue(run.err().contains(option) && run.err().contains("there is no '" + wrong + "'; the nearest are " + nearest),
                run::toString);
    }

    @Test
    void choicesMayBeWrittenInAnyCase() {
        assertEquals(CommandRun.of("list", "--suite", "limits"), CommandRun.of("list", "--suite", "Limits"));
    }

    @Test
    void whatIsWrongIsNotBuriedInHelp() {
        CommandRun option = CommandRun.of("run", "--suit", "smoke", "--out", "unused.json");
        assertEquals(2, option.exitCode());
        assertTrue(option.err().contains("--suite") && option.err().contains("See nf4j-bench run --help."), option::toString);
        assertTrue(option.err().lines().count() <= 3 && option.out().isEmpty(), option::toString);
        CommandRun command = CommandRun.of("reprot");
        assertEquals(2, command.exitCode());
        assertTrue(command.err().contains("report") && command.err().lines().count() <= 3, command::toString);
    }

    @Test
    void theSuiteLimitsEndsWithItsGoalsAndFailsWhileOneIsMissed() {
        CommandRun run = CommandRun.of("run", "--suite", "limits", "--op", "^nf4.matmul$", "--shape", "tinyllama.*q,.*m=1,", "--peers",
                "nf4j-c",
                "--quick", "--out", folder.resolve("limits.json").toString());
        assertEquals(1, run.exitCode(), run::toString);
        assertTrue(run.out().contains("not measured: no peer was asked for") && run.out().endsWith("\n0 of 1 goals met\n"), run::toString);
    }

    @Test
    void cublasIsSaidInTheRowWhereItIsNotMeasured() {
        Path file = folder.resolve("cublas.json");
        CommandRun run = CommandRun.of("run", "--op", "^nf4.matmul$", "--shape", "m=1,", "--peers", "cublas", "--quick", "--out",
                file.toString());
        assertEquals(0, run.exitCode(), run::toString);
        for (CaseResult row : ResultFiles.read(file).cases()) {
            assertTrue(row.isMeasured(), row::toString);
            CaseResult.Peer cublas = row.key().cache().equals("cold") ? row.peers().getFirst() : null;
            assertTrue(cublas == null || cublas.note().matches("no CUDA device: .+|measured by make gpu-check.*"), row::toString);
            assertTrue(cublas == null || !cublas.note().contains(Checkout.current().root().toString()), row::toString);
        }
    }

    @Test
    void qloraAndLoraTakeTurns() throws Exception {
        CommandRun run = CommandRun.of("race", "--layers", "1", "--tokens", "4,8", "--steps", "2", "--compute", "f32");
        assertEquals(0, run.exitCode(), run::toString);
        List<String> lines = run.out().lines().toList();
        assertEquals(2, lines.size(), run::toString);
        for (String line : lines) {
            JsonNode outcome = new ObjectMapper().readTree(line);
            assertEquals(2, outcome.path("qlora_seconds").size());
            assertEquals(2, outcome.path("lora_seconds").size());
            assertEquals(outcome.path("ratio").asDouble() <= 1, outcome.path("met").asBoolean(), line);
        }
        assertEquals(2, CommandRun.of("race", "--tokens", "1").exitCode());
        assertEquals(2, CommandRun.of("race", "--layers", "0").exitCode());
    }

    @Test
    void wholeStepsAreTimedByPart() throws Exception {
        for (String base : new String[] {"nf4", "none"}) {
            CommandRun run = CommandRun.of("train", "--layers", "1", "--tokens", "8", "--steps", "2", "--base", base);
            assertEquals(0, run.exitCode(), run::toString);
            JsonNode outcome = new ObjectMapper().readTree(run.out());
            assertEquals(2, outcome.path("steps").size());
            for (JsonNode step : outcome.path("steps")) {
                double parts = step.path("forward").asDouble() + step.path("backward").asDouble() + step.path("optimizer").asDouble();
                assertEquals(step.path("seconds").asDouble(), parts, 1e-6);
                // random weights know nothing: about the logarithm of the vocabulary
                assertEquals(Math.log(49152), step.path("loss").asDouble(), 1);
            }
        }
        CommandRun unknown = CommandRun.of("train", "--model", "smollm-135m");
        assertEquals(2, unknown.exitCode());
        assertTrue(unknown.err().contains("the nearest are smollm2-135m"), unknown::toString);
        assertEquals(2, CommandRun.of("train", "--layers", "0").exitCode());
    }

    @Test
    void everyOperationIsAlsoMeasuredFromC() {
        Path file = folder.resolve("kernel.json");
        CommandRun run = CommandRun.of("run", "--suite", "smoke", "--scope", "kernel", "--budget", "1h", "--quick", "--out",
                file.toString());
        assertEquals(0, run.exitCode(), run::toString);
        ResultFile result = ResultFiles.read(file);
        assertEquals(Catalog.cases(Catalog.Suite.SMOKE, Scope.CALL).stream().map(BenchCase::op).collect(Collectors.toSet()),
                result.cases().stream().map(row -> row.key().op()).collect(Collectors.toSet()));
        for (CaseResult row : result.cases()) {
            assertTrue(row.isMeasured() && row.key().scope().equals("kernel") && row.id().contains("/kernel/"), row::toString);
            assertTrue(row.repro().contains("--scope kernel"), row::repro);
        }
        assertEquals(2, CommandRun.of("run", "--scope", "kernel", "--backend", "reference", "--out", "unused.json").exitCode());
    }

    @Test
    void aBackendThatIsNotThereIsSaid() {
        CommandRun run = CommandRun.of("run", "--op", "memory.copy", "--backend", "cuda", "--out", folder.resolve("f.json").toString());
        assertEquals(2, run.exitCode());
        assertTrue(run.err().contains("cuda"), run::toString);
    }

    @Test
    void theReferenceCanBeMeasuredToo() {
        Path file = folder.resolve("reference.json");
        CommandRun run = CommandRun.of("run", "--op", "rope.forward", "--backend", "reference", "--quick", "--out", file.toString());
        assertEquals(0, run.exitCode(), run::toString);
        CaseResult row = ResultFiles.read(file).cases().getFirst();
        assertEquals("reference", row.key().backend());
        assertTrue(row.status() != Status.VOID && row.verify().value() == 0);
    }
}
