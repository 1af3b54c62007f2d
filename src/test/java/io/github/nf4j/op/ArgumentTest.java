package io.github.nf4j.op;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.github.nf4j.Backend;
import io.github.nf4j.DType;
import io.github.nf4j.Device;
import io.github.nf4j.Nf4Weight;
import io.github.nf4j.Stream;
import io.github.nf4j.Tensor;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.function.Executable;

/// Wrong arguments come back as the library's sentence, with the argument's name, and write nothing.
class ArgumentTest {
    private final Device device = Device.open(Backend.REFERENCE);
    private final Stream stream = device.newStream();
    private final List<Tensor> tensors = new ArrayList<>();

    @AfterEach
    void close() {
        tensors.forEach(Tensor::close);
        stream.close();
        device.close();
    }

    private Tensor tensor(DType dtype, long rows, long cols) {
        Tensor tensor = Tensor.allocate(device, dtype, rows, cols);
        tensor.segment().fill((byte) 0x40);
        tensors.add(tensor);
        return tensor;
    }

    private static void assertNames(String argument, Executable action) {
        String message = assertThrows(IllegalArgumentException.class, action).getMessage();
        assertTrue(message.matches("(?s).*\\b" + argument + "\\b.*"), "\"" + message + "\" does not name " + argument);
    }

    @Test
    void shapesThatDoNotFit() {
        Tensor x = tensor(DType.F32, 3, 8);
        Tensor w = tensor(DType.F32, 5, 8);
        Tensor y = tensor(DType.F32, 3, 6);
        assertNames("c", () -> DenseOps.matmul(stream, false, true, 1, 0, x, w, null, y));
        assertEquals(0x40404040, Float.floatToRawIntBits(y.getFloat(0, 0)), "written although refused");
        assertNames("dst", () -> MemoryOps.copy(stream, x, w));
        assertNames("rstd", () -> NormOps.forward(stream, x, tensor(DType.F32, 1, 8), 1e-5f, tensor(DType.F32, 1, 4),
                tensor(DType.F32, 3, 8)));
        assertNames("b", () -> LoraOps.forward(stream, x, LinearWeight.dense(w, null),
                new LoraWeights(tensor(DType.F32, 2, 8), tensor(DType.F32, 4, 2), 1), tensor(DType.F32, 3, 2),
                tensor(DType.F32, 3, 5)));
    }

    @Test
    void typesThatDoNotFit() {
        Tensor x = tensor(DType.F32, 3, 8);
        assertNames("ids", () -> EmbeddingOps.forward(stream, tensor(DType.F32, 1, 3), tensor(DType.F32, 5, 8), x));
        assertNames("lse",
                () -> AttentionOps.forward(stream, AttentionShape.of(2, 1, 4), PackedSequences.ofLengths(3), x,
                        tensor(DType.F32, 3, 4), tensor(DType.F32, 3, 4), tensor(DType.BF16, 3, 2), tensor(DType.F32, 3, 8)));
        assertNames("dst", () -> MemoryOps.cast(stream, x, tensor(DType.I32, 3, 8)));
    }

    @Test
    void argumentsThatAreMissing() {
        Tensor x = tensor(DType.F32, 3, 8);
        assertNames("dst", () -> MemoryOps.copy(stream, x, null));
        assertNames("h", () -> MlpOps.swigluForward(stream, x, x, null));
        assertNames("weight", () -> Nf4Ops.matmul(stream, x, null, null, x));
        assertNames("lora",
                () -> LoraOps.forward(stream, x, LinearWeight.dense(tensor(DType.F32, 5, 8), null), null, x, x));
        LoraWeights lora = new LoraWeights(tensor(DType.F32, 3, 8), tensor(DType.F32, 5, 3), 1);
        assertNames("loras", () -> LoraOps.project(stream, x, Arrays.asList(lora, null), List.of(tensor(DType.F32, 3, 3), x)));
        assertNames("us", () -> LoraOps.project(stream, x, List.of(lora), Arrays.asList((Tensor) null)));
        assertNames("us", () -> LoraOps.project(stream, x, List.of(lora, lora), List.of(tensor(DType.F32, 3, 3))));
        assertNames("count", () -> LoraOps.project(stream, x, List.of(), List.of()));
        assertNames("u", () -> LoraOps.apply(stream, x, LinearWeight.dense(tensor(DType.F32, 5, 8), null), lora, null, x));
    }

    @Test
    void valuesThatAreOutOfRange() {
        Tensor x = tensor(DType.F32, 3, 8);
        Tensor w = tensor(DType.F32, 4, 8);
        assertNames("block_size", () -> Nf4Weight.allocate(device, 8, 64, 48, false));
        assertNames("dropout", () -> LoraOps.forward(stream, x, LinearWeight.dense(w, null),
                new LoraWeights(tensor(DType.F32, 2, 8), tensor(DType.F32, 4, 2), 1, false, 1, 0),
                tensor(DType.F32, 3, 2),
                tensor(DType.F32, 3, 4)));
        Tensor ids = tensor(DType.I32, 1, 3);
        ids.setInts(0, 4, 1);
        assertNames("ids", () -> EmbeddingOps.forward(stream, ids, w, x));
        assertNames("q_offsets",
                () -> AttentionOps.forward(stream, AttentionShape.of(2, 1, 4), PackedSequences.ofLengths(2), x,
                        tensor(DType.F32, 3, 4), tensor(DType.F32, 3, 4), tensor(DType.F32, 3, 2), tensor(DType.F32, 3, 8)));
    }

    @Test
    void numbersThatCannotBeQuantized() {
        Tensor w = tensor(DType.F32, 1, 64);
        w.copyFrom(new float[64]);
        w.columns(7, 1).copyFrom(Float.NaN);
        assertNames("w", () -> Nf4Weight.quantize(stream, w, 64, false));
        w.columns(7, 1).copyFrom(Float.POSITIVE_INFINITY);
        assertNames("w", () -> Nf4Weight.quantize(stream, w, 64, true));
    } // closing the device shows that the refused weights were freed

    @Test
    void argumentsThatTheCallsDoNotCarryAreCheckedInJava() {
        Tensor p = tensor(DType.F32, 2, 8);
        Tensor u8 = tensor(DType.U8, 2, 8);
        assertNames("grad", () -> new AdamwParameters.Parameter(p, tensor(DType.F32, 2, 7), p, p, null));
        assertNames("m", () -> new AdamwParameters.Parameter(p, p, u8, p, null));
        assertNames("v", () -> new AdamwParameters.Parameter(p, p, u8, p, tensor(DType.F32, 1, 2)));
        assertNames("absmax", () -> new AdamwParameters.Parameter(p, p, u8, u8, tensor(DType.F32, 1, 3)));
        assertNames("param", () -> new AdamwParameters.Parameter(p.columns(0, 4), p, p, p, null));
        Tensor constant = Tensor.ofHost(p.segment().asReadOnly(), DType.F32, 2, 8);
        assertNames("param", () -> new AdamwParameters.Parameter(constant, p, p, p, null));
        assertNames("m", () -> new AdamwParameters.Parameter(p, constant, constant, p, null));
        assertNames("v", () -> new AdamwParameters.Parameter(p, p, p, constant, null));
        AdamwParameters parameters = new AdamwParameters(List.of(new AdamwParameters.Parameter(p, p, p, p, null)));
        assertNames("gradScale",
                () -> OptimOps.adamw(stream, new AdamwOptions(1, .9f, .99f, 1e-8f, 0, 1), parameters, p));
        assertNames("step",
                () -> OptimOps.adamw(stream, new AdamwOptions(1, .9f, .99f, 1e-8f, 0, 0), parameters, null));
        assertNames("step", () -> new AdamwOptions(1, .9f, .99f, 1e-8f, 0, 1, p));
        assertNames("step", () -> OptimOps.adamwStep(stream, new AdamwOptions(1, .9f, .99f, 1e-8f, 0, 1), u8));
        Tensor bytes = Tensor.ofHost(p.segment().asReadOnly(), DType.U8, 1, AdamwOptions.STEP_BYTES);
        assertNames("read-only", () -> OptimOps.adamwStep(stream, new AdamwOptions(1, .9f, .99f, 1e-8f, 0, 1), bytes));
        assertNames("deviceSeed", () -> new LoraWeights(p, p, 1, false, 0.5f, 0, p));
        assertNames("sequence", () -> PackedSequences.ofLengths(2, -1));
        assertNames("kvLengths", () -> PackedSequences.withCache(new int[2], new int[2], new int[1]));
    }
}
