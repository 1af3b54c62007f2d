package io.github.nf4j.train;

import io.github.nf4j.DType;
import io.github.nf4j.Stream;
import io.github.nf4j.Tensor;
import io.github.nf4j.autograd.Parameter;
import io.github.nf4j.io.FileFormatException;
import io.github.nf4j.io.RawTensor;
import io.github.nf4j.io.Safetensors;
import io.github.nf4j.optim.AdamW;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;

/// What continues an interrupted run bit by bit: the adapters, AdamW's moments and the number of steps taken. Everything else
/// (batches, dropout, learning rate) follows from the run's settings and the number of the step, so the settings are kept to be
/// compared.
///
/// One safetensors file, so that it is replaced as a whole: `<parameter>`, `<parameter>.m` and `<parameter>.v`, and in the
/// header `step` and `settings`.
final class Checkpoint {
    static final String FILE = "checkpoint.safetensors";

    private Checkpoint() {
    }

    /// Replaces the checkpoint of a folder.
    ///
    /// @param settings what the run depends on, as text
    static void write(Path folder, Stream stream, AdamW optimizer, String settings) throws IOException {
        try (Arena arena = Arena.ofConfined()) {
            List<RawTensor> tensors = new ArrayList<>();
            for (AdamW.State state : optimizer.states()) {
                parts(state).forEach((name, tensor) -> tensors.add(new RawTensor(name, DType.F32, shape(tensor),
                        HostTensors.read(stream, tensor, arena))));
            }
            Safetensors.write(folder.resolve(FILE), tensors,
                    Map.of("step", Long.toString(optimizer.steps()), "settings", settings));
        }
    }

    /// Steps that the run of a folder had taken at its checkpoint.
    ///
    /// @throws NoSuchFileException if there is none
    /// @throws FileFormatException if the run had other settings
    static int step(Path folder, String settings) throws IOException {
        Path file = folder.resolve(FILE);
        if (!Files.exists(file)) {
            throw new NoSuchFileException(file.toString(), null, "no checkpoint to resume from; run without --resume, or the run is "
                    + "complete");
        }
        try (Arena arena = Arena.ofConfined()) {
            Map<String, String> header = Safetensors.open(file, arena).metadata();
            if (!settings.equals(header.get("settings"))) {
                throw new FileFormatException(file, "settings", "the interrupted run had [" + header.get("settings")
                        + "], this one has [" + settings + "]; resume with the same options and data");
            }
            String step = header.getOrDefault("step", "nothing");
            if (!step.matches("[0-9]{1,9}")) {
                throw new FileFormatException(file, "step", "expected a number, found " + step);
            }
            return Integer.parseInt(step);
        }
    }

    /// Restores adapters and moments.
    static void restore(Path folder, Stream stream, AdamW optimizer, int step) throws IOException {
        Path file = folder.resolve(FILE);
        try (Arena arena = Arena.ofConfined()) {
            Safetensors tensors = Safetensors.open(file, arena);
            for (AdamW.State state : optimizer.states()) {
                parts(state).forEach((name, tensor) -> {
                    RawTensor stored = tensors.tensor(name);
                    if (stored.dtype() != DType.F32 || !Arrays.equals(stored.shape(), shape(tensor))) {
                        throw new FileFormatException(file, "tensor '" + name + "'", stored.dtype() + " "
                                + Arrays.toString(stored.shape()) + "; expected F32 " + Arrays.toString(shape(tensor)));
                    }
                    MemorySegment aligned = arena.allocate(stored.data().byteSize(), Float.BYTES).copyFrom(stored.data());
                    HostTensors.write(stream, aligned, tensor);
                });
            }
            optimizer.resumeAt(step);
        }
    }

    private static Map<String, Tensor> parts(AdamW.State state) {
        Parameter parameter = state.parameter();
        return Map.of(parameter.name(), parameter.value(), parameter.name() + ".m", state.m(), parameter.name() + ".v", state.v());
    }

    private static long[] shape(Tensor tensor) {
        return new long[] {tensor.rows(), tensor.cols()};
    }
}
