package io.github.nf4j.io;

import io.github.nf4j.nn.RopeScaling;

/// The rotary settings of a `config.json`: `rope_parameters` since transformers 5, before that `rope_theta` and
/// `rope_scaling` with its type under `rope_type` or, older still, `type`.
record HuggingFaceRope(double theta, RopeScaling scaling) {
    private static final double DEFAULT_THETA = 10_000;

    static HuggingFaceRope read(JsonObject config, int maxPositions) {
        double theta = config.positive("rope_theta", DEFAULT_THETA);
        // transformers lets the older field win where a file has both
        String field = config.has("rope_scaling") ? "rope_scaling" : "rope_parameters";
        if (!config.has(field)) {
            return new HuggingFaceRope(theta, new RopeScaling.None());
        }
        JsonObject rope = config.object(field);
        if (rope.number("partial_rotary_factor", 1) != 1) {
            throw rope.problem("partial_rotary_factor", rope.get("partial_rotary_factor")
                    + " is not supported; nf4j implements 1 alone");
        }
        rope.node().properties().forEach(entry -> {
            if (entry.getValue().isContainerNode()) {
                throw rope.problem(entry.getKey(),
                        "is not supported; nf4j implements one setting for all layers and positions");
            }
        });
        return new HuggingFaceRope(rope.positive("rope_theta", theta), scaling(rope, maxPositions));
    }

    private static RopeScaling scaling(JsonObject rope, int maxPositions) {
        String field = rope.has("rope_type") ? "rope_type" : "type";
        String type = rope.string(field, "default");
        return switch (type) {
            case "default" -> new RopeScaling.None();
            case "linear" -> new RopeScaling.Linear(rope.positive("factor"));
            case "dynamic" -> new RopeScaling.Dynamic(rope.positive("factor"));
            case "llama3" -> llama3(rope, maxPositions);
            case "yarn" -> yarn(rope, maxPositions);
            default -> throw rope.problem(field, "'" + type
                    + "' is not supported; nf4j implements default, linear, dynamic, llama3 and yarn");
        };
    }

    private static RopeScaling llama3(JsonObject rope, int maxPositions) {
        double low = rope.positive("low_freq_factor");
        double high = rope.positive("high_freq_factor");
        if (high <= low) {
            throw rope.problem("high_freq_factor", high + " is not above low_freq_factor " + low);
        }
        return new RopeScaling.Llama3(rope.positive("factor"), low, high,
                rope.positive("original_max_position_embeddings", maxPositions));
    }

    private static RopeScaling yarn(JsonObject rope, int maxPositions) {
        double original = rope.positive("original_max_position_embeddings", maxPositions);
        double factor = rope.positive("factor", maxPositions / original);
        double mscale = rope.number("mscale", 0);
        double mscaleAllDimensions = rope.number("mscale_all_dim", 0);
        double recommended = mscale != 0 && mscaleAllDimensions != 0
                ? RopeScaling.Yarn.attentionFactor(factor, mscale) / RopeScaling.Yarn.attentionFactor(factor,
                        mscaleAllDimensions)
                : RopeScaling.Yarn.attentionFactor(factor, 1);
        return new RopeScaling.Yarn(factor, rope.positive("attention_factor", recommended),
                rope.positive("beta_fast", 32), rope.positive("beta_slow", 1), original, rope.bool("truncate", true));
    }
}
