package io.github.nf4j.op;

import io.github.nf4j.Nf4Weight;
import io.github.nf4j.Tensor;
import java.util.Objects;

/// The frozen weight [out, in] of a linear layer, dense or quantized, with its bias.
public sealed interface LinearWeight {
    /// [1, out], F32 or of the activations' type, or null.
    Tensor bias();

    /// Out features.
    long rows();

    /// In features.
    long cols();

    /// @param weight [out, in] F32 or BF16
    /// @param bias   [1, out] or null
    static LinearWeight dense(Tensor weight, Tensor bias) {
        return new Dense(weight, bias);
    }

    /// @param weight [out, in]
    /// @param bias   [1, out] or null
    static LinearWeight nf4(Nf4Weight weight, Tensor bias) {
        return new Nf4(weight, bias);
    }

    /// A weight in F32 or BF16.
    record Dense(Tensor weight, Tensor bias) implements LinearWeight {
        public Dense {
            Objects.requireNonNull(weight, "weight");
        }

        @Override
        public long rows() {
            return weight.rows();
        }

        @Override
        public long cols() {
            return weight.cols();
        }
    }

    /// A weight in 4 bits.
    record Nf4(Nf4Weight weight, Tensor bias) implements LinearWeight {
        public Nf4 {
            Objects.requireNonNull(weight, "weight");
        }

        @Override
        public long rows() {
            return weight.rows();
        }

        @Override
        public long cols() {
            return weight.cols();
        }
    }
}
