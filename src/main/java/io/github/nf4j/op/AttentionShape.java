package io.github.nf4j.op;

/// Heads of an attention layer. Query head h uses key-value head h / (heads / kvHeads).
///
/// @param heads   query heads
/// @param kvHeads key-value heads, a divisor of `heads`
/// @param headDim columns of one head
/// @param scale   of q . k before softmax
/// @param window  a query sees itself and the window - 1 keys before it; 0 = no window
public record AttentionShape(int heads, int kvHeads, int headDim, float scale, int window) {
    /// Without a window, scaled by 1 / sqrt(headDim).
    public static AttentionShape of(int heads, int kvHeads, int headDim) {
        return new AttentionShape(heads, kvHeads, headDim, (float) (1 / Math.sqrt(headDim)), 0);
    }

    public AttentionShape withScale(float scale) {
        return new AttentionShape(heads, kvHeads, headDim, scale, window);
    }

    public AttentionShape withWindow(int window) {
        return new AttentionShape(heads, kvHeads, headDim, scale, window);
    }
}
