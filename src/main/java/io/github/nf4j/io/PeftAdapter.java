package io.github.nf4j.io;

import io.github.nf4j.DType;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;

/// A LoRA adapter in PEFT's format: a folder with `adapter_config.json` and `adapter_model.safetensors`.
///
/// @param config  what the configuration says
/// @param modules the matrices by module path (`model.layers.0.self_attn.q_proj`), sorted
public record PeftAdapter(PeftConfig config, Map<String, Matrices> modules) {
    private static final String CONFIG = "adapter_config.json";
    private static final String WEIGHTS = "adapter_model.safetensors";
    private static final String PREFIX = "base_model.model.";
    private static final String SUFFIX_A = ".lora_A.weight";
    private static final String SUFFIX_B = ".lora_B.weight";

    /// The two factors of one module's update `scale · B · A`.
    ///
    /// @param a `[rank, in]`
    /// @param b `[out, rank]`
    public record Matrices(RawTensor a, RawTensor b) {
    }

    public PeftAdapter {
        modules = Collections.unmodifiableMap(new TreeMap<>(modules));
    }

    /// Maps an adapter. Its tensors live as long as the arena, and are F32, F16 or BF16.
    ///
    /// Every tensor must belong to a module that the configuration targets, come as a pair, have the configured rank
    /// and be finite. Whether the modules are those of a certain model is for [#requireFits] to say.
    ///
    /// @throws FileFormatException naming the key of the configuration or the tensor that is wrong or not supported
    public static PeftAdapter open(Path folder, Arena arena) throws IOException {
        if (!Files.isDirectory(folder)) {
            throw new NoSuchFileException(folder.toString(), null, "no such folder; expected an adapter with "
                    + CONFIG);
        }
        PeftConfig config = PeftConfigJson.read(JsonObject.read(FolderFiles.resolve(folder, CONFIG)));
        Safetensors weights = Safetensors.open(FolderFiles.resolve(folder, WEIGHTS), arena);
        Map<String, Matrices> modules = new TreeMap<>();
        for (String name : weights.names()) {
            String path = modulePath(weights, name);
            try {
                if (!modules.containsKey(path)) {
                    modules.put(path, pair(weights, path, config));
                }
            } catch (IllegalArgumentException e) { // a pattern of the configuration does not do with this path
                throw new FileFormatException(folder.resolve(CONFIG), "tensor '" + name + "'", e.getMessage(), e);
            }
        }
        if (modules.isEmpty()) {
            throw new FileFormatException(weights.file(), "tensors", "there are none");
        }
        return new PeftAdapter(config, modules);
    }

    private static String modulePath(Safetensors weights, String name) {
        for (String suffix : List.of(SUFFIX_A, SUFFIX_B)) {
            if (name.startsWith(PREFIX) && name.endsWith(suffix) && name.length() > PREFIX.length() + suffix.length()) {
                return name.substring(PREFIX.length(), name.length() - suffix.length());
            }
        }
        throw new FileFormatException(weights.file(), "tensor '" + name + "'",
                "unexpected; an adapter's tensors are called " + PREFIX + "<module>" + SUFFIX_A + " and " + SUFFIX_B);
    }

    private static Matrices pair(Safetensors weights, String path, PeftConfig config) {
        RawTensor a = matrix(weights, PREFIX + path + SUFFIX_A);
        RawTensor b = matrix(weights, PREFIX + path + SUFFIX_B);
        if (!config.targets(path)) {
            throw new FileFormatException(weights.file(), "tensor '" + a.name() + "'",
                    "unexpected: the configuration does not target the module");
        }
        int rank = config.rank(path);
        if (a.shape()[0] != rank || b.shape()[1] != rank) {
            throw new FileFormatException(weights.file(), "tensor '" + a.name() + "'", "A is " + Shapes.text(a.shape())
                    + " and B is " + Shapes.text(b.shape()) + ", but the configured rank is " + rank);
        }
        return new Matrices(a, b);
    }

    private static RawTensor matrix(Safetensors weights, String name) {
        RawTensor tensor = weights.tensor(name);
        boolean floating = switch (tensor.dtype()) {
            case F32, F16, BF16 -> true;
            case I32, I64, U8 -> false;
        };
        if (!floating || tensor.shape().length != 2) {
            throw new FileFormatException(weights.file(), "tensor '" + name + "'", tensor.dtype() + " "
                    + Shapes.text(tensor.shape()) + "; expected a floating-point matrix");
        }
        Decoders.requireFinite(weights.file(), tensor);
        return tensor;
    }

    /// Checks that this adapter fits a model: it has matrices for exactly the modules that its configuration targets
    /// among the model's linear layers, in the layers' shapes.
    ///
    /// @param layers `[out, in]` of each linear layer by module path
    /// @throws IllegalArgumentException naming the first module that is missing, unexpected or of another shape
    public void requireFits(Map<String, long[]> layers) {
        List<String> problems = new ArrayList<>();
        layers.forEach((path, shape) -> {
            Matrices matrices = modules.get(path);
            if (matrices == null && config.targets(path)) {
                problems.add("it has no matrices for " + path);
            } else if (matrices != null
                    && (matrices.b().shape()[0] != shape[0] || matrices.a().shape()[1] != shape[1])) {
                problems.add("for " + path + " it is made for [" + matrices.b().shape()[0] + ", " + matrices.a()
                        .shape()[1] + "], the layer is " + Shapes.text(shape));
            }
        });
        modules.keySet().stream().filter(path -> !layers.containsKey(path))
                .forEach(path -> problems.add("the model has no linear layer " + path));
        if (!problems.isEmpty()) {
            throw new IllegalArgumentException("the adapter does not belong to this model: " + problems.getFirst()
                    + (problems.size() > 1 ? " (and " + (problems.size() - 1) + " more)" : ""));
        }
    }

    /// Writes this adapter so that PEFT loads it. Each file appears whole or not at all, the configuration last.
    ///
    /// @param folder created if it does not exist
    /// @throws IllegalArgumentException if a matrix is not F32, which is what PEFT writes
    public void write(Path folder) throws IOException {
        List<RawTensor> tensors = new ArrayList<>();
        modules.forEach((path, matrices) -> {
            tensors.add(named(matrices.a(), PREFIX + path + SUFFIX_A));
            tensors.add(named(matrices.b(), PREFIX + path + SUFFIX_B));
        });
        Files.createDirectories(folder);
        Safetensors.write(folder.resolve(WEIGHTS), tensors, Map.of());
        AtomicFile.write(folder.resolve(CONFIG), PeftConfigJson.write(config));
    }

    private static RawTensor named(RawTensor tensor, String name) {
        if (tensor.dtype() != DType.F32) {
            throw new IllegalArgumentException(name + " is " + tensor.dtype() + "; adapters are written as F32");
        }
        return new RawTensor(name, tensor.dtype(), tensor.shape(), tensor.data());
    }
}
