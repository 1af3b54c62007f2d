package io.github.nf4j.op;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;

import io.github.nf4j.Backend;
import io.github.nf4j.DType;
import io.github.nf4j.Device;
import io.github.nf4j.Stream;
import io.github.nf4j.Tensor;
import java.lang.foreign.Arena;
import java.lang.foreign.ValueLayout;
import java.util.Arrays;
import java.util.Collections;
import java.util.List;
import java.util.Random;
import java.util.stream.IntStream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedClass;
import org.junit.jupiter.params.provider.CsvSource;

/// That every Java method hands every argument to its place: small products written out in Java, with unequal
/// dimensions and different values in each argument. A shared arena is kept open for the calls, which are made in another way then.
@ParameterizedClass(name = "{0}, arena shared: {1}")
@CsvSource({"REFERENCE, false", "CPU, false", "CPU, true"})
class OpsTest {
    private static final float TOLERANCE = 2e-5f;
    private static final long SEED = 4;

    private final Arena arena;
    private final Random random = new Random(SEED);
    private final Device device;
    private final Stream stream;

    OpsTest(Backend backend, boolean shared) {
        arena = shared ? Arena.ofShared() : Arena.ofConfined();
        device = Device.open(backend);
        stream = device.newStream();
    }

    @AfterEach
    void close() {
        stream.close();
        device.close();
        arena.close();
    }

    private Tensor zeros(long rows, long cols) {
        return Tensor.ofHost(arena.allocate(rows * cols * Float.BYTES, 64), DType.F32, rows, cols);
    }

    private Tensor random(long rows, long cols) {
        Tensor tensor = zeros(rows, cols);
        float[] values = new float[(int) (rows * cols)];
        for (int i = 0; i < values.length; i++) {
            values[i] = (float) random.nextGaussian();
        }
        tensor.copyFrom(values);
        return tensor;
    }

    private Tensor ints(int... values) {
        Tensor tensor = Tensor.ofHost(arena.allocate(values.length * 4L, 64), DType.I32, 1, values.length);
        tensor.setInts(values);
        return tensor;
    }

    private Tensor copy(Tensor tensor) {
        Tensor copy = zeros(tensor.rows(), tensor.cols());
        copy.copyFrom(tensor.toFloatArray());
        return copy;
    }

    /// op(a) * op(b), scaled, plus `start` (or null).
    private Tensor product(Tensor a, boolean transposeA, Tensor b, boolean transposeB, double scale, Tensor start) {
        int m = (int) (transposeA ? a.cols() : a.rows());
        int k = (int) (transposeA ? a.rows() : a.cols());
        int n = (int) (transposeB ? b.rows() : b.cols());
        float[] values = new float[m * n];
        for (int i = 0; i < m; i++) {
            for (int j = 0; j < n; j++) {
                double sum = 0;
                for (int p = 0; p < k; p++) {
                    sum += (double) (transposeA ? a.getFloat(p, i) : a.getFloat(i, p))
                            * (transposeB ? b.getFloat(j, p) : b.getFloat(p, j));
                }
                values[i * n + j] = (float) (scale * sum
                        + (start == null ? 0 : start.getFloat(start.rows() == 1 ? 0 : i, j)));
            }
        }
        Tensor product = zeros(m, n);
        product.copyFrom(values);
        return product;
    }

    private static void assertClose(Tensor expected, Tensor actual) {
        assertArrayEquals(expected.toFloatArray(), actual.toFloatArray(), TOLERANCE, "seed " + SEED);
    }

    @Test
    void denseMatmul() {
        for (int flags = 0; flags < 4; flags++) {
            boolean transposeA = (flags & 1) != 0;
            boolean transposeB = (flags & 2) != 0;
            Tensor a = transposeA ? random(7, 3) : random(3, 7);
            Tensor b = transposeB ? random(5, 7) : random(7, 5);
            Tensor bias = random(1, 5);
            Tensor c = random(3, 5);
            Tensor expected = product(a, transposeA, b, transposeB, 1.5, bias);
            Tensor old = copy(c);
            DenseOps.matmul(stream, transposeA, transposeB, 1.5f, 0.5f, a, b, bias, c);
            for (int i = 0; i < 15; i++) {
                assertEquals(expected.getFloat(i / 5, i % 5) + 0.5f * old.getFloat(i / 5, i % 5),
                        c.getFloat(i / 5, i % 5), TOLERANCE);
            }
        }
    }

    @Test
    void lora() {
        Tensor x = random(3, 8);
        Tensor w = random(5, 8);
        Tensor bias = random(1, 5);
        Tensor a = random(2, 8);
        Tensor b = random(5, 2);
        LinearWeight base = LinearWeight.dense(w, bias);
        LoraWeights lora = new LoraWeights(a, b, 6);
        Tensor u = zeros(3, 2);
        Tensor y = zeros(3, 5);
        LoraOps.forward(stream, x, base, lora, u, y);
        assertClose(product(x, false, a, true, 1, null), u);
        assertClose(product(u, false, b, true, 3, product(x, false, w, true, 1, bias)), y);

        LoraOps.forward(stream, x, base, new LoraWeights(a, b, 6, true, 0, 0), u, y);
        assertClose(product(u, false, b, true, 6 / Math.sqrt(2), product(x, false, w, true, 1, bias)), y);

        Tensor dy = random(3, 5);
        Tensor da = random(2, 8);
        Tensor db = random(5, 2);
        Tensor dx = random(3, 8);
        Tensor du = product(dy, false, b, false, 3, null);
        Tensor expectedDa = product(du, true, x, false, 1, da);
        Tensor expectedDb = product(dy, true, u, false, 3, db);
        Tensor expectedDx = product(du, false, a, false, 1, product(dy, false, w, false, 1, null));
        Tensor accumulated = product(du, false, a, false, 1, product(dy, false, w, false, 1, dx));
        Tensor dx2 = copy(dx);
        LoraOps.backward(stream, x, dy, u, base, lora, false, da, db, dx);
        assertClose(expectedDa, da);
        assertClose(expectedDb, db);
        assertClose(expectedDx, dx);
        LoraOps.backward(stream, x, dy, u, base, lora, true, zeros(2, 8), zeros(5, 2), dx2);
        assertClose(accumulated, dx2);
        LoraOps.backward(stream, x, dy, u, base, lora, false, zeros(2, 8), zeros(5, 2), null);
    }

    @Test
    void loraInTwoSteps() {
        Tensor x = random(3, 8);
        LinearWeight base = LinearWeight.dense(random(5, 8), random(1, 5));
        LoraWeights first = new LoraWeights(random(2, 8), random(5, 2), 6);
        LoraWeights second = new LoraWeights(random(4, 8), random(5, 4), 2, true, 0.5f, 1L << 40);
        for (LoraWeights lora : List.of(first, second)) {
            int rank = (int) lora.a().rows();
            Tensor expectedU = zeros(3, rank);
            Tensor expectedY = zeros(3, 5);
            LoraOps.forward(stream, x, base, lora, expectedU, expectedY);
            Tensor u = zeros(3, rank);
            Tensor y = zeros(3, 5);
            Tensor other = zeros(3, 2);
            LoraOps.project(stream, x, List.of(first, lora), List.of(other, u));
            LoraOps.apply(stream, x, base, lora, u, y);
            assertArrayEquals(expectedU.toFloatArray(), u.toFloatArray());
            assertArrayEquals(expectedY.toFloatArray(), y.toFloatArray());
        }
        List<Tensor> many = IntStream.range(0, 40).mapToObj(_ -> zeros(3, 2)).toList();
        LoraOps.project(stream, x, Collections.nCopies(40, first), many);
        many.forEach(u -> assertClose(product(x, false, first.a(), true, 1, null), u));
    }

    @Test
    void loraDropoutIsSeeded() {
        Tensor x = random(4, 64);
        Tensor a = random(2, 64);
        Tensor b = random(8, 2);
        LinearWeight base = LinearWeight.dense(random(8, 64), null);
        Tensor y = zeros(4, 8);
        Tensor one = zeros(4, 2);
        Tensor again = zeros(4, 2);
        Tensor other = zeros(4, 2);
        LoraOps.forward(stream, x, base, new LoraWeights(a, b, 6, false, 0.5f, 1L << 40), one, y);
        LoraOps.forward(stream, x, base, new LoraWeights(a, b, 6, false, 0.5f, 1L << 40), again, y);
        LoraOps.forward(stream, x, base, new LoraWeights(a, b, 6, false, 0.5f, 1L << 41), other, y);
        assertArrayEquals(one.toFloatArray(), again.toFloatArray());
        assertFalse(Arrays.equals(one.toFloatArray(), other.toFloatArray()));
        Tensor seed = Tensor.ofHost(arena.allocate(8, 64), DType.I64, 1, 1);
        seed.segment().set(ValueLayout.JAVA_LONG, 0, 1L << 41);
        LoraOps.forward(stream, x, base, new LoraWeights(a, b, 6, false, 0.5f, 1L << 40, seed), one, y);
        assertArrayEquals(other.toFloatArray(), one.toFloatArray());
    }

    @Test
    void norm() {
        Tensor x = random(3, 4);
        Tensor weight = random(1, 4);
        Tensor rstd = zeros(1, 3);
        Tensor y = zeros(3, 4);
        NormOps.forward(stream, x, weight, 0.25f, rstd, y);
        Tensor dy = random(3, 4);
        Tensor dweight = random(1, 4);
        Tensor dx = random(3, 4);
        Tensor oldDweight = copy(dweight);
        Tensor oldDx = copy(dx);
        NormOps.backward(stream, dy, x, weight, rstd, true, dweight, dx);
        double[] sums = new double[4];
        for (int i = 0; i < 3; i++) {
            double squares = 0;
            double dot = 0;
            for (int j = 0; j < 4; j++) {
                squares += x.getFloat(i, j) * x.getFloat(i, j);
            }
            double r = 1 / Math.sqrt(squares / 4 + 0.25);
            assertEquals(r, rstd.getFloat(0, i), TOLERANCE);
            for (int j = 0; j < 4; j++) {
                assertEquals(x.getFloat(i, j) * r * weight.getFloat(0, j), y.getFloat(i, j), TOLERANCE);
                dot += dy.getFloat(i, j) * weight.getFloat(0, j) * x.getFloat(i, j) * r / 4;
                sums[j] += dy.getFloat(i, j) * x.getFloat(i, j) * r;
            }
            for (int j = 0; j < 4; j++) {
                double expected = r * (dy.getFloat(i, j) * weight.getFloat(0, j) - x.getFloat(i, j) * r * dot);
                assertEquals(oldDx.getFloat(i, j) + expected, dx.getFloat(i, j), TOLERANCE);
            }
        }
        for (int j = 0; j < 4; j++) {
            assertEquals(oldDweight.getFloat(0, j) + sums[j], dweight.getFloat(0, j), TOLERANCE);
        }
        NormOps.backward(stream, dy, x, weight, rstd, false, null, dy);
    }

    @Test
    void rope() {
        Tensor invFreq = zeros(1, 2);
        invFreq.copyFrom(1, 0.25f);
        Tensor table = zeros(2, 4);
        RopeOps.table(stream, ints(0, 6), invFreq, 2, table);
        assertArrayEquals(new float[] {2, 2, 0, 0, (float) (2 * Math.cos(6)), (float) (2 * Math.cos(1.5)),
                (float) (2 * Math.sin(6)), (float) (2 * Math.sin(1.5))}, table.toFloatArray(), TOLERANCE);
        Tensor x = random(2, 8);
        Tensor y = zeros(2, 8);
        RopeOps.forward(stream, x, table, y);
        for (int column : new int[] {0, 1, 4, 5}) {
            float cos = table.getFloat(1, column % 4);
            float sin = table.getFloat(1, column % 4 + 2);
            assertEquals(x.getFloat(1, column) * cos - x.getFloat(1, column + 2) * sin, y.getFloat(1, column),
                    TOLERANCE);
            assertEquals(x.getFloat(1, column + 2) * cos + x.getFloat(1, column) * sin, y.getFloat(1, column + 2),
                    TOLERANCE);
        }
        RopeOps.backward(stream, y, table, y); // the transpose of a rotation scaled by 2
        for (int i = 0; i < 16; i++) {
            assertEquals(4 * x.getFloat(i / 8, i % 8), y.getFloat(i / 8, i % 8), TOLERANCE * 4);
        }
    }

    /// Softmax attention of one query over the keys `from` ... `to` - 1.
    private static double attend(Tensor q, int row, int column, Tensor k, Tensor v, int from, int to, float scale,
                                 int dim, int out) {
        double sum = 0;
        double total = 0;
        for (int key = from; key < to; key++) {
            double score = 0;
            for (int d = 0; d < dim; d++) {
                score += q.getFloat(row, column + d) * k.getFloat(key, d);
            }
            double weight = Math.exp(score * scale);
            total += weight;
            sum += weight * v.getFloat(key, out);
        }
        return sum / total;
    }

    @Test
    void attention() {
        AttentionShape shape = AttentionShape.of(2, 1, 4).withScale(0.4f).withWindow(2);
        Tensor q = random(5, 8);
        Tensor k = random(5, 4);
        Tensor v = random(5, 4);
        Tensor lse = zeros(5, 2);
        Tensor out = zeros(5, 8);
        AttentionOps.forward(stream, shape, PackedSequences.ofLengths(2, 3), q, k, v, lse, out);
        int[] firstKey = {0, 0, 2, 2, 3};
        for (int row = 0; row < 5; row++) {
            assertEquals(attend(q, row, 4, k, v, firstKey[row], row + 1, 0.4f, 4, 3), out.getFloat(row, 7), TOLERANCE);
        }
        Tensor ones = zeros(5, 8);
        MemoryOps.fill(stream, 1, ones);
        Tensor dq = zeros(5, 8);
        Tensor dk = zeros(5, 4);
        Tensor dv = zeros(5, 4);
        AttentionOps.backward(stream, shape, PackedSequences.ofLengths(2, 3), q, k, v, lse, out, ones, dq, dk, dv);
        double sum = 0;
        for (int row = 0; row < 5; row++) {
            sum += dv.getFloat(row, 2);
        }
        assertEquals(10, sum, 1e-4, "each of 5 queries in 2 heads spreads a weight of 1 over the values");
        Tensor moved = copy(q);
        float step = 1e-2f;
        moved.rows(1, 1).columns(3, 1).copyFrom(q.getFloat(1, 3) + step);
        double difference = 0;
        for (int sign = -1; sign <= 1; sign += 2) {
            moved.rows(1, 1).columns(3, 1).copyFrom(q.getFloat(1, 3) + sign * step);
            for (int d = 0; d < 4; d++) {
                difference += sign * attend(moved, 1, 0, k, v, 0, 2, 0.4f, 4, d) / (2 * step);
            }
        }
        assertEquals(difference, dq.getFloat(1, 3), 1e-3);

        // a cache: the last query alone, with its sequence's keys moved elsewhere
        Tensor cacheK = random(9, 4);
        Tensor cacheV = random(9, 4);
        MemoryOps.copy(stream, k.rows(2, 3), cacheK.rows(4, 3));
        MemoryOps.copy(stream, v.rows(2, 3), cacheV.rows(4, 3));
        Tensor last = zeros(1, 8);
        AttentionOps.forward(stream, shape, PackedSequences.withCache(new int[] {1}, new int[] {4}, new int[] {3}),
                q.rows(4, 1), cacheK, cacheV, zeros(1, 2), last);
        assertClose(out.rows(4, 1), last);
    }

    @Test
    void swiglu() {
        Tensor gate = random(2, 3);
        Tensor up = random(2, 3);
        Tensor h = zeros(2, 3);
        MlpOps.swigluForward(stream, gate, up, h);
        Tensor dh = random(2, 3);
        Tensor dgate = zeros(2, 3);
        Tensor dup = zeros(2, 3);
        MlpOps.swigluBackward(stream, dh, gate, up, dgate, dup);
        for (int i = 0; i < 6; i++) {
            double g = gate.getFloat(i / 3, i % 3);
            double sigmoid = 1 / (1 + Math.exp(-g));
            assertEquals(g * sigmoid * up.getFloat(i / 3, i % 3), h.getFloat(i / 3, i % 3), TOLERANCE);
            assertEquals(dh.getFloat(i / 3, i % 3) * g * sigmoid, dup.getFloat(i / 3, i % 3), TOLERANCE);
            assertEquals(dh.getFloat(i / 3, i % 3) * up.getFloat(i / 3, i % 3) * sigmoid * (1 + g * (1 - sigmoid)),
                    dgate.getFloat(i / 3, i % 3), TOLERANCE);
        }
    }

    @Test
    void embedding() {
        Tensor table = random(6, 3);
        Tensor y = zeros(4, 3);
        Tensor ids = ints(5, 0, 2, 5);
        EmbeddingOps.forward(stream, ids, table, y);
        assertArrayEquals(table.rows(5, 1).toFloatArray(), y.rows(3, 1).toFloatArray());
        assertArrayEquals(table.rows(2, 1).toFloatArray(), y.rows(2, 1).toFloatArray());
        Tensor dy = random(4, 3);
        Tensor dtable = random(6, 3);
        float before = dtable.getFloat(5, 1);
        EmbeddingOps.backward(stream, ids, dy, dtable);
        assertEquals(before + dy.getFloat(0, 1) + dy.getFloat(3, 1), dtable.getFloat(5, 1), TOLERANCE);
    }

    @Test
    void loss() {
        Tensor hidden = random(3, 4);
        Tensor head = random(5, 4);
        Tensor bias = random(1, 5);
        Tensor loss = random(1, 3);
        Tensor dhidden = random(3, 4);
        int[] labels = {2, -100, 4};
        LossOps.linearCrossEntropy(stream, hidden, LinearWeight.dense(head, bias), ints(labels), 0.25f, loss, dhidden);
        Tensor logits = product(hidden, false, head, true, 1, bias);
        Tensor dlogits = zeros(3, 5);
        for (int t = 0; t < 3; t++) {
            double total = 0;
            for (int j = 0; j < 5; j++) {
                total += Math.exp(logits.getFloat(t, j));
            }
            double expected = labels[t] < 0 ? 0 : Math.log(total) - logits.getFloat(t, labels[t]);
            assertEquals(expected, loss.getFloat(0, t), TOLERANCE);
            for (int j = 0; j < 5 && labels[t] >= 0; j++) {
                double p = Math.exp(logits.getFloat(t, j)) / total;
                dlogits.rows(t, 1).columns(j, 1).copyFrom((float) (0.25 * (p - (j == labels[t] ? 1 : 0))));
            }
        }
        assertClose(product(dlogits, false, head, false, 1, null), dhidden);
        LossOps.linearCrossEntropy(stream, hidden, LinearWeight.dense(head, bias), ints(labels), 0.25f, loss, null);
    }

    @Test
    void adamw() {
        Tensor first = random(2, 3);
        Tensor firstGrad = random(2, 3);
        Tensor second = random(1, 5);
        Tensor secondGrad = random(1, 5);
        AdamwParameters parameters = new AdamwParameters(List.of(
                new AdamwParameters.Parameter(first, firstGrad, zeros(2, 3), zeros(2, 3), null),
                new AdamwParameters.Parameter(second, secondGrad, zeros(1, 5), zeros(1, 5), null)));
        double squares = 0;
        for (Tensor grad : List.of(firstGrad, secondGrad)) {
            for (float value : grad.toFloatArray()) {
                squares += value * value;
            }
        }
        Tensor norm = zeros(1, 2);
        OptimOps.globalNorm(stream, parameters, 0.5f, norm);
        assertEquals(Math.sqrt(squares), norm.getFloat(0, 0), TOLERANCE);
        assertEquals(0.5 / (Math.sqrt(squares) + 1e-6), norm.getFloat(0, 1), TOLERANCE);

        float before = second.getFloat(0, 4);
        OptimOps.adamw(stream, new AdamwOptions(0.1f, 0.9f, 0.99f, 0.25f, 0.5f, 1), parameters, norm.columns(1, 1));
        double grad = secondGrad.getFloat(0, 4) * norm.getFloat(0, 1);
        // in the first step the corrected moments are the gradient and its square
        assertEquals(before * (1 - 0.1 * 0.5) - 0.1 * grad / (Math.abs(grad) + 0.25), second.getFloat(0, 4), TOLERANCE);
        assertEquals(0.1 * grad, parameters.parameters().get(1).m().getFloat(0, 4), TOLERANCE);
        assertEquals(0.01 * grad * grad, parameters.parameters().get(1).v().getFloat(0, 4), TOLERANCE);
        Tensor step = Tensor.ofHost(arena.allocate(AdamwOptions.STEP_BYTES, 64), DType.U8, 1, AdamwOptions.STEP_BYTES);
        OptimOps.adamwStep(stream, new AdamwOptions(0.1f, 0.9f, 0.99f, 0.25f, 0.5f, 2), step);
        assertEquals(1 - 0.1 * 0.5, step.segment().get(ValueLayout.JAVA_DOUBLE, 0), TOLERANCE);
        assertEquals(0.1 / (1 - 0.9 * 0.9), step.segment().get(ValueLayout.JAVA_DOUBLE, 8), TOLERANCE);
        assertEquals(Math.sqrt(1 - 0.99 * 0.99), step.segment().get(ValueLayout.JAVA_DOUBLE, 16), TOLERANCE);
        Tensor given = copy(first);
        Tensor m = copy(parameters.parameters().getFirst().m());
        Tensor v = copy(parameters.parameters().getFirst().v());
        AdamwParameters same = new AdamwParameters(List.of(new AdamwParameters.Parameter(given, firstGrad, m, v, null)));
        OptimOps.adamw(stream, new AdamwOptions(0, 0.9f, 0.99f, 0.25f, 0, 1, step), same, null);
        OptimOps.adamw(stream, new AdamwOptions(0.1f, 0.9f, 0.99f, 0.25f, 0.5f, 2), parameters, null);
        assertArrayEquals(first.toFloatArray(), given.toFloatArray());
    }

    @Test
    void memory() {
        Tensor a = random(3, 4);
        Tensor b = random(3, 4);
        Tensor y = zeros(3, 4);
        MemoryOps.add(stream, a, b, y);
        assertEquals(a.getFloat(2, 1) + b.getFloat(2, 1), y.getFloat(2, 1));
        Tensor half = Tensor.ofHost(arena.allocate(24, 64), DType.BF16, 3, 4);
        MemoryOps.cast(stream, a, half);
        Tensor expected = Tensor.ofHost(arena.allocate(24, 64), DType.BF16, 3, 4);
        expected.copyFrom(a.toFloatArray());
        assertArrayEquals(expected.toFloatArray(), half.toFloatArray());
        MemoryOps.fill(stream, -3, y.columns(1, 2));
        assertEquals(-3, y.getFloat(2, 2));
        assertEquals(a.getFloat(2, 3) + b.getFloat(2, 3), y.getFloat(2, 3));
        MemoryOps.copy(stream, a.columns(2, 2), y.columns(0, 2));
        assertEquals(a.getFloat(1, 3), y.getFloat(1, 1));
    }
}
