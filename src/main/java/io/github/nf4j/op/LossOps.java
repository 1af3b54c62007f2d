package io.github.nf4j.op;

import io.github.nf4j.Stream;
import io.github.nf4j.Tensor;
import io.github.nf4j.bindings.Nf4jH;
import io.github.nf4j.internal.Call;
import java.lang.foreign.MemorySegment;

/// Family `loss`: the last linear layer and cross-entropy in one, without ever holding tokens * vocabulary logits.
public final class LossOps {
    private LossOps() {
    }

    /// For each token t with a label: `loss[t] = logsumexp(logits) - logits[label]` with `logits = hidden[t] * head^T +
    /// bias`, and `dhidden[t] = gradScale * (softmax(logits) - onehot(label)) * head`. Tokens with label -100 get 0 in
    /// both.
    ///
    /// @param hidden  [m, n] F32 or BF16
    /// @param head    [vocabulary, n]
    /// @param labels  [1, m] I32
    /// @param loss    [1, m] F32
    /// @param dhidden [m, n], or null when only the loss is wanted
    public static void linearCrossEntropy(Stream stream, Tensor hidden, LinearWeight head, Tensor labels,
                                          float gradScale, Tensor loss, Tensor dhidden) {
        try (Call call = Call.on(stream, "loss.linear_cross_entropy")) {
            MemorySegment input = call.input(hidden);
            MemorySegment linear = Structs.linear(call, head);
            MemorySegment wanted = call.input(labels);
            MemorySegment losses = call.output(loss);
            MemorySegment gradient = call.output(dhidden);
            call.check(call.keepsArenas()
                    ? call.whileOpen(
                            () -> Nf4jH.nf4j_loss_linear_cross_entropy(call.stream(), input, linear, wanted, gradScale, losses, gradient))
                    : Nf4jH.nf4j_loss_linear_cross_entropy(call.stream(), input, linear, wanted, gradScale, losses, gradient));
        }
    }
}
