package io.github.nf4j.nn;

import java.util.List;

/// How rotary frequencies are stretched beyond the length that a model was pretrained on. Unscaled, pair `j` of a head
/// of size `d` turns by `f_j = theta^(-2j/d)` a position.
///
/// Optional numbers are resolved here: every field is the value to compute with. Formulas: `modeling_rope_utils.py` of
/// transformers.
public sealed interface RopeScaling {
    /// No scaling.
    record None() implements RopeScaling {
    }

    /// `f_j / factor`.
    record Linear(double factor) implements RopeScaling {
    }

    /// NTK-aware: for `n` positions beyond the model's `maxPositions` = `m`, theta becomes
    /// `theta · (factor · n/m − (factor − 1))^(d/(d−2))`; up to `m` nothing changes.
    record Dynamic(double factor) implements RopeScaling {
    }

    /// Llama 3: wavelengths above `originalMaxPositions / lowFrequencyFactor` are stretched by `factor`, those below
    /// `originalMaxPositions / highFrequencyFactor` are kept, and those between are interpolated.
    record Llama3(double factor, double lowFrequencyFactor, double highFrequencyFactor, double originalMaxPositions)
            implements RopeScaling {
    }

    /// YaRN (arXiv 2309.00071): low frequencies are divided by `factor`, with a ramp between the dimensions that turn
    /// `betaFast` and `betaSlow` times in `originalMaxPositions`.
    ///
    /// @param attentionFactor multiplies cos and sin. Where the file leaves it open it is computed as transformers
    ///                        does, from `mscale` and `mscale_all_dim`, or from `factor`.
    /// @param truncate        whether the ramp's ends are rounded to whole dimensions
    record Yarn(double factor, double attentionFactor, double betaFast, double betaSlow, double originalMaxPositions,
            boolean truncate) implements RopeScaling {
        /// `0.1 · mscale · ln(scale) + 1`, the attention factor that the paper recommends.
        public static double attentionFactor(double scale, double mscale) {
            return scale <= 1 ? 1 : 0.1 * mscale * Math.log(scale) + 1;
        }
    }

    /// `f_j / divisors[j]`: how GGUF stores Llama 3's scaling (`rope_freqs.weight`).
    ///
    /// @param divisors half as many as a head's size
    record Divisors(List<Double> divisors) implements RopeScaling {
    }
}
