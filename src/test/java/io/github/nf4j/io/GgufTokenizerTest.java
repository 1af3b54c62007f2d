package io.github.nf4j.io;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.List;
import java.util.OptionalInt;
import java.util.function.Consumer;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.MethodSource;

class GgufTokenizerTest {
    /// A small byte-level vocabulary whose merges show where the pre-tokenizer cuts. `Ġ` is a space, `Ċ` a newline,
    /// `Ã©` is é.
    private static final List<String> TOKENS = List.of("<s>", "</s>", "<tool>", "1", "2", "3", "4", "12", "123", "1234",
            "a", "b", "ab", "Ġ", "Ċ", "ĠĊ", "ĊĊ", "Ġa", "Ġab", "'", "S", "'S", "Ã", "©", "Ã©", "e", "Ì", "ģ", "!", "!Ċ",
            "a'", "abb", "x");
    private static final List<String> MERGES = List.of("1 2", "12 3", "123 4", "Ġ a", "a b", "Ġa b", "Ġ Ċ", "Ċ Ċ",
            "' S", "Ã ©", "! Ċ", "a '");

    @TempDir
    Path folder;

    /// The fixture's tokenizer, written into a GGUF file and made again from it.
    @Test
    void makesTheSameTokenizerAgain() throws IOException {
        Path model = Fixtures.path("models/llama-tied");
        JsonNode json = JsonObject.MAPPER.readTree(Files.readString(model.resolve("tokenizer.json")));
        String[] tokens = new String[384];
        json.get("model").get("vocab").properties().forEach(e -> tokens[e.getValue().asInt()] = e.getKey());
        Integer[] types = new Integer[384];
        Arrays.setAll(types, id -> id < 5 ? 3 : 1);
        List<String> merges = new ArrayList<>();
        json.get("model").get("merges").forEach(m -> merges.add(m.get(0).asText() + " " + m.get(1).asText()));
        Path gguf = writer("gpt-2", List.of(tokens), List.of(types), merges).u32("tokenizer.ggml.eos_token_id", 2)
                .u32("tokenizer.ggml.eot_token_id", 4).u32("tokenizer.ggml.padding_token_id", 0)
                .write(folder.resolve("model.gguf"));
        try (Tokenizer original = Tokenizer.open(model); Tokenizer made = Tokenizer.open(gguf)) {
            for (String text : List.of("The river runs past the mill", "Größe 水 🙂 1024", "<|user|>Add 2 and 3.</s><|assistant|>",
                    "  two  spaces\n\nand lines\r\n\t", "it's I'LL we've", "", " ", "日本語テキスト", "\u0000\u0001\u00ff")) {
                assertArrayEquals(original.encode(text, true), made.encode(text, true), text);
                assertEquals(text, made.decode(made.encode(text, false)));
            }
            assertEquals(384, made.vocabularySize());
            assertEquals(List.of(2, 4), made.eosIds());
            assertEquals(OptionalInt.of(0), made.padId());
        }
    }

    /// Where each pre-tokenizer cuts, seen in the tokens. Spaces in the expectation separate tokens.
    @ParameterizedTest
    @CsvSource(delimiter = '|', quoteCharacter = '`', value = {
            "gpt-2     | 1234     | 1234",
            "default   | 1234     | 1234",
            "smollm    | 1234     | 1 2 3 4",
            "qwen2     | 1234     | 1 2 3 4",
            "llama-bpe | 1234     | 123 4",
            "gpt-2     | a ab     | a Ġab",
            "smollm    | a ab     | a Ġab",
            "gpt-2     | ab'S     | ab ' S",
            "llama-bpe | ab'S     | ab 'S",
            "qwen2     | ab'S     | ab 'S",
            "gpt-2     | !~a      | ! Ċ a",
            "llama-bpe | !~a      | !Ċ a",
            "gpt-2     | a~~~b    | a ĊĊ Ċ b",
            "llama-bpe | a ~b     | a ĠĊ b",
            "gpt-2     | a<s>b    | a <s> b",
            "qwen2     | a<tool>b | a <tool> b",
            "llama-bpe | e\u0301  | e Ì ģ",
            "qwen2     | e\u0301  | Ã©"})
    void splitsAsTheModelsPreTokenizerDoes(String pre, String text, String expected) throws IOException {
        try (Tokenizer tokenizer = small(pre, w -> {})) {
            assertEquals(expected, texts(tokenizer.encode(text.replace('~', '\n'), false)));
        }
    }

    @Test
    void takesWholeWordsFromTheVocabularyWhereLlama3Does() throws IOException {
        try (Tokenizer llama = small("llama-bpe", w -> {}); Tokenizer qwen = small("qwen2", w -> {})) {
            assertEquals("abb", texts(llama.encode("abb", false)));
            assertEquals("ab b", texts(qwen.encode("abb", false)));
        }
    }

    @Test
    void addsBosWhereTheModelWantsIt() throws IOException {
        try (Tokenizer llama = small("llama-bpe", w -> {});
                Tokenizer without = small("llama-bpe", w -> w.bool("tokenizer.ggml.add_bos_token", false));
                Tokenizer qwen = small("qwen2", w -> {});
                Tokenizer with = small("qwen2", w -> w.bool("tokenizer.ggml.add_bos_token", true))) {
            assertEquals("<s> ab", texts(llama.encode("ab", true)));
            assertEquals("ab", texts(llama.encode("ab", false)));
            assertEquals("ab", texts(without.encode("ab", true)));
            assertEquals("ab", texts(qwen.encode("ab", true)));
            assertEquals("<s> ab", texts(with.encode("ab", true)));
        }
    }

    @Test
    void tellsSpecialTokensFromUserDefinedOnes() throws IOException {
        try (Tokenizer tokenizer = small("qwen2", w -> {})) {
            assertEquals("<tool>ab", tokenizer.decode(tokenizer.encode("<s><tool>ab</s>", false), true));
        }
    }

    static Stream<Arguments> lies() {
        return Stream.of(
                lie("SentencePiece", new GgufWriter().string("general.architecture", "llama")
                        .string("tokenizer.ggml.model", "llama")),
                lie("tokenizer.ggml.model", new GgufWriter().string("general.architecture", "llama")),
                lie("'deepseek-llm'", writer("deepseek-llm", TOKENS, types(), MERGES)),
                lie("tokenizer.ggml.token_type", writer("qwen2", TOKENS, List.of(1, 1), MERGES)),
                lie("'a' is there twice", writer("qwen2", List.of("a", "a"), List.of(1, 1), List.of())),
                lie("tokenizer.ggml.merges", writer("qwen2", TOKENS, types(), List.of("ab"))),
                lie("tokenizer.ggml.eos_token_id", writer("qwen2", TOKENS, types(), MERGES)
                        .u32("tokenizer.ggml.eos_token_id", 99)),
                lie("tokenizer.ggml.bos_token_id", writer("llama-bpe", TOKENS, types(), MERGES)));
    }

    private static Arguments lie(String expected, GgufWriter writer) {
        return Arguments.of(expected, writer);
    }

    @ParameterizedTest(name = "{0}")
    @MethodSource("lies")
    void refusesWhatItCannotRead(String expected, GgufWriter writer) throws IOException {
        Path path = writer.write(folder.resolve("model.gguf"));
        String message = assertThrows(FileFormatException.class, () -> Tokenizer.open(path)).getMessage();
        assertTrue(message.contains(expected), message);
    }

    private Tokenizer small(String pre, Consumer<GgufWriter> change) throws IOException {
        GgufWriter writer = writer(pre, TOKENS, types(), MERGES).u32("tokenizer.ggml.bos_token_id", 0);
        change.accept(writer);
        return Tokenizer.open(writer.write(folder.resolve("model.gguf")));
    }

    private static GgufWriter writer(String pre, List<String> tokens, List<Integer> types, List<String> merges) {
        return new GgufWriter().string("general.architecture", "llama").string("tokenizer.ggml.model", "gpt2")
                .string("tokenizer.ggml.pre", pre).strings("tokenizer.ggml.tokens", tokens)
                .i32s("tokenizer.ggml.token_type", types)
                .strings("tokenizer.ggml.merges", merges);
    }

    private static List<Integer> types() {
        List<Integer> types = new ArrayList<>(Collections.nCopies(TOKENS.size(), 1));
        types.set(0, 3);
        types.set(1, 3);
        types.set(2, 4);
        return types;
    }

    private static String texts(int[] ids) {
        return Arrays.stream(ids).mapToObj(TOKENS::get).collect(Collectors.joining(" "));
    }
}
