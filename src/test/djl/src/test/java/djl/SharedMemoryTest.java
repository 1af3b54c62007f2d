package djl;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import ai.djl.ndarray.index.NDIndex;
import ai.djl.ndarray.types.DataType;
import ai.djl.ndarray.types.Shape;
import io.github.nf4j.Backend;
import io.github.nf4j.DType;
import io.github.nf4j.Device;
import io.github.nf4j.Nf4Weight;
import io.github.nf4j.Stream;
import io.github.nf4j.Tensor;
import io.github.nf4j.op.DenseOps;
import io.github.nf4j.op.LinearWeight;
import io.github.nf4j.op.LoraOps;
import io.github.nf4j.op.LoraWeights;
import io.github.nf4j.op.MemoryOps;
import io.github.nf4j.op.Nf4Ops;
import java.lang.foreign.MemorySegment;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.Arrays;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/// nf4j reads and writes the memory of DJL's arrays, without a copy, and its products are DJL's own. In F32 alone: the code
/// between DJL's PyTorch engine and libtorch knows no BF16, and ends the process.
class SharedMemoryTest {
    private static final int RANK = 5;
    private static final float SCALE = 1.5f;

    private final NDManager djl = NDManager.newBaseManager(ai.djl.Device.cpu(), "PyTorch");
    private final Device device = Device.open(Backend.CPU);
    private final Stream stream = device.newStream();

    SharedMemoryTest() {
        djl.getEngine().setRandomSeed(7);
    }

    @AfterEach
    void close() {
        stream.close();
        device.close();
        djl.close();
    }

    /// The memory of an array as a tensor, which is valid as long as the array. Of an array whose elements do not follow one
    /// another, such as a transpose, DJL would give a copy.
    private static Tensor tensor(NDArray array) {
        ByteBuffer memory = array.toByteBuffer(true);
        return Tensor.ofHost(MemorySegment.ofBuffer(memory), DType.F32, array.getShape().get(0), array.getShape().get(1));
    }

    private NDArray random(long rows, long cols) {
        return djl.randomNormal(new Shape(rows, cols));
    }

    /// For a result: what is not written shows.
    private NDArray undefined(long rows, long cols) {
        return djl.full(new Shape(rows, cols), Float.NaN);
    }

    @Test
    void aTensorSeesTheMemoryOfAnArray() {
        NDArray array = djl.zeros(new Shape(3, 5));
        Tensor tensor = tensor(array);
        MemoryOps.fill(stream, 2.5, tensor);
        stream.synchronize();
        assertEquals(2.5f, array.getFloat(2, 4), "what nf4j writes, DJL reads");
        array.addi(1);
        assertEquals(3.5f, tensor.getFloat(0, 0), "what DJL writes, nf4j reads");
        assertEquals(tensor.segment().address(), tensor(array).segment().address());
    }

    @Test
    void anArraySeesTheMemoryOfATensor() {
        try (Tensor tensor = Tensor.allocate(device, DType.F32, 3, 5)) {
            ByteBuffer memory = tensor.segment().asByteBuffer().order(ByteOrder.nativeOrder());
            try (NDArray array = djl.create(memory, new Shape(3, 5), DataType.FLOAT32)) {
                MemoryOps.fill(stream, 2.5, tensor);
                stream.synchronize();
                assertEquals(2.5f, array.getFloat(2, 4), "what nf4j writes, DJL reads");
                array.addi(1);
                assertEquals(3.5f, tensor.getFloat(0, 0), "what DJL writes, nf4j reads");
            }
        }
    }

    @ParameterizedTest
    @CsvSource({"1, 1, 1", "1, 64, 33", "7, 33, 65", "33, 257, 129", "130, 511, 70"})
    void aDenseProduct(int tokens, int in, int out) {
        NDArray x = random(tokens, in);
        NDArray w = random(out, in);
        NDArray y = undefined(tokens, out);
        DenseOps.matmul(stream, false, true, 1, 0, tensor(x), tensor(w), null, tensor(y));
        stream.synchronize();
        assertSame(y, in, of -> of[0].matMul(of[1].transpose()), x, w);
    }

    @Test
    void aProductOfSomeColumnsIntoSomeColumns() {
        NDArray x = random(7, 40);
        NDArray w = random(11, 33);
        NDArray y = undefined(7, 20);
        DenseOps.matmul(stream, false, true, 1, 0, tensor(x).columns(3, 33), tensor(w), null, tensor(y).columns(5, 11));
        stream.synchronize();
        assertSame(y.get(":, 5:16"), 33, of -> of[0].matMul(of[1].transpose()), x.get(":, 3:36"), w);
        assertEquals(7 * 9, y.isNaN().toType(DataType.FLOAT32, true).sum().getFloat(), "columns beside the result stay as they are");
    }

    @ParameterizedTest
    @CsvSource({"1, 64, 33, false", "7, 33, 65, false", "33, 257, 129, true", "130, 511, 70, true"})
    void aProductWithAWeightInFourBits(int tokens, int in, int out, boolean doubleQuant) {
        NDArray x = random(tokens, in);
        NDArray dy = random(tokens, out);
        NDArray w = random(out, in);
        NDArray rounded = undefined(out, in); // w as four bits have it
        NDArray y = undefined(tokens, out);
        NDArray dx = undefined(tokens, in);
        try (Nf4Weight packed = Nf4Weight.quantize(stream, tensor(w), 64, doubleQuant)) {
            Nf4Ops.dequantize(stream, packed, 0, tensor(rounded));
            Nf4Ops.matmul(stream, tensor(x), packed, null, tensor(y));
            Nf4Ops.matmulBackward(stream, tensor(dy), packed, tensor(dx));
            stream.synchronize();
        }
        assertSame(y, in, of -> of[0].matMul(of[1].transpose()), x, rounded);
        assertSame(dx, out, of -> of[0].matMul(of[1]), dy, rounded);
        // Half the widest gap between NF4's codes, of the largest magnitude; and half a step of those in 8 bits.
        double distance = rounded.sub(w).abs().max().getFloat() / w.abs().max().getFloat();
        assertTrue(distance > 0.01 && distance < 0.152 + (doubleQuant ? 0.9 / 128 : 0), "distance " + distance);
    }

    @ParameterizedTest
    @CsvSource({"1, 64, 33", "7, 33, 65", "33, 257, 129", "130, 511, 70"})
    void aLayerWithItsAdapterForwardAndBackward(int tokens, int in, int out) {
        NDArray x = random(tokens, in);
        NDArray dy = random(tokens, out);
        NDArray a = random(RANK, in);
        NDArray b = random(out, RANK);
        NDArray rounded = undefined(out, in);
        NDArray u = undefined(tokens, RANK);
        NDArray y = undefined(tokens, out);
        NDArray dx = undefined(tokens, in);
        NDArray da = djl.zeros(new Shape(RANK, in)); // gradients are added
        NDArray db = djl.zeros(new Shape(out, RANK));
        LoraWeights lora = new LoraWeights(tensor(a), tensor(b), SCALE * RANK);
        try (Nf4Weight packed = Nf4Weight.quantize(stream, tensor(random(out, in)), 64, true)) {
            LinearWeight base = LinearWeight.nf4(packed, null);
            Nf4Ops.dequantize(stream, packed, 0, tensor(rounded));
            LoraOps.forward(stream, tensor(x), base, lora, tensor(u), tensor(y));
            LoraOps.backward(stream, tensor(x), tensor(dy), tensor(u), base, lora, false, tensor(da), tensor(db), tensor(dx));
            stream.synchronize();
        }
        // One chain of sums holds base and adapter, of which each is rounded as often as its terms are many, and its scale once.
        assertSame(y, 2 * in + RANK + 1, of -> of[0].matMul(of[1].transpose())
                .add(of[0].matMul(of[2].transpose()).matMul(of[3].transpose()).mul(SCALE)), x, rounded, a, b);
        assertSame(dx, 2 * out + RANK + 1, of -> of[0].matMul(of[1])
                .add(of[0].matMul(of[2]).matMul(of[3]).mul(SCALE)), dy, rounded, b, a);
        assertSame(da, out + tokens + 2, of -> of[1].matMul(of[2]).transpose().matMul(of[0]).mul(SCALE), x, dy, b);
        assertSame(db, in + tokens + 2, of -> of[1].transpose().matMul(of[0].matMul(of[2].transpose())).mul(SCALE), x, dy, a);
    }

    private interface Formula {
        NDArray of(NDArray... inputs);
    }

    /// That nf4j's result is DJL's up to rounding. A term of a sum that is rounded n times on its way is off by γ = nu / (1 - nu)
    /// of itself at most, u = 2^-24, whatever the order; so two results differ by 2γ times the sum of the magnitudes. And that
    /// the formula with a term less, the last column of its first input, is further off than that.
    private static void assertSame(NDArray result, int roundings, Formula formula, NDArray... inputs) {
        double gamma = roundings * 0x1p-24 / (1 - roundings * 0x1p-24);
        NDArray magnitudes = formula
                .of(Arrays.stream(inputs).map(input -> input.toType(DataType.FLOAT64, true).abs()).toArray(NDArray[]::new));
        NDArray bound = magnitudes.mul(2 * gamma);
        double error = largest(result, formula.of(inputs), bound);
        assertTrue(error <= 1, "off by " + error + " times what rounding explains");
        NDArray[] spoiled = inputs.clone();
        spoiled[0] = inputs[0].duplicate();
        spoiled[0].set(new NDIndex(":, -1"), 0);
        assertTrue(largest(result, formula.of(spoiled), bound) > 1, "the bound allows for a term too little");
    }

    private static double largest(NDArray one, NDArray other, NDArray bound) {
        return one.toType(DataType.FLOAT64, true).sub(other.toType(DataType.FLOAT64, true)).abs().div(bound).max().getDouble();
    }
}
