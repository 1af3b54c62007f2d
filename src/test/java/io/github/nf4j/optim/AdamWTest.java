package io.github.nf4j.optim;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.abort;

import com.fasterxml.jackson.databind.JsonNode;
import io.github.nf4j.Backend;
import io.github.nf4j.BackendUnavailableException;
import io.github.nf4j.Device;
import io.github.nf4j.FixtureFile;
import io.github.nf4j.Stream;
import io.github.nf4j.autograd.Parameter;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.Arrays;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/// Steps of torch's and bitsandbytes' AdamW.
class AdamWTest {
    /// In 32 bits bitsandbytes computes another order of the same formula, which is no more than rounding apart.
    @ParameterizedTest
    @CsvSource({
            "REFERENCE, adamw-torch", "CPU, adamw-torch",
            "REFERENCE, adamw-bitsandbytes-32bit", "CPU, adamw-bitsandbytes-32bit"})
    void stepsWith32BitStatesAreThoseOf(Backend backend, String fixture) {
        steps(backend, fixture, 32, (what, expected, actual) -> {
            for (int i = 0; i < expected.length; i++) {
                assertEquals(expected[i], actual[i], 1e-6 + 2e-6 * Math.abs(expected[i]), what + ", element " + i);
            }
        });
    }

    /// In 8 bits a moment next to the boundary of two codes may take either, and its parameter then goes a little astray: by less
    /// than one step, and only few do.
    @ParameterizedTest
    @CsvSource({"REFERENCE, adamw-bitsandbytes-8bit", "CPU, adamw-bitsandbytes-8bit"})
    void stepsWith8BitStatesAreThoseOf(Backend backend, String fixture) {
        steps(backend, fixture, 8, (what, expected, actual) -> {
            int astray = 0;
            for (int i = 0; i < expected.length; i++) {
                assertEquals(expected[i], actual[i], 0.01, what + ", element " + i);
                astray += Math.abs(expected[i] - actual[i]) > 1e-5 ? 1 : 0;
            }
            assertTrue(astray <= 0.06 * expected.length, what + ": " + astray + " of " + expected.length + " differ");
        });
    }

    @FunctionalInterface
    private interface Comparison {
        void compare(String what, float[] expected, float[] actual);
    }

    private static void steps(Backend backend, String fixture, int bits, Comparison comparison) {
        JsonNode about = FixtureFile.json("optim/" + fixture + ".json");
        FixtureFile file = FixtureFile.safetensors("optim/" + fixture + ".safetensors");
        JsonNode arguments = about.get("arguments");
        try (Device device = Device.open(backend);
                Stream stream = device.newStream();
                Arena arena = Arena.ofConfined();
                Parameter big = new Parameter(device, "big", 1, about.get("sizes").get("big").intValue());
                Parameter small = new Parameter(device, "small", 1, about.get("sizes").get("small").intValue());
                AdamW optimizer = new AdamW(stream, List.of(big, small), new AdamW.Settings(0.9, 0.999, 1e-8,
                        arguments.get("weight_decay").doubleValue(), bits))) {
            List<Parameter> parameters = List.of(big, small);
            parameters.forEach(p -> p.value().copyFrom(file.tensor(p.name() + ".initial", arena).toFloatArray()));
            optimizer.zeroGrad();
            for (int step = 0; step < about.get("steps").intValue(); step++) {
                for (Parameter p : parameters) {
                    p.grad().copyFrom(file.tensor(p.name() + ".grad." + step, arena).toFloatArray());
                }
                optimizer.step(arguments.get("lr").doubleValue(), 0);
                for (Parameter p : parameters) {
                    comparison.compare(p.name() + " after step " + step,
                            file.tensor(p.name() + ".param." + step, arena).toFloatArray(), p.value().toFloatArray());
                }
            }
        }
    }

    @ParameterizedTest
    @CsvSource({"REFERENCE", "CPU"})
    void theGlobalNormIsReportedAndClipped(Backend backend) {
        try (Device device = Device.open(backend);
                Stream stream = device.newStream();
                Parameter first = new Parameter(device, "first", 3, 5);
                Parameter second = new Parameter(device, "second", 1, 7);
                AdamW optimizer = new AdamW(stream, List.of(first, second), new AdamW.Settings(0, 0, 1e3, 0, 32))) {
            float[] zero = new float[15];
            first.value().copyFrom(zero);
            second.value().copyFrom(new float[7]);
            optimizer.zeroGrad();
            float[] gradient = new float[15];
            Arrays.fill(gradient, 2);
            first.grad().copyFrom(gradient);
            second.grad().copyFrom(3, 3, 3, 3, 3, 3, 3);
            double norm = Math.sqrt(15 * 4 + 7 * 9);
            assertEquals(norm, optimizer.step(1, norm / 2), 1e-5);
            // with betas 0 and a huge epsilon the update is the gradient / 1000
            assertEquals(-1e-3, first.value().getFloat(2, 4), 2e-6, "gradient 2, clipped to a half");
            assertEquals(1, optimizer.steps());
        }
    }

    @ParameterizedTest
    @CsvSource({"REFERENCE, 32", "CPU, 32", "CPU, 8", "SIMT, 32", "SIMT, 8"})
    void pagedMomentsChangeNoBit(Backend backend, int bits) {
        try {
            Device.open(backend).close();
        } catch (BackendUnavailableException e) {
            abort(e.getMessage());
        }
        try (Device device = Device.open(backend);
                Stream stream = device.newStream();
                Parameter here = parameter(device);
                Parameter there = parameter(device);
                AdamW plain = new AdamW(stream, List.of(here), new AdamW.Settings(0.9, 0.999, 1e-8, 0.1, bits, false));
                AdamW paged = new AdamW(stream, List.of(there), new AdamW.Settings(0.9, 0.999, 1e-8, 0.1, bits, true))) {
            byte[] before = here.value().segment().toArray(ValueLayout.JAVA_BYTE);
            for (int step = 0; step < 3; step++) {
                step(plain, here, step);
                step(paged, there, step);
            }
            assertEquals(-1, here.value().segment().mismatch(there.value().segment()));
            assertNotEquals(-1, here.value().segment().mismatch(MemorySegment.ofArray(before)));
            AdamW.State moments = plain.states().getFirst();
            assertEquals(-1, moments.m().segment().mismatch(paged.states().getFirst().m().segment()));
            assertEquals(-1, moments.v().segment().mismatch(paged.states().getFirst().v().segment()));
        }
    }

    /// An optimizer that goes on from saved moments takes the very steps of one that was not interrupted.
    @ParameterizedTest
    @CsvSource({"32", "8"})
    void resumedStepsAreTheSame(int bits) {
        try (Device device = Device.open(Backend.REFERENCE);
                Stream stream = device.newStream();
                Parameter whole = parameter(device);
                Parameter resumed = parameter(device);
                AdamW once = new AdamW(stream, List.of(whole), new AdamW.Settings(0.9, 0.999, 1e-8, 0.1, bits));
                AdamW before = new AdamW(stream, List.of(resumed), new AdamW.Settings(0.9, 0.999, 1e-8, 0.1, bits));
                AdamW after = new AdamW(stream, List.of(resumed), new AdamW.Settings(0.9, 0.999, 1e-8, 0.1, bits))) {
            for (int step = 0; step < 3; step++) {
                step(once, whole, step);
                step(before, resumed, step);
            }
            AdamW.State saved = before.states().getFirst();
            AdamW.State restored = after.states().getFirst();
            restored.m().segment().copyFrom(saved.m().segment());
            restored.v().segment().copyFrom(saved.v().segment());
            if (bits == 8) {
                restored.absmax().segment().copyFrom(saved.absmax().segment());
            }
            after.resumeAt(before.steps());
            step(once, whole, 3);
            step(after, resumed, 3);
            assertEquals(-1, whole.value().segment().mismatch(resumed.value().segment()));
        }
    }

    @Test
    void otherStatesAreRefused() {
        assertThrows(IllegalArgumentException.class, () -> new AdamW.Settings(0.9, 0.999, 1e-8, 0, 16));
    }

    private static Parameter parameter(Device device) {
        Parameter parameter = new Parameter(device, "p", 64, 80);
        float[] values = new float[64 * 80];
        for (int i = 0; i < values.length; i++) {
            values[i] = (float) Math.sin(i);
        }
        parameter.value().copyFrom(values);
        return parameter;
    }

    private static void step(AdamW optimizer, Parameter parameter, int step) {
        optimizer.zeroGrad();
        float[] gradient = new float[64 * 80];
        for (int i = 0; i < gradient.length; i++) {
            gradient[i] = (float) Math.cos(i * (step + 1));
        }
        parameter.grad().copyFrom(gradient);
        optimizer.step(0.01, 1);
    }
}
