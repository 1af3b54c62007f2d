package io.github.nf4j.io;

import io.github.nf4j.DType;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Collections;
import java.util.Comparator;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;

/// A safetensors file, mapped: tensors are views of the file and nothing is copied.
///
/// The header is checked as a whole before anything is believed: sizes with arithmetic that cannot wrap, types, and
/// that the tensors cover the data exactly, without holes or overlaps (the format's own rule, which also keeps foreign
/// content out).
///
/// Format: <https://github.com/huggingface/safetensors#format>
public final class Safetensors {
    private static final int PREFIX_BYTES = Long.BYTES;

    private final Path file;
    private final SafetensorsHeader header;
    private final MemorySegment data;

    private Safetensors(Path file, SafetensorsHeader header, MemorySegment data) {
        this.file = file;
        this.header = header;
        this.data = data;
    }

    /// Maps a file. The tensors live as long as the arena.
    ///
    /// @throws FileFormatException if the file breaks a rule of the format
    public static Safetensors open(Path file, Arena arena) throws IOException {
        MemorySegment whole = MappedFile.map(file, arena);
        long size = whole.byteSize();
        if (size < PREFIX_BYTES) {
            throw new FileFormatException(file, "header", "the file has " + size
                    + " bytes; the header's length alone takes " + PREFIX_BYTES);
        }
        long headerBytes = whole.get(SafetensorsHeader.U64, 0);
        if (headerBytes < 0 || headerBytes > SafetensorsHeader.MAX_BYTES) {
            throw new FileFormatException(file, "header", "its length is given as " + Long.toUnsignedString(headerBytes)
                    + " bytes; at most " + SafetensorsHeader.MAX_BYTES + " are allowed (is this a safetensors file?)");
        }
        if (headerBytes > size - PREFIX_BYTES) {
            throw new FileFormatException(file, "header", "its length is given as " + headerBytes
                    + " bytes, but the file ends after " + (size - PREFIX_BYTES) + " (truncated?)");
        }
        String text = JsonObject.decodeUtf8(file, "header", whole.asSlice(PREFIX_BYTES, headerBytes).asByteBuffer());
        MemorySegment data = whole.asSlice(PREFIX_BYTES + headerBytes);
        SafetensorsHeader header = SafetensorsHeader.parse(file, text);
        header.checkCoverage(file, data.byteSize());
        return new Safetensors(file, header, data);
    }

    /// The file that this was opened from.
    public Path file() {
        return file;
    }

    /// Names of the tensors, in the order of the header.
    public Set<String> names() {
        return Collections.unmodifiableSet(header.entries().keySet());
    }

    /// The header's free-form strings; transformers requires `format` = `pt`.
    public Map<String, String> metadata() {
        return header.metadata();
    }

    /// A view of one tensor.
    ///
    /// @throws FileFormatException if there is none of that name, or if nf4j has no use for its type
    public RawTensor tensor(String name) {
        SafetensorsHeader.Entry entry = header.entries().get(name);
        if (entry == null) {
            throw new FileFormatException(file, "tensor '" + name + "'", "missing");
        }
        DType dtype = entry.type().dtype();
        if (dtype == null) {
            throw new FileFormatException(file, "tensor '" + name + "'", "type " + entry.type()
                    + " is not supported; nf4j reads " + List.of(DType.values()));
        }
        return new RawTensor(name, dtype, entry.shape().clone(),
                data.asSlice(entry.begin(), entry.end() - entry.begin()));
    }

    /// Writes a file as the reference writer does: tensors by descending alignment of their type and then by name, the
    /// header padded to a multiple of 8, so that every tensor is aligned. The file appears whole or not at all.
    ///
    /// @param tensors  with distinct names; their data may be mapped from another file
    /// @param metadata strings for the header; `format` = `pt`, which transformers requires, is added if absent
    public static void write(Path file, List<RawTensor> tensors, Map<String, String> metadata) throws IOException {
        List<RawTensor> sorted = new ArrayList<>(tensors);
        sorted.sort(Comparator.comparing((RawTensor t) -> SafetensorsHeader.Type.of(t.dtype())).reversed()
                .thenComparing(RawTensor::name));
        Map<String, SafetensorsHeader.Entry> entries = new LinkedHashMap<>();
        Set<String> seen = new HashSet<>(Set.of(SafetensorsHeader.METADATA_KEY));
        long offset = 0;
        for (RawTensor tensor : sorted) {
            if (!seen.add(tensor.name())) {
                throw new IllegalArgumentException("tensor name '" + tensor.name() + "' is given twice or reserved");
            }
            long end = Math.addExact(offset, tensor.data().byteSize());
            entries.put(tensor.name(),
                    new SafetensorsHeader.Entry(SafetensorsHeader.Type.of(tensor.dtype()), tensor.shape(),
                            offset, end));
            offset = end;
        }
        Map<String, String> strings = new LinkedHashMap<>(metadata);
        strings.putIfAbsent("format", "pt");
        byte[] header = new SafetensorsHeader(entries, strings).toBytes();
        AtomicFile.write(file, channel -> {
            ByteBuffer prefix = ByteBuffer.allocate(PREFIX_BYTES).order(ByteOrder.LITTLE_ENDIAN);
            AtomicFile.writeFully(channel, prefix.putLong(header.length).flip());
            AtomicFile.writeFully(channel, ByteBuffer.wrap(header));
            for (RawTensor tensor : sorted) {
                long bytes = tensor.data().byteSize();
                long chunk = 1L << 30; // a ByteBuffer holds less than 2 GiB
                for (long at = 0; at < bytes; at += chunk) {
                    AtomicFile.writeFully(channel, tensor.data().asSlice(at, Math.min(chunk, bytes - at))
                            .asByteBuffer());
                }
            }
        });
    }
}
