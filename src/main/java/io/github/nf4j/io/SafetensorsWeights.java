package io.github.nf4j.io;

import io.github.nf4j.DType;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.nio.file.Files;
import java.nio.file.InvalidPathException;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Optional;

/// Weights in `model.safetensors`, or in shards that `model.safetensors.index.json` lists.
final class SafetensorsWeights implements WeightSource {
    private final Path folder;
    private final Map<String, Safetensors> files;

    /// @param files for each tensor the file that holds it
    private SafetensorsWeights(Path folder, Map<String, Safetensors> files) {
        this.folder = folder;
        this.files = files;
    }

    static SafetensorsWeights open(Path folder, Arena arena) throws IOException {
        Path single = FolderFiles.resolve(folder, "model.safetensors");
        Path index = FolderFiles.resolve(folder, "model.safetensors.index.json");
        Map<String, Safetensors> files = new HashMap<>();
        if (Files.exists(single)) {
            Safetensors opened = Safetensors.open(single, arena);
            opened.names().forEach(name -> files.put(name, opened));
        } else if (Files.exists(index)) {
            openShards(JsonObject.read(index).object("weight_map"), folder, arena, files);
        } else {
            throw new NoSuchFileException(single.toString(), null,
                    "no such file, and no model.safetensors.index.json beside it");
        }
        return new SafetensorsWeights(folder, files);
    }

    /// Opens every shard that the index names. Index and shards must agree in both directions: a tensor in another
    /// shard than the index says, or one that the index does not know, means that the folder mixes two models.
    private static void openShards(JsonObject weightMap, Path folder, Arena arena, Map<String, Safetensors> files)
            throws IOException {
        Map<String, Safetensors> shards = new LinkedHashMap<>();
        for (Map.Entry<String, ?> entry : weightMap.node().properties()) {
            String tensor = entry.getKey();
            String shard = weightMap.string(tensor);
            if (!shards.containsKey(shard)) {
                shards.put(shard, openShard(weightMap, tensor, shard, folder, arena));
            }
            if (!shards.get(shard).names().contains(tensor)) {
                throw weightMap.problem(tensor, "is not in " + shard);
            }
            files.put(tensor, shards.get(shard));
        }
        for (Safetensors shard : shards.values()) {
            for (String tensor : shard.names()) {
                if (files.get(tensor) != shard) {
                    throw new FileFormatException(shard.file(), "tensor '" + tensor + "'",
                            "the index does not list it here");
                }
            }
        }
    }

    private static Safetensors openShard(JsonObject weightMap, String tensor, String shard, Path folder, Arena arena)
            throws IOException {
        if (!isFileName(shard)) {
            throw weightMap.problem(tensor, "'" + shard + "' is not the name of a file in this folder");
        }
        Path path = FolderFiles.resolve(folder, shard);
        if (!Files.isRegularFile(path)) {
            throw weightMap.problem(tensor, "the shard " + shard + " is missing");
        }
        return Safetensors.open(path, arena);
    }

    private static boolean isFileName(String shard) {
        try {
            Path.of(shard);
        } catch (InvalidPathException e) { // a zero, or half of a surrogate pair
            return false;
        }
        return !shard.isEmpty() && !shard.equals(".") && !shard.equals("..") && !shard.contains("/") && !shard.contains("\\");
    }

    @Override
    public boolean has(String name) {
        return files.containsKey(name);
    }

    @Override
    public Path file(String name) {
        return has(name) ? files.get(name).file() : folder;
    }

    /// @throws FileFormatException if no file holds the tensor
    RawTensor tensor(String name) {
        if (!has(name)) {
            throw new FileFormatException(folder, "tensor '" + name + "'", "missing");
        }
        return files.get(name).tensor(name);
    }

    @Override
    public long[] shape(String name) {
        return tensor(name).shape();
    }

    @Override
    public DType storedType(String name) {
        return tensor(name).dtype();
    }

    @Override
    public void decodeRows(String name, long firstRow, long rows, MemorySegment dst) {
        RawTensor tensor = tensor(name);
        long count = dst.byteSize() / Float.BYTES;
        long first = rows == 0 ? 0 : firstRow * (count / rows);
        int bytes = tensor.dtype().bytes();
        decoder(tensor).decode(tensor.data().asSlice(first * bytes, count * bytes), dst, count);
    }

    private Decoders.Decoder decoder(RawTensor tensor) {
        return switch (tensor.dtype()) {
            case F32, F16, BF16 -> Decoders.of(tensor.dtype());
            case I32, I64, U8 ->
                throw new FileFormatException(file(tensor.name()), "tensor '" + tensor.name() + "'", "type "
                        + tensor.dtype() + "; expected F32, F16 or BF16");
        };
    }

    @Override
    public Optional<RawTensor> raw(String name) {
        return Optional.of(tensor(name)).filter(tensor -> switch (tensor.dtype()) {
            case F32, F16, BF16 -> true;
            case I32, I64, U8 -> false;
        });
    }
}
