package io.github.nf4j.cli;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import io.github.nf4j.FixtureFile;
import io.github.nf4j.io.Safetensors;
import java.awt.image.BufferedImage;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import javax.imageio.ImageIO;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

/// The commands as a user types them, from option to file, on a tiny model.
class CommandsTest {
    private static final Path MODELS = Path.of("src/test/resources/fixtures/models");
    private static final Path MODEL = MODELS.resolve("llama-tied");

    @TempDir
    private Path folder;

    private Path data() throws IOException {
        return Files.writeString(folder.resolve("data.jsonl"), """
                {"prompt": "one and one", "completion": " is two"}
                {"prompt": "two and two", "completion": " is four"}
                {"prompt": "red and blue", "completion": " is purple"}
                """);
    }

    private static double number(String text, String pattern) {
        Matcher matcher = Pattern.compile(pattern).matcher(text);
        assertTrue(matcher.find(), () -> "no " + pattern + " in\n" + text);
        return Double.parseDouble(matcher.group(1));
    }

    private List<JsonNode> metrics(Path run) throws IOException {
        List<JsonNode> objects = new ArrayList<>();
        for (String line : Files.readAllLines(run.resolve("metrics.jsonl"))) {
            objects.add(new ObjectMapper().readTree(line));
        }
        return objects;
    }

    @Test
    void finetuneWritesEverythingThatTheOtherCommandsUse() throws IOException {
        Path data = data();
        Path run = folder.resolve("run");
        String before = CommandLineRun.output("eval", "--model", MODEL, "--data", data);
        String report = CommandLineRun.output("finetune", "--model", MODEL, "--data", data, "--eval", data, "--eval-every", 20,
                "--output", run, "--steps", 50, "--batch-size", 3, "--lr", "2e-2", "--warmup-steps", 4, "--rank", 8);

        for (String expected : List.of("3 examples", "parameters ", "before quantization", "peak memory", "loss", run.toString())) {
            assertTrue(report.contains(expected), () -> "no '" + expected + "' in\n" + report);
        }

        List<JsonNode> steps = metrics(run).stream().filter(object -> object.has("loss")).toList();
        assertEquals(50, steps.size());
        for (int i = 0; i < steps.size(); i++) {
            assertEquals(i + 1, steps.get(i).get("step").intValue());
            for (String field : List.of("loss", "lr", "grad_norm", "tokens", "tokens_per_second", "step_seconds")) {
                assertTrue(steps.get(i).get(field).isNumber(), field);
            }
        }
        List<JsonNode> evaluations = metrics(run).stream().filter(object -> object.has("eval_loss")).toList();
        assertEquals(List.of(0, 20, 40, 50), evaluations.stream().map(object -> object.get("step").intValue()).toList());
        assertFalse(Files.exists(run.resolve("checkpoint.safetensors")), "a finished run needs no checkpoint");

        BufferedImage plot = ImageIO.read(run.resolve("loss.png").toFile());
        assertTrue(plot.getWidth() >= 400 && plot.getHeight() >= 300, plot.getWidth() + " x " + plot.getHeight());

        String after = CommandLineRun.output("eval", "--model", MODEL, "--adapter", run, "--data", data, "--exact-match",
                "--answers", folder.resolve("answers.jsonl"));
        double lossBefore = number(before, "loss +([0-9.]+)");
        double lossAfter = number(after, "loss +([0-9.]+)");
        assertTrue(lossAfter < lossBefore - 2, before + after);
        assertEquals(Math.exp(lossAfter), number(after, "perplexity +([0-9.]+)"), 1e-3 * Math.exp(lossAfter));
        assertEquals(lossAfter, evaluations.getLast().get("eval_loss").doubleValue(), 1e-4);
        assertTrue(after.contains("exact match  3 of 3 (100.0 %)"), after);
        assertEquals(3, Files.readAllLines(folder.resolve("answers.jsonl")).size());

        String answer = CommandLineRun.output("generate", "--model", MODEL, "--adapter", run, "--prompt", "red and blue");
        assertEquals(" is purple", answer.stripTrailing());
    }

    @Test
    void profileWritesATraceAndATableByOperation() throws IOException {
        Path trace = folder.resolve("trace.json");
        String report = CommandLineRun.output("profile", "--model", MODEL, "--tokens", 16, "--sequences", 2, "--out", trace);
        for (String expected : List.of("lora.backward", "optim.adamw", "between operations", "  forward", "floors       not measured")) {
            assertTrue(report.contains(expected), () -> "no '" + expected + "' in\n" + report);
        }
        assertEquals("step", new ObjectMapper().readTree(trace.toFile()).get(0).get("name").asText());
        CommandLineRun one = CommandLineRun.of("profile", "--model", MODEL, "--tokens", 1, "--out", trace);
        assertEquals(2, one.exitCode());
        assertTrue(one.err().contains("--tokens is 1; expected at least 2"), one.err());
    }

    @Test
    void aRunThatWasKilledGoesOnWithTheSameResult() throws IOException {
        Path data = data();
        Object[] options = {"finetune", "--model", MODEL, "--data", data, "--batch-size", 2, "--lr", "1e-2", "--dropout", "0.1",
                "--steps", 200, "--save-every", 3, "--output"};
        Path whole = folder.resolve("whole");
        CommandLineRun.output(with(options, whole));

        // A process of its own, killed soon after its sixth step: nothing in it gets to clean up.
        Path killed = folder.resolve("killed");
        KilledRun.afterStep(6, killed, with(options, killed));
        assertTrue(Files.exists(killed.resolve("checkpoint.safetensors")));
        assertFalse(Files.exists(killed.resolve("adapter_model.safetensors")));

        CommandLineRun again = CommandLineRun.of(with(options, killed));
        assertEquals(1, again.exitCode());
        assertTrue(again.err().contains("--resume"), again.err());

        String resumed = CommandLineRun.output(with(with(options, killed), "--resume"));
        double step = number(resumed, "after step ([0-9]+)");
        assertTrue(step >= 3 && step < 200 && step % 3 == 0, resumed);
        assertArrayEquals(Files.readAllBytes(whole.resolve("adapter_model.safetensors")),
                Files.readAllBytes(killed.resolve("adapter_model.safetensors")));
        List<Double> expected = metrics(whole).stream().map(object -> object.get("loss").doubleValue()).toList();
        assertEquals(expected, metrics(killed).stream().map(object -> object.get("loss").doubleValue()).toList());
    }

    private static Object[] with(Object[] options, Object last) {
        Object[] extended = java.util.Arrays.copyOf(options, options.length + 1);
        extended[options.length] = last;
        return extended;
    }

    @ParameterizedTest
    @ValueSource(strings = {"llama-tied", "llama-sharded", "qwen2", "mistral-window"})
    void logitsAreThoseOfTransformers(String name) throws IOException {
        Path output = folder.resolve("logits.safetensors");
        CommandLineRun.output("logits", "--model", MODELS.resolve(name), "--tokens",
                MODELS.resolve(name).resolve("expected.safetensors"), "--output", output);
        try (Arena arena = Arena.ofConfined()) {
            var written = Safetensors.open(output, arena).tensor("logits");
            assertEquals(3, written.shape().length);
            assertClose(FixtureFile.safetensors("models/" + name + "/expected.safetensors").segment("logits", arena), written.data(), 1e-4);
        }
    }

    /// Within `tolerance` of the largest expected float.
    private static void assertClose(MemorySegment expected, MemorySegment actual, double tolerance) {
        assertEquals(expected.byteSize(), actual.byteSize());
        double largest = 0;
        for (long i = 0; i < expected.byteSize() / Float.BYTES; i++) {
            largest = Math.max(largest, Math.abs(expected.getAtIndex(ValueLayout.JAVA_FLOAT_UNALIGNED, i)));
        }
        for (long i = 0; i < expected.byteSize() / Float.BYTES; i++) {
            assertEquals(expected.getAtIndex(ValueLayout.JAVA_FLOAT_UNALIGNED, i),
                    actual.getAtIndex(ValueLayout.JAVA_FLOAT_UNALIGNED, i), tolerance * largest);
        }
    }

    @ParameterizedTest
    @CsvSource({"llama-tied, nf4", "llama-tied, none", "qwen2, nf4"})
    void mergedModelComputesWhatModelAndAdapterCompute(String name, String quantize) throws IOException {
        Path model = MODELS.resolve(name);
        Path tokens = model.resolve("expected.safetensors");
        Path adapter = folder.resolve("adapter");
        CommandLineRun.output("finetune", "--model", model, "--data", data(), "--output", adapter, "--quantize", quantize, "--steps", 8,
                "--lr", "2e-2", "--rslora");
        CommandLineRun.output("logits", "--model", model, "--adapter", adapter, "--quantize", quantize, "--tokens", tokens, "--output",
                folder.resolve("apart.safetensors"));
        Path merged = folder.resolve("merged");
        CommandLineRun.output("merge", "--model", model, "--adapter", adapter, "--quantize", quantize, "--dtype", "f32", "--output",
                merged);
        CommandLineRun.output("logits", "--model", merged, "--tokens", tokens, "--output", folder.resolve("merged.safetensors"));
        try (Arena arena = Arena.ofConfined()) {
            assertClose(Safetensors.open(folder.resolve("apart.safetensors"), arena).tensor("logits").data(),
                    Safetensors.open(folder.resolve("merged.safetensors"), arena).tensor("logits").data(), 1e-5);
        }
        CommandLineRun again = CommandLineRun.of("merge", "--model", model, "--adapter", adapter, "--output", merged);
        assertEquals(1, again.exitCode());
        assertTrue(again.err().contains("not empty"), again.err());
    }

    @Test
    void generateSamplesWithItsSeed() {
        String first = sample(7);
        assertEquals(first, sample(7));
        assertNotEquals(first, sample(8));
        assertEquals(sample(7, "--top-p", "1e-9"), CommandLineRun.output("generate", "--model", MODEL, "--prompt", "hello",
                "--max-tokens", 12), "of the single most likely token only the greedy choice remains");
    }

    private static String sample(int seed, Object... more) {
        List<Object> arguments = new ArrayList<>(List.of("generate", "--model", MODEL, "--prompt", "hello", "--max-tokens", 12,
                "--temperature", 1, "--seed", seed));
        arguments.addAll(List.of(more));
        return CommandLineRun.output(arguments.toArray());
    }

    @Test
    void generateAnswersInAChat() {
        String chat = CommandLineRun.output("generate", "--model", MODEL, "--chat", "--prompt", "hello", "--max-tokens", 4);
        assertFalse(chat.isBlank());
        assertNotEquals(chat, CommandLineRun.output("generate", "--model", MODEL, "--prompt", "hello", "--max-tokens", 4));
    }

    @Test
    void doctorChecksEveryFamily() {
        String report = CommandLineRun.output("doctor");
        for (String family : List.of("memory", "nf4", "dense", "lora", "norm", "rope", "attention", "mlp", "embedding", "loss",
                "optim")) {
            for (String type : List.of("F32", "BF16")) {
                assertTrue(Pattern.compile("  " + family + " +" + type + " .* ok").matcher(report).find(),
                        () -> family + " in " + type + " is not ok in\n" + report);
            }
        }
        for (String backend : List.of("reference", "cpu", "cuda", "simt")) {
            assertTrue(Pattern.compile("(?m)^" + backend + " +\\S+").matcher(report).find(), () -> "no " + backend + " in\n" + report);
        }
    }

    @ParameterizedTest
    @ValueSource(strings = {"", "finetune", "generate", "eval", "merge", "logits", "profile", "doctor"})
    void everyCommandHasHelp(String command) {
        CommandLineRun run = command.isEmpty() ? CommandLineRun.of("--help") : CommandLineRun.of(command, "--help");
        assertEquals(0, run.exitCode());
        assertTrue(run.out().contains("Usage: nf4j"), run.out());
    }
}
