package io.github.nf4j.train;

import io.github.nf4j.io.FileFormatException;
import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;

/// The examples of a JSONL file, tokenized, with what had to be cut.
///
/// @param file      where they came from
/// @param examples  in the order of the file, each with at least one trained token
/// @param truncated number of examples that were cut at the end to the maximum length
/// @param dropped   number of examples left out because no trained token remained
public record Dataset(Path file, List<Example> examples, int truncated, int dropped) {
    public Dataset {
        examples = List.copyOf(examples);
    }

    /// Reads and tokenizes a file.
    ///
    /// @param maxLength tokens that an example may have; longer ones lose their end
    /// @throws FileFormatException if a line is wrong, the file has no example, or every label is masked
    public static Dataset read(Path file, ExampleEncoder encoder, int maxLength) throws IOException {
        if (maxLength < 2) {
            throw new IllegalArgumentException("max-length " + maxLength + ": a sequence needs at least 2 tokens");
        }
        List<Example> examples = new ArrayList<>();
        int truncated = 0;
        int dropped = 0;
        for (Example example : JsonLines.read(file, encoder::encode)) {
            boolean tooLong = example.length() > maxLength;
            Example kept = tooLong ? example.truncated(maxLength) : example;
            if (kept.trainedTokens() == 0) {
                dropped++;
                continue;
            }
            examples.add(kept);
            truncated += tooLong ? 1 : 0;
        }
        if (examples.isEmpty()) {
            throw new FileFormatException(file, "examples", dropped == 0 ? "the file is empty"
                    : "none of the " + dropped + " examples has a token to train on: every label is masked (-100), or lies behind "
                            + "the maximum length of " + maxLength + " tokens");
        }
        return new Dataset(file, examples, truncated, dropped);
    }

    /// Number of examples.
    public int size() {
        return examples.size();
    }

    /// Tokens that the loss is taken over, in one pass.
    public long trainedTokens() {
        return examples.stream().mapToLong(Example::trainedTokens).sum();
    }

    /// Length of the longest example in tokens.
    public int longest() {
        return examples.stream().mapToInt(Example::length).max().orElseThrow();
    }

    /// Tells data sets apart: depends on every token and label, and on the order.
    int contentHash() {
        int hash = 0;
        for (Example example : examples) {
            hash = 31 * (31 * hash + Arrays.hashCode(example.ids())) + Arrays.hashCode(example.labels());
        }
        return hash;
    }
}
