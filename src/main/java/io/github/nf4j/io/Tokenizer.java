package io.github.nf4j.io;

import ai.djl.huggingface.tokenizers.HuggingFaceTokenizer;
import io.github.nf4j.internal.Handle;
import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.io.InputStream;
import java.lang.foreign.MemorySegment;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.OptionalInt;
import java.util.Set;

/// A model's tokenizer: Hugging Face's own implementation, run from `tokenizer.json` or from the vocabulary of a GGUF
/// file.
///
/// Works without a network. Safe for use by several threads until it is closed.
public final class Tokenizer implements AutoCloseable {
    static {
        // Without these, DJL looks for a GPU and downloads a build of the tokenizers for it.
        System.setProperty("ai.djl.offline", System.getProperty("ai.djl.offline", "true"));
        System.setProperty("RUST_FLAVOR", System.getProperty("RUST_FLAVOR", "cpu"));
    }

    private static final Map<String, String> OPTIONS = Map.of("truncation", "false", "padding", "false");

    private final HuggingFaceTokenizer tokenizer;
    private final Handle handle; // DJL would free the native tokenizer under a call on another thread
    private final TokenizerJson json;
    private final List<Integer> eosIds;
    private final OptionalInt padId;

    private Tokenizer(TokenizerJson json, List<Integer> eosIds, OptionalInt padId) throws IOException {
        this.json = json;
        this.eosIds = eosIds;
        this.padId = padId;
        try (InputStream stream = new ByteArrayInputStream(json.text().getBytes(StandardCharsets.UTF_8))) {
            this.tokenizer = HuggingFaceTokenizer.newInstance(stream, OPTIONS);
        } catch (RuntimeException e) { // what the native code throws has no type of its own
            throw new FileFormatException(json.file(), "tokenizer", String.valueOf(e.getMessage()), e);
        }
        this.handle = new Handle(this, "tokenizer of " + json.file(), MemorySegment.NULL);
    }

    /// Opens the tokenizer of a model: `tokenizer.json` in its folder, or the vocabulary in its `.gguf` file.
    ///
    /// @throws FileFormatException if it is malformed or of a kind that nf4j does not implement
    public static Tokenizer open(Path model) throws IOException {
        if (!Files.isDirectory(model)) {
            return GgufTokenizer.open(model);
        }
        TokenizerJson json = TokenizerJson.read(FolderFiles.resolve(model, "tokenizer.json"));
        SpecialTokens special = SpecialTokens.read(model);
        Set<Integer> eosIds = new LinkedHashSet<>();
        json.id(special.texts().get("eos_token")).ifPresent(eosIds::add);
        for (String name : List.of("generation_config.json", "config.json")) {
            Path config = FolderFiles.resolve(model, name);
            if (Files.exists(config)) {
                eosIds.addAll(JsonObject.read(config).integers("eos_token_id", Integer.MAX_VALUE));
            }
        }
        return new Tokenizer(json, List.copyOf(eosIds), json.id(special.texts().get("pad_token")));
    }

    static Tokenizer of(TokenizerJson json, List<Integer> eosIds, OptionalInt padId) throws IOException {
        return new Tokenizer(json, eosIds, padId);
    }

    /// Token ids of a text. Special tokens that the text spells out become their ids.
    ///
    /// @param addSpecialTokens whether the tokens are added that the model expects around a text, such as BOS. False
    ///                         for the output of a chat template, which has them.
    /// @throws FileFormatException if the tokenizer's file has no token for a part of the text, nor one for what is unknown
    public int[] encode(String text, boolean addSpecialTokens) {
        Objects.requireNonNull(text, "text");
        long[] ids;
        handle.acquire();
        try {
            ids = tokenizer.encode(text, addSpecialTokens, false).getIds();
        } catch (RuntimeException e) { // of no type of its own, as above
            throw new FileFormatException(json.file(), "tokenizer", "cannot encode a text: " + e.getMessage(), e);
        } finally {
            handle.release();
        }
        int[] result = new int[ids.length];
        for (int i = 0; i < ids.length; i++) {
            result[i] = Math.toIntExact(ids[i]);
        }
        return result;
    }

    /// The text of tokens, special tokens included. Bytes that are not UTF-8 become U+FFFD; to print tokens one by one,
    /// use a [TokenStream].
    public String decode(int[] ids) {
        return decode(ids, false);
    }

    /// The text of tokens.
    ///
    /// @throws IllegalArgumentException if an id is outside the vocabulary
    public String decode(int[] ids, boolean skipSpecialTokens) {
        long[] wide = new long[ids.length];
        for (int i = 0; i < ids.length; i++) {
            if (ids[i] < 0 || ids[i] >= json.vocabularySize()) {
                throw new IllegalArgumentException("token id " + ids[i] + " is outside the vocabulary of "
                        + json.vocabularySize());
            }
            wide[i] = ids[i];
        }
        handle.acquire();
        try {
            return tokenizer.decode(wide, skipSpecialTokens);
        } finally {
            handle.release();
        }
    }

    /// One more than the largest token id. A model's embedding may have more rows.
    public int vocabularySize() {
        return json.vocabularySize();
    }

    /// Id of a token by its exact text; empty if there is none.
    public OptionalInt id(String token) {
        return json.id(token);
    }

    /// Tokens that end a generation: first the tokenizer's own EOS, which training appends to a text, then those that
    /// the model's configuration adds. May be empty.
    public List<Integer> eosIds() {
        return eosIds;
    }

    /// The padding token, if the tokenizer has one.
    public OptionalInt padId() {
        return padId;
    }

    /// Frees the tokenizer. Closing twice does nothing.
    ///
    /// @throws IllegalStateException if another thread is using it
    @Override
    public void close() {
        if (handle.close()) {
            tokenizer.close();
        }
    }
}
