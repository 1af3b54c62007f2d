package io.github.nf4j.io;

import java.util.ArrayList;
import java.util.List;

/// Decodes tokens one by one, holding back bytes until they are whole characters.
///
/// Tokens are decoded together with those before them, because a character may take several and because some tokenizers
/// treat the first token of a text in a special way.
public final class TokenStream {
    private static final String REPLACEMENT = "\uFFFD";

    private final Tokenizer tokenizer;
    private final boolean skipSpecialTokens;
    /// The tokens of the last printed piece, as context, and all that came after it.
    private final List<Integer> window = new ArrayList<>();
    private int printed;

    public TokenStream(Tokenizer tokenizer, boolean skipSpecialTokens) {
        this.tokenizer = tokenizer;
        this.skipSpecialTokens = skipSpecialTokens;
    }

    /// Takes the next token and returns the text that it completes; empty while a character is incomplete.
    public String next(int id) {
        window.add(id);
        String text = text(window.size());
        if (text.endsWith(REPLACEMENT)) {
            return "";
        }
        String piece = text.substring(text(printed).length());
        window.subList(0, printed).clear();
        printed = window.size();
        return piece;
    }

    /// The text still held back: U+FFFD for what never became a character.
    public String finish() {
        String piece = text(window.size()).substring(text(printed).length());
        window.clear();
        printed = 0;
        return piece;
    }

    private String text(int tokens) {
        return tokenizer.decode(window.subList(0, tokens).stream().mapToInt(Integer::intValue).toArray(),
                skipSpecialTokens);
    }
}
