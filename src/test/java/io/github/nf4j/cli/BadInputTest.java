package io.github.nf4j.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.MethodSource;

/// What a user can get wrong: each ends with its exit code, one message that names what is wrong and where, and nothing written.
class BadInputTest {
    private static final int FAILED = 1;
    private static final int USAGE = 2;
    private static final Path FIXTURES = Path.of("src/test/resources/fixtures");
    private static final String GOOD_LINE = "{\"prompt\": \"one\", \"completion\": \" two\"}\n";

    @TempDir
    private Path folder;

    /// Changes a good model, data file and adapter in the test's folder into what the case is about.
    @FunctionalInterface
    private interface Damage {
        void to(Path folder) throws IOException;
    }

    private static final Damage NONE = _ -> {};

    /// A case of `nf4j finetune`: its options beside `--model`, `--data` and `--output`, and what the message must contain.
    private static Arguments usage(String name, String options, String... message) {
        return Arguments.of(name, USAGE, options, NONE, message);
    }

    private static Arguments damaged(String name, Damage damage, String... message) {
        return Arguments.of(name, FAILED, "", damage, message);
    }

    private static Arguments failing(String name, String options, Damage damage, String... message) {
        return Arguments.of(name, FAILED, options, damage, message);
    }

    private static Damage line(String second) {
        return folder -> Files.writeString(folder.resolve("data.jsonl"), GOOD_LINE + second + "\n");
    }

    private static Damage config(String from, String to) {
        return folder -> replace(folder.resolve("model/config.json"), from, to);
    }

    private static Damage tensors(String from, String to) {
        return folder -> {
            Path file = folder.resolve("model/model.safetensors");
            byte[] bytes = Files.readAllBytes(file);
            byte[] pattern = from.getBytes(StandardCharsets.UTF_8);
            byte[] replacement = to.getBytes(StandardCharsets.UTF_8);
            assertEquals(pattern.length, replacement.length);
            for (int i = 0;; i++) {
                if (Arrays.equals(bytes, i, i + pattern.length, pattern, 0, pattern.length)) {
                    System.arraycopy(replacement, 0, bytes, i, replacement.length);
                    Files.write(file, bytes);
                    return;
                }
            }
        };
    }

    static Stream<Arguments> cases() {
        return Stream.of(
                usage("unknown option", "--lorax", "--lorax"),
                usage("rank 0", "--rank 0", "rank", "0"),
                usage("negative rank", "--rank -4", "rank", "-4"),
                usage("rank in words", "--rank four", "--rank", "four"),
                usage("alpha 0", "--alpha 0", "alpha"),
                usage("dropout 1", "--dropout 1", "dropout"),
                usage("no steps", "--steps 0", "steps", "0"),
                usage("steps and epochs", "--steps 5 --epochs 1", "--steps", "--epochs"),
                usage("no epochs", "--epochs 0", "epochs"),
                usage("negative rate", "--lr -1", "learning rate", "-1"),
                usage("rate not a number", "--lr NaN", "learning rate", "NaN"),
                usage("batch of none", "--batch-size 0", "batch size", "0"),
                usage("no accumulation", "--grad-accum 0", "accumulation"),
                usage("warm-up longer than the run", "--steps 5 --warmup-steps 6", "warmup", "6"),
                usage("length of one", "--max-length 1", "--max-length", "1"),
                usage("unknown schedule", "--schedule sawtooth", "sawtooth"),
                usage("unknown quantization", "--quantize int8", "int8"),
                usage("unknown backend", "--backend opencl", "opencl"),
                usage("negative threads", "--threads -1", "--threads"),
                failing("backend that is not there", "--backend cuda", NONE, "cuda"),
                failing("unknown target module", "--target-modules q_proj,w_pack", NONE, "w_pack", "q_proj"),
                failing("more memory than there is", "--batch-size 500000000", NONE, "not enough memory", "GiB", "smaller batches"),

                damaged("no model", folder -> Files.delete(folder.resolve("model/config.json")), "config.json"),
                damaged("no weights", folder -> Files.delete(folder.resolve("model/model.safetensors")), "model"),
                damaged("config that is no JSON", folder -> Files.writeString(folder.resolve("model/config.json"), "{\"a\":"),
                        "config.json"),
                damaged("unknown architecture", config("\"llama\"", "\"mamba\""), "config.json", "mamba"),
                damaged("unknown field that changes the computation", config("\"hidden_act\": \"silu\"", "\"hidden_act\": \"gelu\""),
                        "config.json", "hidden_act", "gelu"),
                damaged("shape that contradicts the config", config("\"hidden_size\": 64", "\"hidden_size\": 128"), "model"),
                damaged("truncated weights", folder -> truncate(folder.resolve("model/model.safetensors"), 200_000),
                        "model.safetensors"),
                damaged("weights cut within the header", folder -> truncate(folder.resolve("model/model.safetensors"), 100),
                        "model.safetensors"),
                damaged("unknown type of weights", tensors("\"dtype\":\"BF16\"", "\"dtype\":\"BF17\""), "model.safetensors", "BF17"),
                damaged("offsets out of range", tensors("\"data_offsets\":[0,", "\"data_offsets\":[9,"), "model.safetensors"),
                damaged("NaN in the weights", folder -> lastFloat(folder.resolve("model/model.safetensors"), Float.NaN), "NaN",
                        "model."),
                damaged("infinity in the weights", folder -> lastFloat(folder.resolve("model/model.safetensors"),
                        Float.POSITIVE_INFINITY), "model."),
                damaged("no tokenizer", folder -> Files.delete(folder.resolve("model/tokenizer.json")), "tokenizer.json"),

                damaged("no data", folder -> Files.delete(folder.resolve("data.jsonl")), "data.jsonl"),
                damaged("empty data", folder -> Files.writeString(folder.resolve("data.jsonl"), "\n"), "data.jsonl", "empty"),
                damaged("malformed line", line("{\"prompt\": \"one\", "), "data.jsonl", "line 2", "JSON"),
                damaged("line that is a list", line("[1, 2]"), "data.jsonl", "line 2", "object"),
                damaged("line without a known field", line("{\"question\": \"?\"}"), "data.jsonl", "line 2", "completion"),
                damaged("text that is a number", line("{\"prompt\": \"one\", \"completion\": 2}"), "line 2", "completion"),
                damaged("NaN in the data", line("{\"input_ids\": [5, NaN], \"labels\": [5, 6]}"), "line 2"),
                damaged("id outside the vocabulary", line("{\"input_ids\": [5, 384], \"labels\": [5, 384]}"), "line 2", "384"),
                damaged("negative id", line("{\"input_ids\": [5, -1], \"labels\": [5, -1]}"), "line 2", "-1"),
                damaged("fewer labels than ids", line("{\"input_ids\": [5, 6], \"labels\": [5]}"), "line 2", "labels"),
                damaged("everything masked", folder -> Files.writeString(folder.resolve("data.jsonl"),
                        "{\"input_ids\": [5, 6], \"labels\": [-100, -100]}\n"), "data.jsonl", "masked"),

                failing("no adapter", "--init-adapter nowhere", NONE, "nowhere"),
                failing("adapter for another model", "--init-adapter adapter",
                        folder -> copy(FIXTURES.resolve("models/qwen2"), folder.resolve("model")), "adapter"),
                failing("adapter of a kind that nf4j does not train", "--init-adapter adapter",
                        folder -> replace(folder.resolve("adapter/adapter_config.json"), "\"use_dora\": false", "\"use_dora\": true"),
                        "adapter_config.json", "use_dora"),
                failing("truncated adapter", "--init-adapter adapter",
                        folder -> truncate(folder.resolve("adapter/adapter_model.safetensors"), 5000), "adapter_model.safetensors"));
    }

    @ParameterizedTest(name = "{0}")
    @MethodSource("cases")
    void finetuneSaysWhatIsWrong(String name, int exitCode, String options, Damage damage, String[] message) throws IOException {
        copy(FIXTURES.resolve("models/llama-tied"), folder.resolve("model"));
        copy(FIXTURES.resolve("peft/plain"), folder.resolve("adapter"));
        Files.writeString(folder.resolve("data.jsonl"), GOOD_LINE);
        damage.to(folder);
        List<Object> arguments = new ArrayList<>(List.of("finetune", "--model", folder.resolve("model"), "--data",
                folder.resolve("data.jsonl"), "--output", folder.resolve("run")));
        for (String option : options.isEmpty() ? new String[0] : options.split(" ")) {
            arguments.add(option.equals("adapter") ? folder.resolve(option) : option);
        }
        CommandLineRun run = CommandLineRun.of(arguments.toArray());
        assertEquals(exitCode, run.exitCode(), run.err());
        for (String part : message) {
            assertTrue(run.err().contains(part), () -> "no '" + part + "' in: " + run.err());
        }
        assertFalse(run.err().contains("\tat "), "a stack trace is for --stacktrace");
        assertFalse(Files.exists(folder.resolve("run")), "something was written");
    }

    @Test
    void anOutputFolderWithARunIsLeftAsItIs() throws IOException {
        Path run = Files.createDirectory(folder.resolve("run"));
        Files.writeString(run.resolve("adapter_config.json"), "precious");
        CommandLineRun result = CommandLineRun.of("finetune", "--model", FIXTURES.resolve("models/llama-tied"), "--data",
                Files.writeString(folder.resolve("data.jsonl"), GOOD_LINE), "--output", run);
        assertEquals(FAILED, result.exitCode());
        assertTrue(result.err().contains(run.toString()) && result.err().contains("holds a run already"), result.err());
        assertEquals("precious", Files.readString(run.resolve("adapter_config.json")));
    }

    @Test
    void truncatedGgufIsRefused() throws IOException {
        Path file = folder.resolve("model.gguf");
        Files.copy(FIXTURES.resolve("gguf/quants.gguf"), file);
        truncate(file, 1000);
        CommandLineRun result = CommandLineRun.of("generate", "--model", file, "--prompt", "hello");
        assertEquals(FAILED, result.exitCode());
        assertTrue(result.err().contains("model.gguf"), result.err());
    }

    @Test
    void stacktraceShowsWhere() {
        CommandLineRun result = CommandLineRun.of("eval", "--stacktrace", "--model", folder.resolve("none"), "--data", "x");
        assertEquals(FAILED, result.exitCode());
        assertTrue(result.err().contains("\tat io.github.nf4j"), result.err());
    }

    /// The whole of what is printed: what is wrong, near names where there are any, where to read on. No page of help.
    @ParameterizedTest(name = "nf4j {0}")
    @CsvSource(delimiter = '|', value = {
            "| Missing command | | nf4j",
            "finetun | 'finetun' | Did you mean: nf4j finetune | nf4j",
            "zzz | 'zzz' | | nf4j",
            "--model x | '--model' | | nf4j",
            "finetune --modle x | Unknown option: '--modle' | Possible solutions: --model | nf4j finetune",
            "finetune --model x --data y --output z --rnak four | Unknown option: '--rnak' | | nf4j finetune",
            "finetune --model x --data y --output z --rank | Missing required parameter for option '--rank' | | nf4j finetune",
            "finetune --model x --data y --output z --rank --lr 1 | '--rank' | | nf4j finetune",
            "generate --model x | --prompt | | nf4j generate",
            "eval --data y | Missing required option: '--model | | nf4j eval",
            "eval --model x --data y --answers z | --answers | | nf4j eval",
            "doctor now | 'now' | | nf4j doctor",
    })
    void wrongUsageIsSaidInTwoOrThreeLines(String command, String wrong, String nearNames, String help) {
        CommandLineRun run = CommandLineRun.of(command == null ? new Object[0] : command.split(" "));
        assertEquals(USAGE, run.exitCode());
        assertEquals("", run.out());
        List<String> lines = run.err().lines().toList();
        assertEquals(nearNames == null ? 2 : 3, lines.size(), run.err());
        assertTrue(lines.getFirst().contains(wrong), run.err());
        assertTrue(nearNames == null || lines.get(1).startsWith(nearNames), run.err());
        assertEquals("See " + help + " --help.", lines.getLast());
    }

    private static void copy(Path from, Path to) throws IOException {
        Files.createDirectories(to);
        try (Stream<Path> files = Files.list(to)) {
            files.forEach(BadInputTest::delete);
        }
        try (Stream<Path> files = Files.list(from)) {
            for (Path file : (Iterable<Path>) files::iterator) {
                Files.copy(file, to.resolve(file.getFileName()));
            }
        }
    }

    private static void delete(Path file) {
        try {
            Files.delete(file);
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    private static void replace(Path file, String from, String to) throws IOException {
        String text = Files.readString(file);
        assertTrue(text.contains(from), file + " has no " + from);
        Files.writeString(file, text.replace(from, to));
    }

    private static void truncate(Path file, int bytes) throws IOException {
        Files.write(file, Arrays.copyOf(Files.readAllBytes(file), bytes));
    }

    /// Overwrites the last number, of F32 or of BF16, with one that is not finite in either type.
    private static void lastFloat(Path file, float value) throws IOException {
        byte[] bytes = Files.readAllBytes(file);
        ByteBuffer.wrap(bytes).order(ByteOrder.LITTLE_ENDIAN).putFloat(bytes.length - Float.BYTES, value);
        Files.write(file, bytes);
    }
}
