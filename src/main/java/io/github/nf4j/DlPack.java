package io.github.nf4j;

import io.github.nf4j.internal.DlManagedTensor;
import io.github.nf4j.internal.DlManagedTensor.Contents;
import io.github.nf4j.internal.Handle;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.Arrays;
import java.util.Objects;

/// Tensors that change hands without a copy, as `DLManagedTensorVersioned` of DLPack 1.x describes them.
///
/// Whoever receives such a struct owns it and calls its deleter once. [#exportTensor] makes one and keeps the tensor's
/// memory open until then; an imported one is deleted when this object is closed. Host memory only (`kDLCPU`).
public final class DlPack implements AutoCloseable {
    private final Tensor tensor;
    private final Arena arena; // closed, it keeps the tensor from being used
    private final Handle handle;

    private DlPack(Tensor tensor, Arena arena, MemorySegment managed) {
        this.tensor = tensor;
        this.arena = arena;
        this.handle = new Handle(this, "DLPack import of " + tensor, managed);
    }

    /// Takes over `managed`, a `DLManagedTensorVersioned *` of another framework: [#close] calls its deleter.
    ///
    /// It may have one dimension or two, rows with a stride of at least their length, and elements of a [DType]. When it
    /// is refused it still belongs to the caller.
    ///
    /// @throws IllegalArgumentException      if it is no such tensor, with the field and what was expected
    /// @throws UnsupportedOperationException if it lies on a GPU or has another major version
    public static DlPack importTensor(MemorySegment managed) {
        Contents contents = DlManagedTensor.read(managed);
        DType dtype = Arrays.stream(DType.values()).filter(type -> type.code() == contents.dtype()).findFirst()
                .orElseThrow(() -> new IllegalArgumentException("dtype 0x" + Integer.toHexString(contents.dtype())
                        + " (DLPack's code, then bits): expected one of " + Arrays.toString(DType.values())));
        long[] shape = contents.shape();
        long rows = shape.length == 1 ? 1 : shape[0];
        long cols = shape[shape.length - 1];
        long ld = rows > 1 ? contents.strides()[0] : cols;
        if (cols > 1 && contents.strides()[shape.length - 1] != 1 || ld < cols) {
            throw new IllegalArgumentException("strides " + Arrays.toString(contents.strides()) + " of shape "
                    + Arrays.toString(shape) + ": expected 1 for the last dimension, and at least " + cols
                    + " for the one before");
        }
        Arena arena = Arena.ofShared();
        MemorySegment data = contents.data().reinterpret(Tensor.span(dtype, rows, cols, ld), arena, null);
        if (contents.readOnly()) {
            data = data.asReadOnly();
        }
        return new DlPack(Tensor.ofHost(data, dtype, rows, cols, ld), arena, managed);
    }

    /// A new `DLManagedTensorVersioned *` for `tensor`, which has two dimensions and whose memory cannot be closed before
    /// the receiver calls the deleter. The memory of [Tensor#ofHost] stays the caller's, who must keep it open until then.
    ///
    /// @throws UnsupportedOperationException if the host cannot reach the memory
    public static MemorySegment exportTensor(Tensor tensor) {
        Objects.requireNonNull(tensor, "tensor");
        if (!tensor.isHostAccessible()) {
            throw new UnsupportedOperationException(tensor + " lies on a GPU; only host memory is exported by DLPack");
        }
        Handle memory = tensor.handle();
        if (memory != null) {
            memory.acquire();
        }
        Runnable release = () -> {
            if (memory != null) {
                memory.release();
            }
        };
        Contents contents = new Contents(tensor.segment(), tensor.dtype().code(),
                new long[] {tensor.rows(), tensor.cols()}, new long[] {tensor.ld(), 1}, tensor.segment().isReadOnly());
        try {
            return DlManagedTensor.write(contents, release);
        } catch (RuntimeException | Error e) {
            release.run();
            throw e;
        }
    }

    /// The imported memory. It, and views of it, can be used until this object is closed, which is to wait for the
    /// operations that use it.
    public Tensor tensor() {
        return tensor;
    }

    /// Gives the memory back: calls the producer's deleter. Closing twice does nothing.
    ///
    /// @throws IllegalStateException if a call is using the memory; it stays open then
    @Override
    public void close() {
        if (handle.close()) {
            try {
                arena.close();
            } catch (IllegalStateException e) {
                handle.reopen();
                throw e;
            }
            DlManagedTensor.delete(handle.pointer());
        }
    }
}
