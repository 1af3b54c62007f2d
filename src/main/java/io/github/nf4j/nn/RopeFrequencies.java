package io.github.nf4j.nn;

/// The rotary frequencies of a model: pair `j` of a head turns by `inverse[j]` a position.
///
/// Formulas and order of operations: `modeling_rope_utils.py` of transformers 5, which computes in F32.
final class RopeFrequencies {
    private final ModelConfig config;

    RopeFrequencies(ModelConfig config) {
        if (config.headSize() % 2 != 0) {
            throw new IllegalArgumentException("head size " + config.headSize() + " is odd; rotary embedding needs pairs");
        }
        this.config = config;
    }

    /// Whether the frequencies depend on the sequence's length.
    boolean dependOnLength() {
        return config.ropeScaling() instanceof RopeScaling.Dynamic;
    }

    /// What cos and sin are multiplied with.
    float scale() {
        return config.ropeScaling() instanceof RopeScaling.Yarn yarn ? (float) yarn.attentionFactor() : 1;
    }

    /// The frequencies for a sequence of `length` positions.
    float[] inverse(int length) {
        return switch (config.ropeScaling()) {
            case RopeScaling.None _ -> unscaled(config.ropeTheta());
            case RopeScaling.Linear linear -> divided(linear.factor());
            case RopeScaling.Dynamic dynamic -> unscaled(stretchedTheta(dynamic.factor(), length));
            case RopeScaling.Llama3 llama3 -> llama3(llama3);
            case RopeScaling.Yarn yarn -> yarn(yarn);
            case RopeScaling.Divisors divisors -> divided(divisors);
        };
    }

    private float[] unscaled(double theta) {
        float[] inverse = new float[config.headSize() / 2];
        for (int j = 0; j < inverse.length; j++) {
            inverse[j] = 1 / turn(theta, j);
        }
        return inverse;
    }

    /// `theta^(2j / headSize)`.
    private float turn(double theta, int j) {
        return (float) Math.pow((float) theta, 2f * j / config.headSize());
    }

    private float[] divided(double factor) {
        float[] inverse = unscaled(config.ropeTheta());
        for (int j = 0; j < inverse.length; j++) {
            inverse[j] /= (float) factor;
        }
        return inverse;
    }

    private float[] divided(RopeScaling.Divisors divisors) {
        float[] inverse = unscaled(config.ropeTheta());
        if (divisors.divisors().size() != inverse.length) {
            throw new IllegalArgumentException("the model has " + divisors.divisors().size()
                    + " rotary divisors; half its head size is " + inverse.length);
        }
        for (int j = 0; j < inverse.length; j++) {
            inverse[j] /= divisors.divisors().get(j).floatValue();
        }
        return inverse;
    }

    private double stretchedTheta(double factor, int length) {
        double longest = Math.max(length, config.maxPositions());
        double size = config.headSize();
        return config.ropeTheta() * Math.pow(factor * longest / config.maxPositions() - (factor - 1), size / (size - 2));
    }

    private float[] llama3(RopeScaling.Llama3 scaling) {
        float[] inverse = unscaled(config.ropeTheta());
        double longWave = scaling.originalMaxPositions() / scaling.lowFrequencyFactor();
        double shortWave = scaling.originalMaxPositions() / scaling.highFrequencyFactor();
        float factor = (float) scaling.factor();
        for (int j = 0; j < inverse.length; j++) {
            float wavelength = (float) (2 * Math.PI) / inverse[j];
            if (wavelength > longWave) {
                inverse[j] /= factor;
            } else if (wavelength >= shortWave) {
                float smooth = ((float) scaling.originalMaxPositions() / wavelength - (float) scaling.lowFrequencyFactor())
                        / (float) (scaling.highFrequencyFactor() - scaling.lowFrequencyFactor());
                inverse[j] = (1 - smooth) * inverse[j] / factor + smooth * inverse[j];
            }
        }
        return inverse;
    }

    private float[] yarn(RopeScaling.Yarn yarn) {
        double low = dimensionTurning(yarn.betaFast(), yarn);
        double high = dimensionTurning(yarn.betaSlow(), yarn);
        if (yarn.truncate()) {
            low = Math.floor(low);
            high = Math.ceil(high);
        }
        low = Math.max(low, 0);
        high = Math.min(high, config.headSize() - 1);
        if (low == high) {
            high += 0.001; // as transformers does: the ramp must not divide by zero
        }
        float[] inverse = new float[config.headSize() / 2];
        for (int j = 0; j < inverse.length; j++) {
            float turn = turn(config.ropeTheta(), j);
            float kept = 1 - Math.clamp((j - (float) low) / (float) (high - low), 0f, 1f);
            inverse[j] = 1 / ((float) yarn.factor() * turn) * (1 - kept) + 1 / turn * kept;
        }
        return inverse;
    }

    /// The dimension that turns `turns` times over the original positions.
    private double dimensionTurning(double turns, RopeScaling.Yarn yarn) {
        return config.headSize() * Math.log(yarn.originalMaxPositions() / (turns * 2 * Math.PI))
                / (2 * Math.log(config.ropeTheta()));
    }
}
