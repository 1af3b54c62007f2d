package io.github.nf4j.autograd;

import io.github.nf4j.DType;
import io.github.nf4j.Device;
import io.github.nf4j.Stream;
import io.github.nf4j.Tensor;
import io.github.nf4j.op.MemoryOps;

/// A matrix that is trained: its values in F32, and a gradient of the same shape that accumulates from one backward pass to the
/// next until [#zeroGrad].
public final class Parameter implements AutoCloseable {
    private final String name;
    private final Device device;
    private final Tensor value;
    private Tensor grad;

    /// @param name what checkpoints call it
    public Parameter(Device device, String name, long rows, long cols) {
        this.device = device;
        this.name = name;
        this.value = Tensor.allocate(device, DType.F32, rows, cols);
    }

    public String name() {
        return name;
    }

    /// F32 [rows, cols]; undefined until it is written.
    public Tensor value() {
        return value;
    }

    /// F32 [rows, cols]. Memory for it is taken by the first [#zeroGrad], so that inference needs none.
    ///
    /// @throws IllegalStateException before the first `zeroGrad`
    public Tensor grad() {
        if (grad == null) {
            throw new IllegalStateException("parameter " + name + " has no gradient; call zeroGrad before the first backward pass");
        }
        return grad;
    }

    /// Sets the gradient to zero.
    public void zeroGrad(Stream stream) {
        if (grad == null) {
            grad = Tensor.allocate(device, DType.F32, value.rows(), value.cols());
        }
        MemoryOps.fill(stream, 0, grad);
    }

    @Override
    public void close() {
        value.close();
        if (grad != null) {
            grad.close();
        }
    }

    @Override
    public String toString() {
        return "parameter " + name + " [" + value.rows() + ", " + value.cols() + "]";
    }
}
