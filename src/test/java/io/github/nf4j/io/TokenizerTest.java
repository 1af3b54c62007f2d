package io.github.nf4j.io;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.OptionalInt;
import java.util.Random;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

class TokenizerTest {
    private static final Path MODEL = Fixtures.path("models/llama-tied");

    @TempDir
    Path folder;

    @ParameterizedTest
    @ValueSource(strings = {"models/llama-tied", "models/llama-sharded", "models/qwen2", "models/mistral-window"})
    void tokenizesPromptsAndChatsAsTransformersDid(String name) throws IOException {
        Path model = Fixtures.path(name);
        JsonNode expected = JsonObject.MAPPER.readTree(Files.readString(model.resolve("expected.json")));
        try (Tokenizer tokenizer = Tokenizer.open(model)) {
            for (int i = 0; i < expected.get("prompts").size(); i++) {
                int[] ids = tokenizer.encode(expected.get("prompts").get(i).asText(), true);
                assertArrayEquals(ints(expected.get("tokens").get(i)), ids);
                assertEquals(expected.get("prompts").get(i).asText(), tokenizer.decode(ids));
            }
            List<ChatMessage> messages = new ArrayList<>();
            expected.get("chat").get("messages").forEach(m -> messages.add(new ChatMessage(m.get("role").asText(),
                    m.get("content").asText())));
            String chat = ChatTemplate.find(model).orElseThrow().render(messages, false);
            assertArrayEquals(ints(expected.get("chat").get("tokens")), tokenizer.encode(chat, false));
        }
    }

    private static int[] ints(JsonNode list) {
        int[] ints = new int[list.size()];
        Arrays.setAll(ints, i -> list.get(i).asInt());
        return ints;
    }

    @Test
    void knowsItsVocabularyAndSpecialTokens() throws IOException {
        try (Tokenizer tokenizer = Tokenizer.open(MODEL)) {
            assertEquals(384, tokenizer.vocabularySize());
            assertEquals(List.of(2), tokenizer.eosIds());
            assertEquals(OptionalInt.of(0), tokenizer.padId());
            assertEquals(OptionalInt.of(4), tokenizer.id("<|assistant|>"));
            assertEquals(OptionalInt.empty(), tokenizer.id("nothing"));
            int[] ids = {1, 37, 2};
            assertTrue(tokenizer.decode(ids).endsWith("</s>"));
            assertEquals(tokenizer.decode(new int[] {37}), tokenizer.decode(ids, true));
            assertThrows(IllegalArgumentException.class, () -> tokenizer.decode(new int[] {384}));
            assertThrows(IllegalArgumentException.class, () -> tokenizer.decode(new int[] {-1}));
        }
    }

    @Test
    void closesTwice() throws IOException {
        Tokenizer tokenizer = Tokenizer.open(MODEL);
        tokenizer.close();
        tokenizer.close();
    }

    @Test
    void neverTruncatesOrPads() throws IOException {
        String json = Files.readString(MODEL.resolve("tokenizer.json"));
        JsonObject changed = JsonObject.parse(MODEL, "tokenizer", json);
        changed.node().putObject("truncation").put("direction", "Right").put("max_length", 4)
                .put("strategy", "LongestFirst")
                .put("stride", 0);
        changed.node().putObject("padding").put("direction", "Right").put("pad_id", 0).put("pad_type_id", 0)
                .put("pad_token", "<pad>").putNull("pad_to_multiple_of").putObject("strategy").put("Fixed", 64);
        Files.writeString(folder.resolve("tokenizer.json"), changed.node().toString());
        String text = "The river runs past the mill. ".repeat(200);
        try (Tokenizer plain = Tokenizer.open(MODEL); Tokenizer tokenizer = Tokenizer.open(folder)) {
            assertTrue(plain.encode(text, false).length > 2000);
            assertEquals(text, plain.decode(plain.encode(text, false)));
            assertArrayEquals(plain.encode(text, false), tokenizer.encode(text, false));
            assertArrayEquals(plain.encode("a", false), tokenizer.encode("a", false));
        }
    }

    /// Any text comes out of a stream unchanged, whatever pieces it is cut into.
    @Test
    void streamsCharactersThatTakeSeveralTokens() throws IOException {
        long seed = 20260103;
        Random random = new Random(seed);
        try (Tokenizer tokenizer = Tokenizer.open(MODEL)) {
            for (int round = 0; round < 100; round++) {
                StringBuilder text = new StringBuilder();
                for (int i = 0; i < 20; i++) {
                    text.appendCodePoint(switch (random.nextInt(4)) {
                        case 0 -> 'a' + random.nextInt(26);
                        case 1 -> ' ';
                        case 2 -> 0x4e00 + random.nextInt(1000);
                        default -> 0x1f600 + random.nextInt(64);
                    });
                }
                TokenStream stream = new TokenStream(tokenizer, false);
                StringBuilder streamed = new StringBuilder();
                for (int id : tokenizer.encode(text.toString(), false)) {
                    String piece = stream.next(id);
                    assertTrue(piece.indexOf('\uFFFD') < 0, "seed " + seed + ": " + piece);
                    streamed.append(piece);
                }
                assertEquals(text.toString(), streamed.toString(), "seed " + seed);
                assertEquals("", stream.finish());
            }
            int[] cut = tokenizer.encode("水", false);
            assertTrue(cut.length > 1);
            TokenStream stream = new TokenStream(tokenizer, false);
            assertEquals("", stream.next(cut[0]));
            assertTrue(stream.finish().startsWith("\uFFFD"));
        }
    }

    @Test
    void takesEosFromTokenizerAndConfigurations() throws IOException {
        Files.copy(MODEL.resolve("tokenizer.json"), folder.resolve("tokenizer.json"));
        try (Tokenizer bare = Tokenizer.open(folder)) {
            assertEquals(List.of(), bare.eosIds());
            assertEquals(OptionalInt.empty(), bare.padId());
        }
        Files.writeString(folder.resolve("tokenizer_config.json"), "{\"eos_token\": {\"content\": \"<|assistant|>\"}}");
        Files.writeString(folder.resolve("generation_config.json"), "{\"eos_token_id\": [2, 4]}");
        try (Tokenizer tokenizer = Tokenizer.open(folder)) {
            assertEquals(List.of(4, 2), tokenizer.eosIds());
        }
    }

    @ParameterizedTest
    @CsvSource(delimiter = '|', quoteCharacter = '`', value = {
            "{}                                                                          | model",
            "{'model': {'type': 'BPE', 'vocab': {'a': 0}, 'merges': [['a']]}}            | merges",
            "{'model': {'type': 'BPE', 'vocab': {'a': 0}, 'merges': ['ab']}}             | merges",
            "{'model': {'type': 'BPE', 'vocab': {'a': -1}, 'merges': []}}                | vocab.a",
            "{'model': {'type': 'BPE', 'vocab': {'a': 0}, 'merges': [['x', 'y']]}}       | tokenizer",
            "{'model': {'type': 'nothing', 'vocab': {'a': 0}}}                           | tokenizer",
            "{'model'                                                                    | malformed"})
    void refusesMalformedFiles(String json, String expected) throws IOException {
        Files.writeString(folder.resolve("tokenizer.json"), json.replace('\'', '"'));
        String message = assertThrows(FileFormatException.class, () -> Tokenizer.open(folder)).getMessage();
        assertTrue(message.contains("tokenizer.json") && message.contains(expected), message);
    }

    @Test
    void saysWhichFileIsMissing() {
        assertTrue(assertThrows(NoSuchFileException.class, () -> Tokenizer.open(folder)).getMessage()
                .contains("tokenizer.json"));
    }
}
