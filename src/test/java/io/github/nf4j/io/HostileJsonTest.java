package io.github.nf4j.io;

import static java.nio.charset.StandardCharsets.UTF_16;
import static java.nio.charset.StandardCharsets.UTF_8;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.github.nf4j.io.FuzzTarget.Format;
import java.io.IOException;
import java.nio.file.Path;
import java.util.stream.Stream;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.MethodSource;

/// Lies in what is written as JSON: config.json, tokenizer.json, adapter_config.json, a JSONL file, bitsandbytes' quant_state.
/// [SafetensorsHostileTest] and [GgufHostileTest] have those of the files of weights, [ModelFilesTest] those of an index of shards.
class HostileJsonTest {
    @TempDir
    Path folder;

    /// A file that is read, with ' for ". The lies change something in it.
    private static String honest(Format format) {
        return switch (format) {
            case CONFIG -> "{'model_type': 'llama', 'hidden_size': 64, 'intermediate_size': 160, 'num_hidden_layers': 4, "
                    + "'num_attention_heads': 4, 'num_key_value_heads': 2, 'vocab_size': 384, 'max_position_embeddings': 256}";
            case TOKENIZER -> "{'model': {'type': 'BPE', 'vocab': {'a': 0, 'b': 1, 'ab': 2}, 'merges': ['a b']}}";
            case ADAPTER -> "{'peft_type': 'LORA', 'r': 8, 'lora_alpha': 16, 'lora_dropout': 0, 'target_modules': ['q_proj']}";
            case JSONL -> "{'input_ids': [5, 6], 'labels': [5, 6]}";
            case QUANT_STATE -> "{'quant_type': 'nf4', 'blocksize': 64, 'shape': [64, 160], 'dtype': 'bfloat16', "
                    + "'nested_blocksize': 256, 'nested_dtype': 'float32', 'nested_offset': 0.2}";
            case SAFETENSORS, GGUF -> throw new IllegalArgumentException(format + " is no JSON");
        };
    }

    private static byte[] bytes(String text) {
        return text.replace('\'', '"').getBytes(UTF_8);
    }

    /// What is wrong in any JSON.
    static Stream<Arguments> liesOfAllFormats() {
        return Stream.of(Format.CONFIG, Format.TOKENIZER, Format.ADAPTER, Format.JSONL, Format.QUANT_STATE).flatMap(format -> {
            String honest = honest(format);
            String key = honest.substring(1, honest.indexOf(':'));
            byte[] notUtf8 = bytes("{'x': 'y', " + honest.substring(1));
            notUtf8[notUtf8.length / 2] = (byte) 0xff;
            return Stream.of(
                    lie(format, "nothing", "", format == Format.JSONL ? "empty" : "expected a JSON object"),
                    lie(format, "zeros", "\0".repeat(64), "malformed"),
                    lie(format, "one half", honest.substring(0, honest.length() / 2), "malformed"),
                    lie(format, "a list", "[" + honest + "]", "expected a JSON object"),
                    lie(format, "something behind the end", honest + " {}", "malformed"),
                    lie(format, "a key twice", "{" + key + ": 0, " + honest.substring(1), "Duplicate"),
                    lie(format, "1,000 levels", "{'x': " + "[".repeat(1000) + "]".repeat(1000) + "}", "malformed"),
                    lie(format, "a number of 5,000 digits", "{'x': " + "9".repeat(5000) + "}", "malformed"),
                    lie(format, "4,096 keys of one hash", keysOfOneHash(), "malformed"),
                    Arguments.of(format, "a byte that is not UTF-8", notUtf8, "UTF-8"),
                    Arguments.of(format, "UTF-16", honest.replace('\'', '"').getBytes(UTF_16), "UTF-8"));
        });
    }

    /// Jackson's table of names multiplies by 33, so that aB and b! are alike to it wherever they stand.
    private static String keysOfOneHash() {
        StringBuilder json = new StringBuilder("{");
        for (int key = 0; key < 4096; key++) {
            json.append(key == 0 ? "'" : ", '");
            for (int bit = 0; bit < 12; bit++) {
                json.append((key >> bit & 1) == 0 ? "aB" : "b!");
            }
            json.append("': 0");
        }
        return json.append('}').toString();
    }

    static Stream<Arguments> liesOfOneFormat() {
        return Stream.of(
                config("'hidden_size': 64", "'hidden_size': 1099511627776", "hidden_size: expected an integer from 1 to"),
                config("'hidden_size': 64", "'hidden_size': -64", "hidden_size: expected an integer from 1 to"),
                config("'hidden_size': 64", "'hidden_size': 64.5", "hidden_size: expected an integer from 1 to"),
                config("'hidden_size': 64", "'hidden_size': 1e400", "hidden_size: expected an integer from 1 to"),
                config("'hidden_size': 64", "'hidden_size': NaN", "malformed"),
                config("'num_hidden_layers': 4", "'num_hidden_layers': 2147483647", "num_hidden_layers: expected an integer from 1 to"),
                config("'num_attention_heads': 4", "'head_dim': 2147483646, 'num_attention_heads': 4",
                        "head_dim: expected an integer from 1 to"),
                config("'num_key_value_heads': 2", "'num_key_value_heads': 0", "num_key_value_heads: expected an integer from 1 to"),
                config("'vocab_size': 384", "'vocab_size': 0", "vocab_size: expected an integer from 1 to"),
                config("'vocab_size': 384", "'vocab_size': 384, 'eos_token_id': [2, 4294967298]", "eos_token_id: expected an integer"),
                config("'vocab_size': 384", "'vocab_size': 384, 'rope_theta': 1e999", "rope_theta: expected a finite number"),
                config("'llama'", "'" + "m".repeat(1 << 20) + "'", "model_type: 'mmm"),
                config("'llama'", "'\\u001b[2J\\u009b2J'", "model_type: "),

                tokenizer("'a': 0", "'a': 2147483647", "vocab.a: expected an integer from 0 to"),
                tokenizer("'a': 0", "'a': 'x'", "vocab.a: expected an integer from 0 to"),
                tokenizer("'a b'", "{'a': 'b'}", "merges: expected"),
                tokenizer("'a b'", "'a c'", "tokenizer: "),
                tokenizer("{'model':", "{'added_tokens': [5], 'model':", "added_tokens: expected a list of objects"),
                tokenizer("{'model':", "{'added_tokens': [{'id': 3}], 'model':", "added_tokens.content: missing"),
                tokenizer("{'model':", "{'added_tokens': [{'id': 99999999, 'content': 'c'}], 'model':",
                        "added_tokens.id: expected an integer"),
                tokenizer("{'model':", "{'pre_tokenizer': {'type': 'Split', 'pattern': {'Regex': '('}, 'behavior': 'Isolated', "
                        + "'invert': false}, 'model':", "tokenizer: "),

                adapter("'r': 8", "'r': 2147483648", "r: expected an integer from 1 to"),
                adapter("'r': 8", "'r': -8", "r: expected an integer from 1 to"),
                adapter("'lora_alpha': 16", "'lora_alpha': 1e999", "lora_alpha: expected a finite number"),
                adapter("'lora_dropout': 0", "'lora_dropout': 2", "dropout is 2.0"),
                adapter("['q_proj']", "7", "target_modules: expected a list of strings"),
                adapter("['q_proj']", "[['q_proj']]", "target_modules: expected a list of strings"),
                adapter("['q_proj']", "'" + "(".repeat(100_000) + ")".repeat(100_000) + "'", "adapter configuration: "),
                adapter("['q_proj']", "'" + "a?".repeat(100_000) + "'", "adapter configuration: "),
                adapter("['q_proj']", "['q_proj'], 'rank_pattern': {'" + "(".repeat(10_000) + "': 8}", "adapter configuration: "),
                adapter("['q_proj']", "['q_proj'], 'layers_to_transform': [4294967296]", "layers_to_transform: expected an integer"),

                jsonl("[5, 6]}", "[5, 9223372036854775808]}", "line 1: labels[1] is 9223372036854775808"),
                jsonl("'input_ids': [5, 6]", "'input_ids': [5, " + "6".repeat(900) + "]", "line 1: input_ids[1] is 666"),
                jsonl("{'input_ids': [5, 6], 'labels': [5, 6]}", "{'text': ['" + "t".repeat(1 << 20) + "']}",
                        "line 1: text: expected a string"),

                state("[64, 160]", "[2147483647, 2147483647]", "by the quantization state"),
                state("[64, 160]", "[4294967296, 4294967296]", "shape: expected two sizes"),
                state("[64, 160]", "[64, 160, 1]", "shape: expected two sizes"),
                state("'blocksize': 64", "'blocksize': 2147483648", "blocksize: expected an integer from 1 to"),
                state("'nested_blocksize': 256", "'nested_blocksize': 0", "nested_blocksize: expected an integer from 1 to"),
                state("0.2", "1e999", "nested_offset: expected a finite number"),
                state("'nf4'", "4", "quant_type: expected a string"));
    }

    private static Arguments lie(Format format, String name, String text, String message) {
        return Arguments.of(format, name, bytes(text), message);
    }

    private static Arguments changed(Format format, String from, String to, String message) {
        String honest = honest(format);
        assertTrue(honest.contains(from), format + " has no " + from);
        String name = to.length() > 80 ? to.substring(0, 80) + "…" : to;
        return lie(format, name, honest.replace(from, to), message);
    }

    private static Arguments config(String from, String to, String message) {
        return changed(Format.CONFIG, from, to, message);
    }

    private static Arguments tokenizer(String from, String to, String message) {
        return changed(Format.TOKENIZER, from, to, message);
    }

    private static Arguments adapter(String from, String to, String message) {
        return changed(Format.ADAPTER, from, to, message);
    }

    private static Arguments jsonl(String from, String to, String message) {
        return changed(Format.JSONL, from, to, message);
    }

    private static Arguments state(String from, String to, String message) {
        return changed(Format.QUANT_STATE, from, to, message);
    }

    @ParameterizedTest(name = "{0}: {1}")
    @MethodSource({"liesOfAllFormats", "liesOfOneFormat"})
    void refuses(Format format, String name, byte[] bytes, String message) {
        FuzzTarget target = new FuzzTarget(folder);
        Refusal.expect(target.file(format), message, () -> target.readOrRefuse(format, bytes));
    }

    @ParameterizedTest
    @EnumSource(mode = EnumSource.Mode.EXCLUDE, names = {"SAFETENSORS", "GGUF"})
    void readsWhatTheLiesBeginWith(Format format) throws IOException {
        new FuzzTarget(folder).readOrRefuse(format, bytes(honest(format)));
    }
}
