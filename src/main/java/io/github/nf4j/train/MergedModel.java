package io.github.nf4j.train;

import io.github.nf4j.DType;
import io.github.nf4j.Stream;
import io.github.nf4j.Tensor;
import io.github.nf4j.io.ModelFolder;
import io.github.nf4j.io.RawTensor;
import io.github.nf4j.io.Safetensors;
import io.github.nf4j.nn.Linear;
import io.github.nf4j.nn.LlamaModel;
import io.github.nf4j.nn.LoraAdapter;
import io.github.nf4j.op.DenseOps;
import io.github.nf4j.op.LinearWeight;
import io.github.nf4j.op.MemoryOps;
import io.github.nf4j.op.Nf4Ops;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.file.FileAlreadyExistsException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/// A model and its adapters as one: a Hugging Face folder whose projections are W + scale * B * A.
///
/// W is what the model computes with. Over an NF4 base that is the dequantized weight, as the adapter was trained on it and makes up
/// for its errors; merged into the original one, it would make up for errors that are not there.
public final class MergedModel {
    /// Elements that are merged at a time, unless a row has more.
    private static final long PIECE = 1 << 22;

    private final PretrainedModel source;
    private final Stream stream;
    private final DType dtype;
    private final Map<String, Linear> projections = new HashMap<>();

    private MergedModel(PretrainedModel source, LlamaModel model, DType dtype) {
        if (!model.stream().device().isHostAccessible()) {
            throw new IllegalArgumentException("merging needs the model on a host backend, it is on " + model.stream().device());
        }
        this.source = source;
        this.stream = model.stream();
        this.dtype = dtype;
        model.projections().forEach(projection -> projections.put(projection.path() + ".weight", projection));
    }

    /// Refuses a folder that has anything in it.
    ///
    /// @throws FileAlreadyExistsException if it has
    public static void checkUnused(Path folder) throws IOException {
        if (Files.exists(folder)) {
            try (var files = Files.list(folder)) {
                if (files.findAny().isPresent()) {
                    throw new FileAlreadyExistsException(folder.toString(), null, "is not empty; choose another folder");
                }
            }
        }
    }

    /// Writes the folder. The file that makes it a model, `config.json`, is there when everything is.
    ///
    /// @param source     where `model` was loaded from
    /// @param model      on a host backend, with its adapters
    /// @param dtype      of the weights in the folder: F32, F16 or BF16
    /// @param shardBytes the most bytes of weights in one file, and in memory beside the model
    public static void write(PretrainedModel source, LlamaModel model, DType dtype, long shardBytes, Path folder) throws IOException {
        checkUnused(folder);
        Files.createDirectories(folder);
        new MergedModel(source, model, dtype).writeShards(shardBytes, folder);
        ModelFolder.describe(source.path(), source.config(), dtype, folder);
    }

    private void writeShards(long shardBytes, Path folder) throws IOException {
        List<List<String>> shards = shards(shardBytes);
        Map<String, String> files = new LinkedHashMap<>();
        for (int i = 0; i < shards.size(); i++) {
            String file = shards.size() == 1 ? "model.safetensors" : "model-%05d-of-%05d.safetensors".formatted(i + 1, shards.size());
            try (Arena arena = Arena.ofConfined()) {
                List<RawTensor> tensors = new ArrayList<>();
                for (String name : shards.get(i)) {
                    tensors.add(new RawTensor(name, dtype, shape(name), merged(name, arena)));
                    files.put(name, file);
                }
                Safetensors.write(folder.resolve(file), tensors, Map.of());
            }
        }
        if (shards.size() > 1) {
            ModelFolder.writeIndex(folder, files, source.parameters() * dtype.bytes());
        }
    }

    /// The names of the weights, cut into files.
    private List<List<String>> shards(long shardBytes) {
        List<List<String>> shards = new ArrayList<>();
        long room = 0;
        for (String name : source.config().parameterShapes().keySet()) {
            long bytes = rows(name) * cols(name) * dtype.bytes();
            if (shards.isEmpty() || bytes > room) {
                shards.add(new ArrayList<>());
                room = shardBytes;
            }
            shards.getLast().add(name);
            room -= bytes;
        }
        return shards;
    }

    private MemorySegment merged(String name, Arena arena) {
        long rows = rows(name);
        long cols = cols(name);
        MemorySegment data = arena.allocate(rows * cols * dtype.bytes(), Long.BYTES);
        long pieceRows = Math.clamp(PIECE / cols, 1, rows);
        try (Arena scratch = Arena.ofConfined()) {
            MemorySegment floats = scratch.allocate(ValueLayout.JAVA_FLOAT, pieceRows * cols);
            for (long row = 0; row < rows; row += pieceRows) {
                long count = Math.min(pieceRows, rows - row);
                Tensor piece = Tensor.ofHost(floats, DType.F32, count, cols);
                Linear projection = projections.get(name);
                if (projection == null) {
                    source.files().readF32Rows(name, row, count, floats);
                } else {
                    merge(projection, row, piece);
                }
                MemorySegment to = data.asSlice(row * cols * dtype.bytes(), count * cols * dtype.bytes());
                MemoryOps.cast(stream, piece, Tensor.ofHost(to, dtype, count, cols));
            }
        }
        return data;
    }

    /// `to` = rows of W + scale * B * A.
    private void merge(Linear projection, long row, Tensor to) {
        switch (projection.weight()) {
            case LinearWeight.Dense dense -> MemoryOps.cast(stream, dense.weight().rows(row, to.rows()), to);
            case LinearWeight.Nf4 nf4 -> Nf4Ops.dequantize(stream, nf4.weight(), row, to);
        }
        if (projection.adapter().isPresent()) {
            LoraAdapter adapter = projection.adapter().get();
            DenseOps.matmul(stream, false, false, (float) adapter.settings().scale(), 1, adapter.b().value().rows(row, to.rows()),
                    adapter.a().value(), null, to);
        }
    }

    private long[] shape(String name) {
        return source.config().parameterShapes().get(name);
    }

    private long rows(String name) {
        return shape(name).length == 1 ? 1 : shape(name)[0];
    }

    private long cols(String name) {
        return shape(name)[shape(name).length - 1];
    }
}
