package io.github.nf4j.io;

import io.github.nf4j.DType;
import io.github.nf4j.train.Dataset;
import io.github.nf4j.train.ExampleEncoder;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Objects;
import java.util.OptionalInt;

/// Reads any bytes as a file of one format: it is read to its end, or refused with a [FileFormatException]. Whatever else comes
/// out of it is a bug.
///
/// `make fuzz` hands it to Jazzer; [FuzzCorpusTest] replays what was kept of that.
public final class FuzzTarget {
    private static final String PACKED = "model.layers.0.mlp.down_proj.weight";
    private static final String STATE = PACKED + ".quant_state.bitsandbytes__nf4";

    /// The formats, in lower case the names of their folders of `src/test/resources/fuzz`, and the names of the files that are read.
    enum Format {
        SAFETENSORS("model.safetensors"), GGUF("model.gguf"), CONFIG("config.json"), TOKENIZER("tokenizer.json"),
        ADAPTER("adapter_config.json"), JSONL("data.jsonl"), QUANT_STATE("model.safetensors");

        private final String file;

        Format(String file) {
            this.file = file;
        }

        String folder() {
            return name().toLowerCase(Locale.ROOT);
        }
    }

    private final Path folder;

    FuzzTarget(Path folder) {
        this.folder = folder;
    }

    private static final class OfJazzer {
        static final Format FORMAT = Format.valueOf(System.getProperty("nf4j.fuzz").toUpperCase(Locale.ROOT));
        static final FuzzTarget TARGET = new FuzzTarget(Path.of(System.getProperty("nf4j.fuzz.folder")));
    }

    /// Stays until the process ends.
    private static final class OfModel {
        static final ExampleEncoder ENCODER = encoder(Fixtures.path("models/llama-tied"));

        private static ExampleEncoder encoder(Path model) {
            try {
                return new ExampleEncoder(Tokenizer.open(model), ChatTemplate.find(model), 1 << 16);
            } catch (IOException e) {
                throw new UncheckedIOException(e);
            }
        }
    }

    /// What Jazzer calls first: loading libraries and templates takes its time, which is no input's fault.
    public static void fuzzerInitialize() throws IOException {
        Objects.requireNonNull(OfModel.ENCODER);
        fuzzerTestOneInput(new byte[0]);
    }

    /// What Jazzer calls.
    public static void fuzzerTestOneInput(byte[] bytes) throws IOException {
        OfJazzer.TARGET.read(OfJazzer.FORMAT, bytes);
    }

    /// Whether the bytes were read; false if they were refused.
    boolean read(Format format, byte[] bytes) throws IOException {
        try {
            readOrRefuse(format, bytes);
            return true;
        } catch (FileFormatException e) {
            return false;
        }
    }

    /// @throws FileFormatException if the bytes are refused
    void readOrRefuse(Format format, byte[] bytes) throws IOException {
        try (Arena arena = Arena.ofConfined()) {
            switch (format) {
                case SAFETENSORS -> readSafetensors(Safetensors.open(write(format, bytes), arena));
                case GGUF -> readGguf(write(format, bytes), arena);
                case CONFIG -> {
                    write(format, bytes);
                    HuggingFaceConfig.read(folder);
                }
                case TOKENIZER -> readTokenizer(TokenizerJson.read(write(format, bytes)));
                case ADAPTER -> readAdapter(PeftConfigJson.read(JsonObject.read(write(format, bytes))));
                case JSONL -> Dataset.read(write(format, bytes), OfModel.ENCODER, 64);
                case QUANT_STATE -> readQuantState(bytes, arena);
            }
        }
    }

    /// The file that bytes of this format are written to.
    Path file(Format format) {
        return folder.resolve(format.file);
    }

    private Path write(Format format, byte[] bytes) throws IOException {
        return Files.write(file(format), bytes);
    }

    private static void readSafetensors(Safetensors file) {
        file.names().forEach(name -> file.tensor(name).data().toArray(ValueLayout.JAVA_BYTE));
    }

    private static void readGguf(Path path, Arena arena) throws IOException {
        Gguf file = Gguf.open(path, arena);
        for (String name : file.tensorNames()) {
            GgufTensor tensor = file.tensor(name);
            tensor.dequantize(0, tensor.elements(), arena.allocate(ValueLayout.JAVA_FLOAT, tensor.elements()));
        }
        if (file.metadata().has("llama.block_count")) {
            readModel(ModelFiles.open(path, arena), arena);
        }
        if (file.metadata().has("tokenizer.ggml.model")) {
            encode(Tokenizer.open(path));
        }
    }

    private static void readModel(ModelFiles model, Arena arena) {
        model.validate();
        model.config().parameterShapes().forEach((name, shape) -> model.readF32Rows(name, 0, shape.length == 1 ? 1 : shape[0],
                arena.allocate(ValueLayout.JAVA_FLOAT, Shapes.elements(shape))));
    }

    private static void readTokenizer(TokenizerJson json) throws IOException {
        encode(Tokenizer.of(json, List.of(), OptionalInt.empty()));
    }

    private static void encode(Tokenizer tokenizer) {
        try (tokenizer) {
            tokenizer.encode("Hello, world", true);
        }
    }

    private void readAdapter(PeftConfig config) {
        try {
            config.targets("model.layers.0.self_attn.q_proj");
            config.rank("model.layers.0.self_attn.q_proj");
        } catch (IllegalArgumentException e) {
            throw new FileFormatException(file(Format.ADAPTER), "pattern", e.getMessage(), e);
        }
    }

    private void readQuantState(byte[] bytes, Arena arena) throws IOException {
        Safetensors honest = Safetensors.open(Fixtures.path("bnb/nf4-nested").resolve("model.safetensors"), arena);
        List<RawTensor> tensors = honest.names().stream().filter(name -> name.startsWith(PACKED)).map(name -> name.equals(STATE)
                ? new RawTensor(STATE, DType.U8, new long[] {bytes.length}, Fixtures.offHeap(MemorySegment.ofArray(bytes)))
                : honest.tensor(name)).toList();
        Safetensors.write(folder.resolve("model.safetensors"), tensors, Map.of());
        BnbWeight.read(SafetensorsWeights.open(folder, arena), PACKED);
    }
}
