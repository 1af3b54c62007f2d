package io.github.nf4j.train;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.github.nf4j.io.ChatTemplate;
import io.github.nf4j.io.FileFormatException;
import io.github.nf4j.io.Tokenizer;
import io.github.nf4j.nn.TokenBatch;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.Optional;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

class DatasetTest {
    /// Its template renders a turn as `<|role|>content</s>`; `</s>` is token 2.
    private static final Path MODEL = Path.of("src/test/resources/fixtures/models/llama-tied");
    private static final int EOS = 2;
    private static final int VOCABULARY = 384;

    private static Tokenizer tokenizer;
    private static Optional<ChatTemplate> template;

    @TempDir
    private Path folder;

    @BeforeAll
    static void open() throws IOException {
        tokenizer = Tokenizer.open(MODEL);
        template = ChatTemplate.find(MODEL);
    }

    @AfterAll
    static void close() {
        tokenizer.close();
    }

    private Dataset read(int maxLength, String... lines) throws IOException {
        Path file = Files.write(folder.resolve("data.jsonl"), Arrays.asList(lines));
        return Dataset.read(file, new ExampleEncoder(tokenizer, template, VOCABULARY), maxLength);
    }

    private Example one(String line) throws IOException {
        return read(256, line).examples().getFirst();
    }

    private static int[] tokens(String text) {
        return tokenizer.encode(text, false);
    }

    private static int[] trained(Example example) {
        return Arrays.stream(example.labels()).filter(label -> label != TokenBatch.MASKED).toArray();
    }

    @Test
    void chatTrainsTheAssistantsTurnAndItsEnd() throws IOException {
        Example example = one("""
                {"messages": [{"role": "user", "content": "Add 2 and 3."}, {"role": "assistant", "content": "5"}], "id": 7}""");
        assertArrayEquals(new int[] {3, 37, 72, 72, 277, 279, 301, 18, EOS, 4, 25, EOS}, example.ids(), "as transformers renders it");
        int masked = TokenBatch.MASKED;
        assertArrayEquals(new int[] {masked, masked, masked, masked, masked, masked, masked, masked, masked, masked, 25, EOS},
                example.labels());
    }

    @Test
    void chatTrainsEveryAssistantTurn() throws IOException {
        Example example = one("""
                {"messages": [{"role": "user", "content": "one"}, {"role": "assistant", "content": "first answer"},
                 {"role": "user", "content": "two"}, {"role": "assistant", "content": "second"},
                 {"role": "user", "content": "not answered"}]}""".replace("\n", " "));
        assertArrayEquals(tokens("first answer</s>second</s>"), trained(example));
        assertArrayEquals(tokens("second</s>"), example.answer());
        assertArrayEquals(tokens("<|user|>one</s><|assistant|>first answer</s><|user|>two</s><|assistant|>"),
                Arrays.copyOf(example.ids(), example.answerStart()));
    }

    @Test
    void completionTrainsTheAnswerAndEndOfText() throws IOException {
        Example example = one("""
                {"prompt": "def add(a, b):", "completion": " return a"}""");
        int[] prompt = tokenizer.encode("def add(a, b):", true);
        assertArrayEquals(prompt, Arrays.copyOf(example.ids(), example.answerStart()));
        assertEquals("def add(a, b): return a</s>", tokenizer.decode(example.ids()));
        assertEquals(" return a</s>", tokenizer.decode(trained(example)));
    }

    @Test
    void tokenAcrossTheBoundaryBelongsToTheAnswer() throws IOException {
        int[] whole = tokenizer.encode("The river runs past the mill", true);
        int[] prompt = tokenizer.encode("The river runs past the ", true);
        int common = Arrays.mismatch(prompt, whole);
        assertTrue(common >= 0 && common < prompt.length, "the tokenizer joins the space with what follows");
        Example example = one("{\"prompt\": \"The river runs past the \", \"completion\": \"mill\"}");
        assertEquals(common, example.answerStart());
    }

    @Test
    void textTrainsEverythingAndEndOfText() throws IOException {
        Example example = one("""
                {"text": "The river runs past the mill"}""");
        assertArrayEquals(example.ids(), example.labels());
        assertEquals(EOS, example.ids()[example.length() - 1]);
        assertEquals(example.length() - 1, example.trainedTokens(), "the first token has nothing before it");
    }

    @Test
    void tokenizedIsTakenAsGiven() throws IOException {
        Example example = one("""
                {"input_ids": [5, 6, 7, 8], "labels": [-100, -100, 7, 8]}""");
        assertArrayEquals(new int[] {5, 6, 7, 8}, example.ids());
        assertEquals(2, example.trainedTokens());
        assertEquals(2, example.answerStart());
    }

    @Test
    void blankLinesAreSkippedAndCountedInMessages() throws IOException {
        assertEquals(2, read(256, "{\"text\": \"a b\"}", "", "  ", "{\"text\": \"c d\"}", "").size());
        FileFormatException e = assertThrows(FileFormatException.class, () -> read(256, "{\"text\": \"a b\"}", "", "{"));
        assertTrue(e.getMessage().contains("data.jsonl: line 3: malformed JSON"), e.getMessage());
    }

    @Test
    void longExamplesLoseTheirEndAndThoseWithoutLabelsGo() throws IOException {
        String late = "{\"input_ids\": [1, 2, 3, 4, 5, 6], \"labels\": [-100, -100, -100, -100, 5, 6]}";
        String early = "{\"input_ids\": [1, 2, 3, 4, 5, 6], \"labels\": [-100, 2, 3, 4, 5, 6]}";
        String shortOne = "{\"input_ids\": [1, 2, 3], \"labels\": [-100, 2, 3]}";
        String masked = "{\"input_ids\": [1, 2], \"labels\": [1, -100]}"; // the first label is never predicted
        Dataset dataset = read(4, late, early, shortOne, masked);
        assertEquals(2, dataset.size());
        assertEquals(1, dataset.truncated());
        assertEquals(2, dataset.dropped());
        assertArrayEquals(new int[] {1, 2, 3, 4}, dataset.examples().getFirst().ids());
        assertEquals(5, dataset.trainedTokens());
        assertEquals(4, dataset.longest());
    }

    @ParameterizedTest
    @CsvSource(delimiter = '|', textBlock = """
            {"text": "a"} x                                          | malformed JSON
            [1, 2]                                                   | expected a JSON object
            {"text": "a", "text": "b"}                               | malformed JSON
            {"text": "\\q"}                                          | malformed JSON
            {"input_ids": [1, NaN], "labels": [1, 2]}                | malformed JSON
            {"content": "a"}                                         | none of the fields
            {"text": "a", "messages": []}                            | more than one of the fields
            {"text": 5}                                              | text: expected a string, found 5
            {"prompt": "a"}                                          | completion: expected a string, found nothing
            {"messages": []}                                         | messages: expected a list
            {"messages": [{"role": "user"}]}                         | messages[0]: expected the strings role and content
            {"messages": [{"role": "user", "content": ["a"]}]}       | messages[0]: expected the strings role and content
            {"input_ids": [1, 2]}                                    | labels: expected a list of integers, found nothing
            {"input_ids": [1, 2], "labels": [1]}                     | labels has 1 entries, input_ids has 2
            {"input_ids": [1, 384], "labels": [1, 384]}              | input_ids[1] is 384; the model's vocabulary has 384
            {"input_ids": [1, -1], "labels": [1, -100]}              | input_ids[1] is -1
            {"input_ids": [1, 2.5], "labels": [1, 2]}                | input_ids[1] is 2.5; expected an integer
            {"input_ids": [1, 99999999999], "labels": [1, 2]}        | input_ids[1] is 99999999999; expected an integer
            {"input_ids": [1, 2, 3], "labels": [2, 3, -100]}         | labels are not shifted
            {"input_ids": "1 2", "labels": [1, 2]}                   | input_ids: expected a list of integers
            """)
    void hostileLinesAreRefusedWithFileAndLine(String line, String message) {
        FileFormatException e = assertThrows(FileFormatException.class, () -> read(256, "{\"text\": \"fine line\"}", line));
        assertTrue(e.getMessage().contains("data.jsonl: line 2: "), e.getMessage());
        assertTrue(e.getMessage().contains(message), e.getMessage());
    }

    @Test
    void filesWithoutAnythingToTrainAreRefused() {
        assertTrue(assertThrows(FileFormatException.class, () -> read(256)).getMessage().contains("the file is empty"));
        String masked = "{\"input_ids\": [1, 2], \"labels\": [-100, -100]}";
        FileFormatException e = assertThrows(FileFormatException.class, () -> read(256, masked, masked));
        assertTrue(e.getMessage().contains("none of the 2 examples has a token to train on"), e.getMessage());
        String onlyUser = "{\"messages\": [{\"role\": \"user\", \"content\": \"a\"}]}";
        assertThrows(FileFormatException.class, () -> read(256, onlyUser));
    }

    @Test
    void missingFilesFoldersAndOtherEncodingsAreRefused() throws IOException {
        ExampleEncoder encoder = new ExampleEncoder(tokenizer, template, VOCABULARY);
        assertThrows(NoSuchFileException.class, () -> Dataset.read(folder.resolve("none.jsonl"), encoder, 256));
        assertThrows(FileFormatException.class, () -> Dataset.read(folder, encoder, 256));
        Path latin = Files.write(folder.resolve("latin.jsonl"), new byte[] {'{', '"', 't', (byte) 0xE9, '"', '}'});
        FileFormatException e = assertThrows(FileFormatException.class, () -> Dataset.read(latin, encoder, 256));
        assertTrue(e.getMessage().contains("not valid UTF-8"), e.getMessage());
    }

    @Test
    void messagesNeedAChatTemplate() throws IOException {
        Path file = Files.writeString(folder.resolve("chat.jsonl"),
                "{\"messages\": [{\"role\": \"user\", \"content\": \"a\"}]}\n");
        FileFormatException e = assertThrows(FileFormatException.class,
                () -> Dataset.read(file, new ExampleEncoder(tokenizer, Optional.empty(), VOCABULARY), 256));
        assertTrue(e.getMessage().contains("no chat template"), e.getMessage());
    }

    @Test
    void templatesThatRewriteEarlierTurnsAreRefused() throws IOException {
        Path model = Files.createDirectory(folder.resolve("model"));
        Files.writeString(model.resolve("chat_template.jinja"),
                "{% for m in messages %}{% if loop.last %}[last]{% endif %}{{ m['content'] }}</s>{% endfor %}");
        Files.copy(MODEL.resolve("tokenizer_config.json"), model.resolve("tokenizer_config.json"));
        Path file = Files.writeString(folder.resolve("chat.jsonl"), """
                {"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}
                """);
        FileFormatException e = assertThrows(FileFormatException.class,
                () -> Dataset.read(file, new ExampleEncoder(tokenizer, ChatTemplate.find(model), VOCABULARY), 256));
        assertTrue(e.getMessage().contains("messages[1]: the chat template renders"), e.getMessage());
    }
}
