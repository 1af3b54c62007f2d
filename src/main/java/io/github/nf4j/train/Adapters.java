package io.github.nf4j.train;

import io.github.nf4j.DType;
import io.github.nf4j.Stream;
import io.github.nf4j.autograd.Parameter;
import io.github.nf4j.io.FileFormatException;
import io.github.nf4j.io.PeftAdapter;
import io.github.nf4j.io.PeftConfig;
import io.github.nf4j.io.RawTensor;
import io.github.nf4j.nn.Linear;
import io.github.nf4j.nn.LlamaModel;
import io.github.nf4j.nn.LoraAdapter;
import io.github.nf4j.nn.LoraSettings;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.SegmentAllocator;
import java.lang.foreign.ValueLayout;
import java.nio.file.Path;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Optional;

/// Puts adapters on models and writes them as PEFT folders.
public final class Adapters {
    private Adapters() {
    }

    /// Puts new adapters on a model, which computes what it did before.
    ///
    /// @param config which projections get one, and of what kind
    /// @param seed   of the random factors
    /// @throws IllegalArgumentException if a name in the list of target modules is none of the model's
    public static void attach(LlamaModel model, PeftConfig config, long seed) {
        if (config.targetModules() instanceof PeftConfig.Modules.Named(var names)) {
            for (String name : names) {
                if (model.projections().stream().noneMatch(p -> p.path().equals(name) || p.path().endsWith("." + name))) {
                    throw new IllegalArgumentException("target module '" + name + "' is none of the model's; it has "
                            + "q_proj, k_proj, v_proj, o_proj, gate_proj, up_proj and down_proj");
                }
            }
        }
        model.attachAdapters(path -> config.targets(path) ? Optional.of(settings(config, path)) : Optional.empty(), seed);
        if (model.parameters().isEmpty()) {
            throw new IllegalArgumentException("the adapter's configuration targets no module of the model");
        }
    }

    /// Puts a stored adapter on a model.
    ///
    /// @param folder as PEFT writes it
    /// @return its configuration, with which [#save] writes it again
    /// @throws FileFormatException if the adapter is malformed, of a kind that nf4j does not implement, or made for another model
    public static PeftConfig load(LlamaModel model, Path folder) throws IOException {
        try (Arena arena = Arena.ofConfined()) {
            PeftAdapter adapter = PeftAdapter.open(folder, arena);
            Map<String, long[]> layers = new LinkedHashMap<>();
            Map<String, Linear> projections = new HashMap<>();
            for (Linear projection : model.projections()) {
                layers.put(projection.path(), new long[] {projection.outFeatures(), projection.inFeatures()});
                projections.put(projection.path(), projection);
            }
            try {
                adapter.requireFits(layers);
            } catch (IllegalArgumentException e) {
                throw new FileFormatException(folder, "adapter", e.getMessage(), e);
            }
            adapter.modules().forEach((path, matrices) -> {
                LoraAdapter attached = projections.get(path).attach(model.stream().device(), settings(adapter.config(), path));
                fill(model.stream(), folder, matrices.a(), attached.a());
                fill(model.stream(), folder, matrices.b(), attached.b());
            });
            return adapter.config();
        }
    }

    /// Writes the adapters of a model as PEFT does, in F32.
    ///
    /// @param config the configuration that they were attached or loaded with
    public static void save(LlamaModel model, PeftConfig config, Path folder) throws IOException {
        try (Arena arena = Arena.ofConfined()) {
            Map<String, PeftAdapter.Matrices> modules = new LinkedHashMap<>();
            for (Linear projection : model.projections()) {
                projection.adapter().ifPresent(adapter -> modules.put(projection.path(), new PeftAdapter.Matrices(
                        raw(model.stream(), adapter.a(), arena), raw(model.stream(), adapter.b(), arena))));
            }
            new PeftAdapter(config, modules).write(folder);
        }
    }

    private static LoraSettings settings(PeftConfig config, String path) {
        return new LoraSettings(config.rank(path), config.alpha(path), config.useRslora(), config.dropout());
    }

    private static RawTensor raw(Stream stream, Parameter parameter, SegmentAllocator allocator) {
        return new RawTensor(parameter.name(), DType.F32, new long[] {parameter.value().rows(), parameter.value().cols()},
                HostTensors.read(stream, parameter.value(), allocator));
    }

    private static void fill(Stream stream, Path folder, RawTensor source, Parameter parameter) {
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment floats = arena.allocate(ValueLayout.JAVA_FLOAT, source.elements());
            for (long i = 0; i < source.elements(); i++) {
                float value = element(source, i);
                if (!Float.isFinite(value)) {
                    throw new FileFormatException(folder, "tensor '" + source.name() + "'", "element " + i + " is " + value);
                }
                floats.setAtIndex(ValueLayout.JAVA_FLOAT, i, value);
            }
            HostTensors.write(stream, floats, parameter.value());
        }
    }

    private static float element(RawTensor tensor, long i) {
        return switch (tensor.dtype()) {
            case F32 -> tensor.data().getAtIndex(ValueLayout.JAVA_FLOAT_UNALIGNED, i);
            case F16 -> Float.float16ToFloat(tensor.data().getAtIndex(ValueLayout.JAVA_SHORT_UNALIGNED, i));
            case BF16 -> Float.intBitsToFloat(tensor.data().getAtIndex(ValueLayout.JAVA_SHORT_UNALIGNED, i) << 16);
            case I32, I64, U8 -> throw new IllegalArgumentException(tensor.name() + " is " + tensor.dtype());
        };
    }
}
