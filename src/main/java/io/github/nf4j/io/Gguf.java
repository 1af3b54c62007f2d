package io.github.nf4j.io;

import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.nio.file.Path;
import java.util.Collections;
import java.util.Map;
import java.util.Set;

/// A GGUF file (versions 2 and 3), mapped: tensors are views of the file and are decoded on demand.
///
/// Everything that the header says is checked when the file is opened; see [GgufReader].
///
/// Format: <https://github.com/ggml-org/ggml/blob/master/docs/gguf.md>
public final class Gguf {
    private final Path file;
    private final GgufMetadata metadata;
    private final Map<String, GgufTensor> tensors;

    Gguf(Path file, GgufMetadata metadata, Map<String, GgufTensor> tensors) {
        this.file = file;
        this.metadata = metadata;
        this.tensors = tensors;
    }

    /// Maps a file. The tensors live as long as the arena.
    ///
    /// @throws FileFormatException if the file breaks a rule of the format or holds a type that nf4j does not decode
    public static Gguf open(Path file, Arena arena) throws IOException {
        MemorySegment whole = MappedFile.map(file, arena);
        return new GgufReader(file, whole).read();
    }

    /// The file that this was opened from.
    public Path file() {
        return file;
    }

    public GgufMetadata metadata() {
        return metadata;
    }

    /// Names of the tensors, in the order of the file.
    public Set<String> tensorNames() {
        return Collections.unmodifiableSet(tensors.keySet());
    }

    /// @throws FileFormatException if there is no tensor of that name
    public GgufTensor tensor(String name) {
        GgufTensor tensor = tensors.get(name);
        if (tensor == null) {
            throw new FileFormatException(file, "tensor '" + name + "'", "missing");
        }
        return tensor;
    }
}
