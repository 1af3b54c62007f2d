package io.github.nf4j.nn;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import com.fasterxml.jackson.databind.JsonNode;
import io.github.nf4j.DType;
import io.github.nf4j.FixtureFile;
import java.util.Collections;
import java.util.List;
import java.util.OptionalInt;
import java.util.stream.StreamSupport;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

class RopeFrequenciesTest {
    private static final JsonNode FIXTURE = FixtureFile.json("rope/frequencies.json");

    static List<JsonNode> cases() {
        return StreamSupport.stream(FIXTURE.get("cases").spliterator(), false).toList();
    }

    @ParameterizedTest
    @MethodSource("cases")
    void areThoseOfTransformers(JsonNode expected) {
        RopeFrequencies frequencies = new RopeFrequencies(config(expected.get("rope_theta").doubleValue(), scaling(expected)));
        float[] inverse = frequencies.inverse(expected.path("length").intValue());
        assertEquals(expected.get("inverse").size(), inverse.length);
        for (int j = 0; j < inverse.length; j++) {
            double value = expected.get("inverse").get(j).doubleValue();
            assertEquals(value, inverse[j], 1e-6 * value, "frequency " + j);
        }
        assertEquals(expected.get("scale").doubleValue(), frequencies.scale(), 1e-7);
    }

    @Test
    void divisorsDivide() {
        List<Double> divisors = Collections.nCopies(32, 2.0);
        float[] plain = new RopeFrequencies(config(10000, new RopeScaling.None())).inverse(1);
        float[] divided = new RopeFrequencies(config(10000, new RopeScaling.Divisors(divisors))).inverse(1);
        for (int j = 0; j < plain.length; j++) {
            assertEquals(plain[j] / 2, divided[j]);
        }
        RopeFrequencies wrong = new RopeFrequencies(config(10000, new RopeScaling.Divisors(List.of(1.0))));
        assertThrows(IllegalArgumentException.class, () -> wrong.inverse(1));
    }

    private static RopeScaling scaling(JsonNode expected) {
        double factor = expected.path("factor").doubleValue();
        double original = expected.path("original_max_position_embeddings").doubleValue();
        return switch (expected.get("rope_type").textValue()) {
            case "default" -> new RopeScaling.None();
            case "linear" -> new RopeScaling.Linear(factor);
            case "dynamic" -> new RopeScaling.Dynamic(factor);
            case "llama3" -> new RopeScaling.Llama3(factor, expected.get("low_freq_factor").doubleValue(),
                    expected.get("high_freq_factor").doubleValue(), original);
            case "yarn" -> new RopeScaling.Yarn(factor,
                    expected.path("attention_factor").asDouble(0.1 * Math.log(factor) + 1),
                    expected.path("beta_fast").asDouble(32), expected.path("beta_slow").asDouble(1), original,
                    expected.path("truncate").asBoolean(true));
            default -> throw new IllegalArgumentException(expected.toString());
        };
    }

    private static ModelConfig config(double theta, RopeScaling scaling) {
        int headSize = FIXTURE.get("head_dim").intValue();
        return new ModelConfig(ModelConfig.Architecture.LLAMA, 384, 4 * headSize, 512, 1, 4, 4, headSize, 1e-6, theta, scaling,
                FIXTURE.get("max_position_embeddings").intValue(), false, false, false, List.of(0), true, DType.F32,
                OptionalInt.empty(), List.of(), OptionalInt.empty(), false);
    }
}
