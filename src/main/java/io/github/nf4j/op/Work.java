package io.github.nf4j.op;

import io.github.nf4j.Nf4Weight;
import io.github.nf4j.Tensor;
import io.github.nf4j.internal.Call;
import java.util.List;

/// What a call has to do at least, counted from the shapes of its arguments: each byte once, whatever the kernel moves.
///
/// @param flops        additions, multiplications and functions; conversions and looking codes up do not count
/// @param bytesRead    of all arguments that it reads
/// @param bytesWritten of all arguments that it writes
public record Work(double flops, double bytesRead, double bytesWritten) {
    static Work of(Call call) {
        double read = bytes(call.read());
        double written = bytes(call.written());
        double weight = call.kept(Nf4Weight.class) == null ? 0 : call.kept(Nf4Weight.class).bytes();
        return switch (call.operation()) {
            case "nf4.quantize" -> new Work(0, read, weight);
            case "nf4.import", "nf4.export" -> new Work(0, weight, weight); // a state has as many bytes, in other places
            case "nf4.dequantize" -> {
                Tensor out = call.written().getFirst();
                yield new Work(0, weight * out.rows() / call.kept(Nf4Weight.class).rows(), written);
            }
            case "embedding.forward" -> { // not the whole table
                Tensor ids = call.read().get(0);
                Tensor table = call.read().get(1);
                yield new Work(0, bytes(ids) + (double) ids.cols() * table.cols() * table.dtype().bytes(), written);
            }
            case "embedding.backward" -> {
                Tensor dy = call.read().get(1);
                double rows = elements(dy) * Float.BYTES;
                yield new Work(elements(dy), read + rows, rows);
            }
            case "attention.forward", "attention.backward" -> attention(call, read, written);
            case "optim.global_norm" -> new Work(2 * trained(call), Float.BYTES * trained(call), written);
            case "optim.adamw" -> adamw(call.kept(AdamwParameters.class));
            default -> new Work(flops(call), read + weight, written);
        };
    }

    /// Bytes read and written.
    public double bytes() {
        return bytesRead + bytesWritten;
    }

    public Work plus(Work other) {
        return new Work(flops + other.flops, bytesRead + other.bytesRead, bytesWritten + other.bytesWritten);
    }

    private static double flops(Call call) {
        if (call.read().isEmpty()) {
            return 0;
        }
        double first = elements(call.read().getFirst());
        return switch (call.operation()) {
            case "nf4.matmul", "nf4.matmul_backward" -> {
                Nf4Weight weight = call.kept(Nf4Weight.class);
                yield 2.0 * call.read().getFirst().rows() * weight.rows() * weight.cols();
            }
            case "dense.matmul" -> 2 * first * call.written().getFirst().cols();
            case "lora.forward" -> { // x A^T B^T beside x W^T
                Tensor b = call.read().getLast();
                yield 2 * first * b.rows() + 2 * (first + (double) call.read().getFirst().rows() * b.rows()) * b.cols();
            }
            case "lora.project" -> 2 * first * call.read().stream().skip(1).mapToDouble(Tensor::rows).sum();
            case "lora.apply" -> 2 * (first + elements(call.read().getLast())) * call.written().getFirst().cols();
            case "lora.backward" -> loraBackward(call);
            case "norm.forward" -> 4 * first;
            case "norm.backward" -> 9 * first;
            case "rope.forward", "rope.backward" -> 3 * first;
            case "mlp.swiglu_forward" -> 6 * first;
            case "mlp.swiglu_backward" -> 12 * first;
            case "loss.linear_cross_entropy" -> { // logits, and the gradient where it is wanted
                Nf4Weight packed = call.kept(Nf4Weight.class);
                long vocabulary = packed == null ? call.read().get(1).rows() : packed.rows();
                yield 2.0 * call.written().size() * first * vocabulary;
            }
            case "memory.add" -> first;
            default -> 0;
        };
    }

    private static double loraBackward(Call call) {
        double x = elements(call.read().get(0));
        Tensor dy = call.read().get(1);
        double rank = call.read().get(2).cols();
        double adapter = 4 * elements(dy) * rank + 2 * x * rank; // du = dy B, db = dy^T u, da = du^T x
        boolean wantsDx = call.written().size() > 2;
        return wantsDx ? adapter + 2 * x * dy.cols() + 2 * x * rank : adapter; // dx = dy W + du A
    }

    private static Work attention(Call call, double read, double written) {
        AttentionShape shape = call.kept(AttentionShape.class);
        PackedSequences sequences = call.kept(PackedSequences.class);
        Tensor key = call.read().get(1);
        double unread = 2.0 * (key.rows() - sequences.keys()) * key.cols() * key.dtype().bytes(); // of a cache
        double products = call.operation().endsWith("forward") ? 2 : 5;
        return new Work(2 * products * shape.heads() * shape.headDim() * sequences.pairs(shape.window()), read - unread, written);
    }

    private static Work adamw(AdamwParameters parameters) {
        double elements = 0;
        double state = 0;
        for (AdamwParameters.Parameter parameter : parameters.parameters()) {
            elements += elements(parameter.param());
            state += bytes(parameter.m()) + bytes(parameter.v()) + (parameter.absmax() == null ? 0 : bytes(parameter.absmax()));
        }
        return new Work(12 * elements, 2 * Float.BYTES * elements + state, Float.BYTES * elements + state);
    }

    private static double trained(Call call) {
        return call.kept(AdamwParameters.class).parameters().stream().mapToDouble(parameter -> elements(parameter.param())).sum();
    }

    private static double bytes(List<Tensor> tensors) {
        double bytes = 0;
        for (Tensor tensor : tensors) {
            bytes += bytes(tensor);
        }
        return bytes;
    }

    private static double bytes(Tensor tensor) {
        return elements(tensor) * tensor.dtype().bytes();
    }

    private static double elements(Tensor tensor) {
        return (double) tensor.rows() * tensor.cols();
    }
}
