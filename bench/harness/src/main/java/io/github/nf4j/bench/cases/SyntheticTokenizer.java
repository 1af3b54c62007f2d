package io.github.nf4j.bench.cases;

import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.JsonNodeFactory;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Collections;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Set;
import java.util.SplittableRandom;

/// A byte-level BPE tokenizer with as many tokens as a real one, and text in its language: random words, the first ones frequent.
final class SyntheticTokenizer {
    private static final int BYTES = 256;
    private static final int SHORTEST_WORD = 2;
    private static final int LONGEST_WORD = 10;
    private static final String SPACE = "Ġ"; // how byte-level BPE writes the space before a word

    private final Set<String> tokens = new LinkedHashSet<>();
    private final List<String[]> merges = new ArrayList<>();
    private final List<String> words = new ArrayList<>();
    private final SplittableRandom random;

    SyntheticTokenizer(int vocabulary, long seed) {
        random = new SplittableRandom(seed);
        addBytes();
        while (tokens.size() < vocabulary) {
            addWord(vocabulary);
        }
    }

    /// Every byte as a character that can be seen: GPT-2's table.
    private void addBytes() {
        char next = BYTES;
        for (char value = 0; value < BYTES; value++) {
            boolean visible = value >= '!' && value <= '~' || value >= '¡' && value <= '¬' || value >= '®';
            tokens.add(String.valueOf(visible ? value : next++));
        }
    }

    /// Letter by letter, each time with a token for what there is so far: one token a word in the end.
    private void addWord(int vocabulary) {
        int length = random.nextInt(SHORTEST_WORD, LONGEST_WORD + 1);
        String word = SPACE;
        for (int i = 0; i < length && tokens.size() < vocabulary; i++) {
            String letter = String.valueOf((char) random.nextInt('a', 'z' + 1));
            if (tokens.add(word + letter)) {
                merges.add(new String[] {word, letter});
            }
            word += letter;
        }
        words.add(word.substring(SPACE.length()));
    }

    /// Text of `length` characters, each of one byte.
    String text(int length) {
        StringBuilder text = new StringBuilder();
        while (text.length() < length) {
            int rank = (int) Math.exp(random.nextDouble() * Math.log(words.size())); // Zipf's law
            text.append(' ').append(words.get(rank - 1));
            if (rank % 16 == 0) {
                text.append(rank % 32 == 0 ? ".\n" : ",");
            }
        }
        return text.substring(0, length);
    }

    int vocabulary() {
        return tokens.size();
    }

    /// As `tokenizer.json`.
    byte[] json() {
        JsonNodeFactory json = JsonNodeFactory.instance;
        ObjectNode root = json.objectNode().put("version", "1.0");
        root.putArray("added_tokens");
        root.putNull("normalizer");
        ObjectNode byteLevel = json.objectNode().put("type", "ByteLevel").put("add_prefix_space", false).put("trim_offsets", true)
                .put("use_regex", true);
        for (String step : List.of("pre_tokenizer", "post_processor", "decoder")) {
            root.set(step, byteLevel);
        }
        ObjectNode model = root.putObject("model").put("type", "BPE").put("fuse_unk", false).put("byte_fallback", false)
                .put("ignore_merges", false);
        ObjectNode vocabulary = model.putObject("vocab");
        tokens.forEach(token -> vocabulary.put(token, vocabulary.size()));
        ArrayNode list = model.putArray("merges");
        merges.forEach(merge -> list.addArray().add(merge[0]).add(merge[1]));
        return root.toString().getBytes(StandardCharsets.UTF_8);
    }

    void write(Path folder) throws IOException {
        Files.write(folder.resolve("tokenizer.json"), json());
    }

    /// As keys of a GGUF file.
    void putInto(GgufFile gguf) {
        gguf.put("tokenizer.ggml.model", "gpt2");
        gguf.put("tokenizer.ggml.pre", "gpt-2");
        gguf.putTexts("tokenizer.ggml.tokens", List.copyOf(tokens));
        gguf.putNumbers("tokenizer.ggml.token_type", Collections.nCopies(tokens.size(), 1)); // ordinary ones
        gguf.putTexts("tokenizer.ggml.merges", merges.stream().map(merge -> merge[0] + " " + merge[1]).toList());
    }
}
