package io.github.nf4j.train;

import io.github.nf4j.nn.TokenBatch;
import java.util.Arrays;

/// One training sequence.
///
/// @param ids    token ids
/// @param labels as Hugging Face writes them: for each position the token itself where it is trained, [TokenBatch#MASKED] elsewhere. Not
///               shifted: `labels[t]` is predicted from the tokens before `t`, so `labels[0]` never counts.
record Example(int[] ids, int[] labels) {
    Example {
        if (ids.length != labels.length) {
            throw new IllegalArgumentException("labels has " + labels.length + " entries, input_ids has " + ids.length);
        }
    }

    int length() {
        return ids.length;
    }

    /// Number of tokens that the loss is taken over.
    int trainedTokens() {
        int count = 0;
        for (int t = 1; t < labels.length; t++) {
            if (labels[t] != TokenBatch.MASKED) {
                count++;
            }
        }
        return count;
    }

    /// The first `length` tokens.
    Example truncated(int length) {
        return new Example(Arrays.copyOf(ids, length), Arrays.copyOf(labels, length));
    }

    /// Where the last run of trained tokens begins: what stands before is the prompt of the final answer.
    int answerStart() {
        int t = lastTrained();
        while (t > 1 && labels[t - 1] != TokenBatch.MASKED) {
            t--;
        }
        return t;
    }

    /// The tokens of the last run of trained ones.
    int[] answer() {
        return Arrays.copyOfRange(labels, answerStart(), lastTrained() + 1);
    }

    private int lastTrained() {
        for (int t = labels.length - 1; t > 0; t--) {
            if (labels[t] != TokenBatch.MASKED) {
                return t;
            }
        }
        throw new IllegalStateException("the example has no trained token");
    }
}
