package io.github.nf4j.op;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assertions.fail;

import com.fasterxml.jackson.databind.JsonNode;
import io.github.nf4j.Backend;
import io.github.nf4j.DType;
import io.github.nf4j.Device;
import io.github.nf4j.FixtureFile;
import io.github.nf4j.Nf4State;
import io.github.nf4j.Nf4Weight;
import io.github.nf4j.Stream;
import io.github.nf4j.Tensor;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.DynamicTest;
import org.junit.jupiter.api.TestFactory;

/// Quantization and products against what bitsandbytes wrote, bit for bit where it is exact.
class Nf4FixtureTest {
    private static final List<Backend> BACKENDS = List.of(Backend.REFERENCE, Backend.CPU);
    private static final JsonNode CASES = FixtureFile.json("nf4/cases.json");
    private static final FixtureFile MAPS = FixtureFile.safetensors("nf4/maps.safetensors");
    private static final FixtureFile QUANTIZED = FixtureFile.safetensors("nf4/nf4.safetensors");
    private static final FixtureFile PRODUCTS = FixtureFile.safetensors("nf4/matmul.safetensors");
    /// Unit roundoff of a sum in F32, and of a result in BF16.
    private static final double F32_ROUNDOFF = 0x1p-24;
    private static final double BF16_ROUNDOFF = 0x1p-8;

    /// What runs a case: its JSON, a stream, an arena.
    private interface Check {
        void run(JsonNode node, Stream stream, Arena arena);
    }

    private static List<DynamicTest> tests(String list, Check check) {
        List<DynamicTest> tests = new ArrayList<>();
        for (Backend backend : BACKENDS) {
            for (JsonNode node : CASES.get(list)) {
                tests.add(DynamicTest.dynamicTest(backend + " " + node.get("name").asText(), () -> {
                    try (Device device = Device.open(backend); Stream stream = device.newStream();
                            Arena arena = Arena.ofConfined()) {
                        check.run(node, stream, arena);
                    }
                }));
            }
        }
        assertTrue(tests.size() > BACKENDS.size(), "no cases");
        return tests;
    }

    @TestFactory
    List<DynamicTest> quantizesAsBitsandbytes() {
        return tests("quantize", (node, stream, arena) -> {
            String name = node.get("name").asText();
            Tensor input = QUANTIZED.tensor(name + ".input", arena);
            Nf4State expected = state(QUANTIZED, name, node, input.rows(), input.cols(), arena);
            try (Nf4Weight weight = Nf4Weight.quantize(stream, input, expected.blockSize(), expected.doubleQuant())) {
                assertDequantizes(dequantized(name, expected, arena), stream, weight, arena);
                if (!name.equals("zero-block")) { // whose codes are arbitrary
                    assertSameState(expected, Nf4Ops.exportState(stream, weight, arena));
                }
            }
        });
    }

    @TestFactory
    List<DynamicTest> importsAndExportsWithoutLoss() {
        return tests("quantize", (node, stream, arena) -> {
            String name = node.get("name").asText();
            Tensor input = QUANTIZED.tensor(name + ".input", arena);
            Nf4State state = state(QUANTIZED, name, node, input.rows(), input.cols(), arena);
            try (Nf4Weight weight = imported(stream, state)) {
                assertDequantizes(dequantized(name, state, arena), stream, weight, arena);
                assertSameState(state, Nf4Ops.exportState(stream, weight, arena));
            }
        });
    }

    @TestFactory
    List<DynamicTest> multipliesWithinTheRoundingOfASum() {
        return tests("matmul", (node, stream, arena) -> {
            String name = node.get("name").asText();
            Tensor x = PRODUCTS.tensor(name + ".x", arena);
            Tensor dy = PRODUCTS.tensor(name + ".dy", arena);
            long out = node.get("n").asLong();
            Nf4State state = state(PRODUCTS, name, node, out, x.cols(), arena);
            Tensor w = decode(state, x.dtype(), arena);
            boolean wrong = wrongInBitsandbytes(state);
            double[] expectedY = wrong ? product(x, w, true, false) : PRODUCTS.doubles(name + ".y");
            double[] expectedDx = wrong ? product(dy, w, false, false) : PRODUCTS.doubles(name + ".dx");
            double[] magnitudes = product(x, w, true, true);
            try (Nf4Weight weight = imported(stream, state)) {
                Tensor dx = host(arena, x.dtype(), x.rows(), x.cols());
                Nf4Ops.matmulBackward(stream, dy, weight, dx);
                assertWithin(expectedDx, product(dy, w, false, true), dx, (int) out);

                Tensor y = host(arena, x.dtype(), x.rows(), out);
                Nf4Ops.matmul(stream, x, weight, null, y);
                assertWithin(expectedY, magnitudes, y, (int) x.cols());
                Tensor bias = host(arena, DType.F32, 1, out);
                for (int i = 0; i < expectedY.length; i++) {
                    int column = i % (int) out;
                    bias.columns(column, 1).copyFrom(column - 3);
                    expectedY[i] += column - 3;
                    magnitudes[i] += Math.abs(column - 3);
                }
                Nf4Ops.matmul(stream, x, weight, bias, y);
                assertWithin(expectedY, magnitudes, y, (int) x.cols() + 1);
            }
        });
    }

    /// Whether bitsandbytes 0.50.2 on a CPU with AVX-512 takes the scales of other blocks, as it does where 32 divides
    /// the columns and the block size does not: then `(row * (cols / blockSize) + col / blockSize)` is its block. What
    /// it packed is right, so the expectation is computed from that.
    private static boolean wrongInBitsandbytes(Nf4State state) {
        return state.rows() > 1 && state.cols() % 32 == 0 && state.cols() % state.blockSize() != 0
                && state.rows() * state.cols() > state.blockSize();
    }

    private static Tensor dequantized(String name, Nf4State state, Arena arena) {
        Tensor fixture = QUANTIZED.tensor(name + ".dequantized", arena);
        return wrongInBitsandbytes(state) ? decode(state, fixture.dtype(), arena) : fixture;
    }

    /// The formula of the format, in F32, rounded once.
    private static Tensor decode(Nf4State state, DType dtype, Arena arena) {
        float[] values = new float[(int) (state.rows() * state.cols())];
        for (int i = 0; i < values.length; i++) {
            int pair = Byte.toUnsignedInt(state.codes().get(ValueLayout.JAVA_BYTE, i / 2));
            int block = i / state.blockSize();
            float absmax = state.doubleQuant()
                    ? at(state.nestedMap(), Byte.toUnsignedInt(state.absmax8().get(ValueLayout.JAVA_BYTE, block)))
                            * at(state.nestedAbsmax(), block / 256) + state.nestedOffset()
                    : at(state.absmax(), block);
            values[i] = at(state.quantMap(), i % 2 == 0 ? pair >> 4 : pair & 15) * absmax;
        }
        Tensor tensor = host(arena, dtype, state.rows(), state.cols());
        tensor.copyFrom(values);
        return tensor;
    }

    private static float at(MemorySegment floats, long index) {
        return floats.getAtIndex(ValueLayout.JAVA_FLOAT, index);
    }

    private static Nf4Weight imported(Stream stream, Nf4State state) {
        Nf4Weight weight = Nf4Weight.allocate(stream.device(), state.rows(), state.cols(), state.blockSize(),
                state.doubleQuant());
        Nf4Ops.importState(stream, state, weight);
        return weight;
    }

    private static Nf4State state(FixtureFile file, String name, JsonNode node, long rows, long cols, Arena arena) {
        int blockSize = node.path("blocksize").asInt(64);
        MemorySegment codes = file.segment(name + ".packed", arena);
        MemorySegment map = MAPS.segment("nf4_code", arena);
        return node.get("nested").asBoolean()
                ? Nf4State.nested(rows, cols, blockSize, codes, file.segment(name + ".absmax_q8", arena), map,
                        file.segment(name + ".nested_absmax", arena), MAPS.segment("signed", arena),
                        (float) node.get("nested_offset").asDouble())
                : Nf4State.plain(rows, cols, blockSize, codes, file.segment(name + ".absmax", arena), map);
    }

    private static void assertSameState(Nf4State expected, Nf4State actual) {
        assertEquals(expected.rows(), actual.rows());
        assertEquals(expected.cols(), actual.cols());
        assertEquals(expected.blockSize(), actual.blockSize());
        assertSame("codes", expected.codes(), actual.codes());
        assertSame("quantMap", expected.quantMap(), actual.quantMap());
        assertSame("absmax", expected.absmax(), actual.absmax());
        assertSame("absmax8", expected.absmax8(), actual.absmax8());
        assertSame("nestedAbsmax", expected.nestedAbsmax(), actual.nestedAbsmax());
        assertSame("nestedMap", expected.nestedMap(), actual.nestedMap());
        assertEquals(expected.nestedOffset(), actual.nestedOffset(), "nestedOffset");
    }

    private static void assertSame(String part, MemorySegment expected, MemorySegment actual) {
        if (expected == null || actual == null) {
            assertEquals(expected, actual, part);
        } else {
            assertArrayEquals(expected.toArray(ValueLayout.JAVA_BYTE), actual.toArray(ValueLayout.JAVA_BYTE), part);
        }
    }

    /// Whole and by rows. -0 equals +0, everything else bit for bit.
    private static void assertDequantizes(Tensor expected, Stream stream, Nf4Weight weight, Arena arena) {
        Tensor actual = host(arena, expected.dtype(), expected.rows(), expected.cols());
        Nf4Ops.dequantize(stream, weight, 0, actual);
        assertSameValues(expected, actual);
        long first = expected.rows() / 2;
        Tensor some = host(arena, expected.dtype(), expected.rows() - first, expected.cols());
        Nf4Ops.dequantize(stream, weight, first, some);
        assertSameValues(expected.rows(first, some.rows()), some);
    }

    private static void assertSameValues(Tensor expected, Tensor actual) {
        float[] want = expected.toFloatArray();
        float[] have = actual.toFloatArray();
        for (int i = 0; i < want.length; i++) {
            if (want[i] != have[i]) {
                fail("element " + i + " is " + have[i] + ", not " + want[i]);
            }
        }
    }

    /// a * w^T, or a * w; with `magnitudes` |a| * |w|, what the rounding errors of the product grow with.
    private static double[] product(Tensor a, Tensor w, boolean transpose, boolean magnitudes) {
        int m = (int) a.rows();
        int k = (int) a.cols();
        int n = (int) (transpose ? w.rows() : w.cols());
        double[] sums = new double[m * n];
        for (int i = 0; i < m; i++) {
            for (int j = 0; j < n; j++) {
                for (int p = 0; p < k; p++) {
                    double term = (double) a.getFloat(i, p) * (transpose ? w.getFloat(j, p) : w.getFloat(p, j));
                    sums[i * n + j] += magnitudes ? Math.abs(term) : term;
                }
            }
        }
        return sums;
    }

    private static void assertWithin(double[] expected, double[] magnitudes, Tensor actual, int terms) {
        double output = actual.dtype() == DType.BF16 ? BF16_ROUNDOFF : F32_ROUNDOFF;
        int large = 0;
        for (int i = 0; i < expected.length; i++) {
            double bound = output * Math.abs(expected[i]) + 1.01 * terms * F32_ROUNDOFF * magnitudes[i];
            double value = actual.getFloat(i / actual.cols(), i % actual.cols());
            if (!(Math.abs(value - expected[i]) <= bound)) {
                fail("element " + i + " is " + value + ", not " + expected[i] + " within " + bound);
            }
            large += Math.abs(expected[i]) > bound ? 1 : 0;
        }
        assertTrue(large > expected.length * 9 / 10, "the bound would let zeros pass");
    }

    private static Tensor host(Arena arena, DType dtype, long rows, long cols) {
        return Tensor.ofHost(arena.allocate(rows * cols * dtype.bytes(), 64), dtype, rows, cols);
    }
}
