package io.github.nf4j.nn;

import java.util.Arrays;
import java.util.List;

/// Token sequences packed one after the other, without padding; each attends to itself alone.
public final class TokenBatch {
    /// The label of a token that is not trained.
    public static final int MASKED = -100;

    private final int[] tokens;
    private final int[] targets;
    private final int[] offsets;
    private final int trainedTokens;

    private TokenBatch(int[] tokens, int[] targets, int[] offsets) {
        this.tokens = tokens;
        this.targets = targets;
        this.offsets = offsets;
        int trained = 0;
        for (int target : targets) {
            trained += target == MASKED ? 0 : 1;
        }
        this.trainedTokens = trained;
    }

    /// A batch without labels.
    public static TokenBatch of(List<int[]> sequences) {
        return new TokenBatch(packed(sequences), new int[0], offsets(sequences));
    }

    /// A batch to train on.
    ///
    /// @param labels for each sequence as many labels as tokens, in the convention of Hugging Face: not shifted, the label of a
    ///               token is the token itself, or [#MASKED] where it is not to be predicted
    public static TokenBatch of(List<int[]> sequences, List<int[]> labels) {
        if (labels.size() != sequences.size()) {
            throw new IllegalArgumentException(labels.size() + " rows of labels for " + sequences.size() + " sequences");
        }
        int[] offsets = offsets(sequences);
        int[] targets = new int[offsets[sequences.size()]];
        for (int s = 0; s < sequences.size(); s++) {
            int length = sequences.get(s).length;
            if (labels.get(s).length != length) {
                throw new IllegalArgumentException("sequence " + s + " has " + length + " tokens but " + labels.get(s).length
                        + " labels");
            }
            // a position predicts the token after it, and the last position nothing
            System.arraycopy(labels.get(s), 1, targets, offsets[s], length - 1);
            targets[offsets[s + 1] - 1] = MASKED;
        }
        return new TokenBatch(packed(sequences), targets, offsets);
    }

    /// Number of sequences.
    public int sequences() {
        return offsets.length - 1;
    }

    /// Number of tokens of all sequences.
    public int tokens() {
        return tokens.length;
    }

    /// Number of tokens that the loss is computed for; 0 in a batch without labels.
    public int trainedTokens() {
        return trainedTokens;
    }

    int[] tokenIds() {
        return tokens;
    }

    /// For each token the one that follows it, or [#MASKED]; empty in a batch without labels.
    int[] targets() {
        return targets;
    }

    /// Where each sequence begins, and at the end the number of tokens.
    int[] offsets() {
        return offsets;
    }

    private static int[] offsets(List<int[]> sequences) {
        if (sequences.isEmpty()) {
            throw new IllegalArgumentException("a batch needs at least one sequence");
        }
        int[] offsets = new int[sequences.size() + 1];
        for (int s = 0; s < sequences.size(); s++) {
            if (sequences.get(s).length == 0) {
                throw new IllegalArgumentException("sequence " + s + " is empty");
            }
            offsets[s + 1] = Math.addExact(offsets[s], sequences.get(s).length);
        }
        return offsets;
    }

    private static int[] packed(List<int[]> sequences) {
        return sequences.stream().flatMapToInt(Arrays::stream).toArray();
    }
}
