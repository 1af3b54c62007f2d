package io.github.nf4j.train;

import io.github.nf4j.DType;
import io.github.nf4j.Stream;
import io.github.nf4j.internal.Handle;
import io.github.nf4j.io.ChatTemplate;
import io.github.nf4j.io.ModelFiles;
import io.github.nf4j.io.Tokenizer;
import io.github.nf4j.nn.LlamaModel;
import io.github.nf4j.nn.ModelConfig;
import io.github.nf4j.nn.Quantization;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.Optional;

/// A model on disk: a Hugging Face folder or a GGUF file, mapped and checked, with its tokenizer and chat template. Opening is
/// cheap; [#load] brings the weights to a device, after which this may be closed.
public final class PretrainedModel implements AutoCloseable {
    private final Path path;
    private final Arena arena;
    private final ModelFiles files;
    private final Tokenizer tokenizer;
    private final Optional<ChatTemplate> chatTemplate;
    private final Handle handle; // kernels read the mapped files, which the arena does not notice

    private PretrainedModel(Path path, Arena arena) throws IOException {
        this.path = path;
        this.arena = arena;
        this.files = ModelFiles.open(path, arena);
        files.validate();
        this.chatTemplate = ChatTemplate.find(path);
        this.tokenizer = Tokenizer.open(path);
        this.handle = new Handle(this, "files of the model " + path, MemorySegment.NULL);
    }

    /// @param path a folder with `config.json`, or a `.gguf` file
    /// @throws io.github.nf4j.io.FileFormatException if a file is malformed, contradicts the configuration, or describes a model
    ///                                               that nf4j does not implement
    public static PretrainedModel open(Path path) throws IOException {
        Arena arena = Arena.ofShared();
        try {
            return new PretrainedModel(path, arena);
        } catch (IOException | RuntimeException e) {
            arena.close();
            throw e;
        }
    }

    public Path path() {
        return path;
    }

    public ModelConfig config() {
        return files.config();
    }

    public Tokenizer tokenizer() {
        return tokenizer;
    }

    /// Empty for a base model.
    public Optional<ChatTemplate> chatTemplate() {
        return chatTemplate;
    }

    /// What turns lines of a data file into tokens for this model.
    public ExampleEncoder exampleEncoder() {
        return new ExampleEncoder(tokenizer, chatTemplate, config().vocabularySize());
    }

    /// Number of the model's own parameters.
    public long parameters() {
        return config().parameterShapes().values().stream()
                .mapToLong(shape -> Arrays.stream(shape).reduce(1, Math::multiplyExact)).sum();
    }

    ModelFiles files() {
        return files;
    }

    /// Loads the weights onto the device of a stream.
    ///
    /// @param compute type of the activations, F32 or BF16
    public LlamaModel load(Stream stream, Quantization quantization, DType compute) {
        handle.acquire();
        try {
            return LlamaModel.load(stream, config(), new FileWeights(files), quantization, compute);
        } finally {
            handle.release();
        }
    }

    /// Unmaps the files and frees the tokenizer. Closing twice does nothing.
    ///
    /// @throws IllegalStateException if another thread is loading the model or using the tokenizer
    @Override
    public void close() {
        if (handle.close()) {
            try {
                tokenizer.close();
            } catch (IllegalStateException e) {
                handle.reopen();
                throw e;
            }
            arena.close();
        }
    }
}
