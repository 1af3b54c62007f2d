package io.github.nf4j.autograd;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNull;

import io.github.nf4j.Backend;
import io.github.nf4j.DType;
import io.github.nf4j.Device;
import io.github.nf4j.Nf4Weight;
import io.github.nf4j.Stream;
import io.github.nf4j.Tensor;
import io.github.nf4j.autograd.LinearFunction.Layer;
import io.github.nf4j.op.AttentionShape;
import io.github.nf4j.op.LinearWeight;
import io.github.nf4j.op.LoraWeights;
import io.github.nf4j.op.PackedSequences;
import io.github.nf4j.op.RopeOps;
import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import java.util.function.DoubleSupplier;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

/// Every backward rule against central differences of its forward function, on the reference backend in F32.
///
/// The function is weighted with fixed random numbers and summed in double. The differences have five points, so that a step
/// large enough for F32 is still exact enough.
class BackwardRulesTest {
    private static final long SEED = 20260;
    private static final double STEP = 0.05;
    /// Of the largest element of a gradient.
    private static final double TOLERANCE = 1e-3;

    private final Random random = new Random(SEED);
    private final List<AutoCloseable> opened = new ArrayList<>();
    private Stream stream;
    private TensorPool pool;

    @FunctionalInterface
    private interface Body {
        Variable apply(Tape tape, List<Variable> inputs);
    }

    @BeforeEach
    void open() {
        Device device = Device.open(Backend.REFERENCE);
        stream = device.newStream();
        pool = new TensorPool(stream);
        opened.addAll(List.of(device, stream, pool));
    }

    @AfterEach
    void close() throws Exception {
        for (AutoCloseable resource : opened.reversed()) {
            resource.close();
        }
    }

    @ParameterizedTest
    @ValueSource(booleans = {false, true})
    void linear(boolean nf4) {
        LinearWeight weight = weight(7, 5, nf4);
        check((tape, in) -> LinearFunction.apply(tape, in.get(0), weight), List.of(tensor(3, 5)));
    }

    /// Both products add to the gradient of one input.
    @ParameterizedTest
    @ValueSource(booleans = {false, true})
    void linearsOnOneInput(boolean nf4) {
        LinearWeight first = weight(7, 5, nf4);
        LinearWeight second = weight(7, 5, nf4);
        check((tape, in) -> AddFunction.apply(tape, LinearFunction.apply(tape, in.get(0), first),
                LinearFunction.apply(tape, in.get(0), second)), List.of(tensor(3, 5)));
    }

    @ParameterizedTest
    @CsvSource({"false, 0", "false, 0.4", "true, 0", "true, 0.4"})
    void linearWithAdapter(boolean nf4, float dropout) {
        Parameter a = parameter("a", 2, 6);
        Parameter b = parameter("b", 7, 2);
        LinearWeight base = weight(7, 6, nf4);
        LoraWeights lora = new LoraWeights(a.value(), b.value(), 3, true, dropout, 99);
        check((tape, in) -> LinearFunction.apply(tape, in.get(0), new Layer(base, lora, a, b)), List.of(tensor(4, 6)), a, b);
    }

    /// As q, k and v have it, one of them without an adapter: each adds to the gradient of the input that they share.
    @ParameterizedTest
    @ValueSource(booleans = {false, true})
    void linearsWithAdaptersOnOneInput(boolean nf4) {
        Parameter a = parameter("a", 2, 6);
        Parameter b = parameter("b", 7, 2);
        Parameter c = parameter("c", 3, 6);
        Parameter d = parameter("d", 7, 3);
        List<Layer> layers = List.of(
                new Layer(weight(7, 6, nf4), new LoraWeights(a.value(), b.value(), 3, false, 0.4f, 99), a, b),
                new Layer(weight(7, 6, nf4)),
                new Layer(weight(7, 6, nf4), new LoraWeights(c.value(), d.value(), 2, true, 0.4f, 98), c, d));
        check((tape, in) -> {
            List<Variable> y = new ArrayList<>();
            LinearFunction.apply(tape, in.get(0), layers, y);
            return AddFunction.apply(tape, AddFunction.apply(tape, y.get(0), y.get(1)), y.get(2));
        }, List.of(tensor(4, 6)), a, b, c, d);
    }

    /// What training computes does not depend on which layers are called together.
    @Test
    void linearsOnOneInputGiveTheBitsOfACallEach() {
        Tensor x = tensor(4, 6);
        Parameter a = parameter("a", 2, 6);
        Parameter b = parameter("b", 7, 2);
        LinearWeight base = weight(7, 6, true);
        LinearWeight plain = weight(5, 6, false);
        LoraWeights lora = new LoraWeights(a.value(), b.value(), 3, false, 0.4f, 99);
        LoraWeights other = new LoraWeights(a.value(), b.value(), 2, false, 0.4f, 98);
        try (Tape tape = Tape.inference(pool)) {
            Variable in = tape.leaf(x, false);
            List<Layer> layers = List.of(new Layer(base, lora, a, b), new Layer(plain), new Layer(base, other, a, b));
            List<Variable> together = new ArrayList<>();
            LinearFunction.apply(tape, in, layers, together);
            List<Variable> alone = layers.stream().map(layer -> LinearFunction.apply(tape, in, layer)).toList();
            for (int i = 0; i < 3; i++) {
                assertArrayEquals(alone.get(i).value().toFloatArray(), together.get(i).value().toFloatArray());
            }
        }
    }

    @Test
    void rmsNorm() {
        Tensor weight = tensor(1, 8);
        check((tape, in) -> RmsNormFunction.apply(tape, in.get(0), weight, 1e-3f), List.of(tensor(3, 8)));
    }

    @Test
    void rope() {
        Tensor table = table(4, 6);
        check((tape, in) -> RopeFunction.apply(tape, in.get(0), table), List.of(tensor(4, 12)));
    }

    /// The in-place path: what is rotated belongs to the tape.
    @Test
    void ropeOfAProduct() {
        Tensor table = table(4, 6);
        LinearWeight weight = weight(12, 5, false);
        check((tape, in) -> RopeFunction.apply(tape, LinearFunction.apply(tape, in.get(0), weight), table),
                List.of(tensor(4, 5)));
    }

    @Test
    void swiGlu() {
        check((tape, in) -> SwiGluFunction.apply(tape, in.get(0), in.get(1)), List.of(tensor(3, 5), tensor(3, 5)));
    }

    @ParameterizedTest
    @ValueSource(ints = {0, 2})
    void attention(int window) {
        PackedSequences sequences = PackedSequences.ofLengths(4, 1, 3);
        AttentionShape shape = AttentionShape.of(4, 2, 3).withWindow(window);
        check((tape, in) -> AttentionFunction.apply(tape, shape, sequences, in.get(0), in.get(1), in.get(2)),
                List.of(tensor(8, 12), tensor(8, 6), tensor(8, 6)));
    }

    @Test
    void linearCrossEntropy() {
        Tensor hidden = tensor(3, 5);
        LinearWeight head = weight(9, 5, false);
        Tensor labels = keep(Tensor.allocate(stream.device(), DType.I32, 1, 3));
        labels.setInts(4, -100, 8);
        float scale = 0.7f;
        double[] expected = differences(hidden, () -> {
            try (Tape tape = Tape.inference(pool)) {
                PooledTensor losses = LinearCrossEntropyFunction.apply(tape, tape.leaf(hidden, false), head, labels, scale);
                return scale * dot(losses.tensor().toFloatArray(), new float[] {1, 1, 1});
            }
        });
        try (Tape tape = Tape.recording(pool)) {
            Variable leaf = tape.leaf(hidden, true);
            LinearCrossEntropyFunction.apply(tape, leaf, head, labels, scale);
            tape.backward();
            assertClose("hidden", expected, leaf.gradient());
        }
    }

    /// A block as a decoder has it: the residual gradient is shared, added to by the norm, and two products meet in one input.
    @Test
    void residualBlock() {
        Tensor normWeight = tensor(1, 6);
        LinearWeight gate = weight(4, 6, false);
        LinearWeight up = weight(4, 6, true);
        Parameter a = parameter("a", 2, 4);
        Parameter b = parameter("b", 6, 2);
        LinearWeight down = weight(6, 4, true);
        LoraWeights lora = new LoraWeights(a.value(), b.value(), 2);
        check((tape, in) -> {
            Variable normed = RmsNormFunction.apply(tape, in.get(0), normWeight, 1e-3f);
            Variable h = SwiGluFunction.apply(tape, LinearFunction.apply(tape, normed, gate),
                    LinearFunction.apply(tape, normed, up));
            normed.release();
            Variable y = LinearFunction.apply(tape, h, new Layer(down, lora, a, b));
            h.release();
            return AddFunction.apply(tape, in.get(0), y);
        }, List.of(tensor(3, 6)), a, b);
    }

    /// One gradient goes to two readers, of which the first adds to it: the second must not see that.
    @Test
    void aSharedGradientIsCopiedBeforeItIsAddedTo() {
        Tensor weight = tensor(1, 6);
        LinearWeight first = weight(6, 6, false);
        LinearWeight second = weight(6, 6, false);
        check((tape, in) -> {
            Variable left = LinearFunction.apply(tape, in.get(0), first);
            Variable right = LinearFunction.apply(tape, in.get(0), second);
            Variable normed = RmsNormFunction.apply(tape, left, weight, 1e-3f);
            Variable sum = AddFunction.apply(tape, left, right);
            return AddFunction.apply(tape, normed, sum);
        }, List.of(tensor(3, 6)));
    }

    /// Two passes without zeroGrad between them add up.
    @Test
    void gradientsOfParametersAccumulate() {
        Tensor x = tensor(4, 6);
        Parameter a = parameter("a", 2, 6);
        Parameter b = parameter("b", 7, 2);
        LinearWeight base = weight(7, 6, false);
        LoraWeights lora = new LoraWeights(a.value(), b.value(), 3);
        float[] dy = values(28);
        List<float[]> gradients = new ArrayList<>();
        a.zeroGrad(stream);
        b.zeroGrad(stream);
        for (int pass = 0; pass < 2; pass++) {
            try (Tape tape = Tape.recording(pool)) {
                backward(tape, LinearFunction.apply(tape, tape.leaf(x, false), new Layer(base, lora, a, b)), dy);
                gradients.add(b.grad().toFloatArray());
            }
        }
        for (int i = 0; i < 14; i++) {
            assertEquals(2 * gradients.get(0)[i], gradients.get(1)[i], 1e-5);
        }
    }

    /// Compares the gradients of inputs and parameters, once with every input in need of one, and once with each alone.
    private void check(Body body, List<Tensor> inputs, Parameter... parameters) {
        float[] dy = values(apply(body, inputs).length);
        DoubleSupplier weighted = () -> dot(apply(body, inputs), dy);
        List<double[]> ofInputs = inputs.stream().map(input -> differences(input, weighted)).toList();
        List<double[]> ofParameters = new ArrayList<>();
        for (Parameter parameter : parameters) {
            ofParameters.add(differences(parameter.value(), weighted));
        }
        for (int alone = -1; alone < inputs.size(); alone++) {
            for (Parameter parameter : parameters) {
                parameter.zeroGrad(stream);
            }
            try (Tape tape = Tape.recording(pool)) {
                List<Variable> leaves = new ArrayList<>();
                for (int i = 0; i < inputs.size(); i++) {
                    leaves.add(tape.leaf(inputs.get(i), alone < 0 || i == alone));
                }
                backward(tape, body.apply(tape, leaves), dy);
                for (int i = 0; i < inputs.size(); i++) {
                    if (alone < 0 || i == alone) {
                        assertClose("input " + i, ofInputs.get(i), leaves.get(i).gradient());
                    } else {
                        assertNull(leaves.get(i).gradient(), "input " + i + " is frozen");
                    }
                }
                for (int i = 0; i < parameters.length; i++) {
                    assertClose(parameters[i].toString(), ofParameters.get(i), parameters[i].grad());
                }
            }
        }
    }

    private float[] apply(Body body, List<Tensor> inputs) {
        try (Tape tape = Tape.inference(pool)) {
            return body.apply(tape, inputs.stream().map(input -> tape.leaf(input, false)).toList()).value().toFloatArray();
        }
    }

    private void backward(Tape tape, Variable y, float[] dy) {
        PooledTensor gradient = tape.takeLike(y.form());
        gradient.tensor().copyFrom(dy);
        tape.passGradient(y, gradient);
        y.release();
        tape.backward();
    }

    /// The derivative of `function` by every element of `x`.
    private static double[] differences(Tensor x, DoubleSupplier function) {
        float[] values = x.toFloatArray();
        double[] result = new double[values.length];
        for (int i = 0; i < values.length; i++) {
            double sum = 0;
            for (double[] term : new double[][] {{-2, 1}, {-1, -8}, {1, 8}, {2, -1}}) {
                float[] moved = values.clone();
                moved[i] += (float) (term[0] * STEP);
                x.copyFrom(moved);
                sum += term[1] * function.getAsDouble();
            }
            result[i] = sum / (12 * STEP);
        }
        x.copyFrom(values);
        return result;
    }

    private static void assertClose(String what, double[] expected, Tensor actual) {
        double largest = 0;
        for (double value : expected) {
            largest = Math.max(largest, Math.abs(value));
        }
        float[] found = actual.toFloatArray();
        assertEquals(expected.length, found.length);
        for (int i = 0; i < found.length; i++) {
            assertEquals(expected[i], found[i], TOLERANCE * largest, what + ", element " + i + ", seed " + SEED);
        }
    }

    private static double dot(float[] values, float[] weights) {
        double sum = 0;
        for (int i = 0; i < values.length; i++) {
            sum += (double) values[i] * weights[i];
        }
        return sum;
    }

    private float[] values(int count) {
        float[] values = new float[count];
        for (int i = 0; i < count; i++) {
            values[i] = (float) random.nextGaussian();
        }
        return values;
    }

    private Tensor tensor(int rows, int cols) {
        Tensor tensor = keep(Tensor.allocate(stream.device(), DType.F32, rows, cols));
        tensor.copyFrom(values(rows * cols));
        return tensor;
    }

    private Parameter parameter(String name, int rows, int cols) {
        Parameter parameter = keep(new Parameter(stream.device(), name, rows, cols));
        parameter.value().copyFrom(values(rows * cols));
        return parameter;
    }

    private LinearWeight weight(int out, int in, boolean nf4) {
        Tensor bias = tensor(1, out);
        Tensor dense = tensor(out, in);
        return nf4 ? LinearWeight.nf4(keep(Nf4Weight.quantize(stream, dense, 32, false)), bias)
                : LinearWeight.dense(dense, bias);
    }

    private Tensor table(int rows, int headSize) {
        Tensor positions = keep(Tensor.allocate(stream.device(), DType.I32, 1, rows));
        positions.setInts(3, 0, 7, 1);
        Tensor inverse = tensor(1, headSize / 2);
        Tensor table = tensor(rows, headSize);
        RopeOps.table(stream, positions, inverse, 1.3f, table);
        return table;
    }

    private <T extends AutoCloseable> T keep(T resource) {
        opened.add(resource);
        return resource;
    }
}
