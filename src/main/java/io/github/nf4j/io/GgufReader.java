package io.github.nf4j.io;

import static java.nio.ByteOrder.LITTLE_ENDIAN;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Collections;
import java.util.Comparator;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;

/// One pass over a GGUF header. Counts and lengths are believed only as far as the bytes that remain can hold them,
/// offsets are computed without wrapping, and no tensor may overlap another or leave the file.
final class GgufReader {
    private static final ValueLayout.OfShort I16 = ValueLayout.JAVA_SHORT_UNALIGNED.withOrder(LITTLE_ENDIAN);
    private static final ValueLayout.OfInt I32 = ValueLayout.JAVA_INT_UNALIGNED.withOrder(LITTLE_ENDIAN);
    private static final ValueLayout.OfLong I64 = ValueLayout.JAVA_LONG_UNALIGNED.withOrder(LITTLE_ENDIAN);
    private static final ValueLayout.OfFloat F32 = ValueLayout.JAVA_FLOAT_UNALIGNED.withOrder(LITTLE_ENDIAN);
    private static final ValueLayout.OfDouble F64 = ValueLayout.JAVA_DOUBLE_UNALIGNED.withOrder(LITTLE_ENDIAN);

    private static final int MAGIC = 'G' | 'G' << 8 | 'U' << 16 | 'F' << 24;
    private static final int MAX_KEYS = 100_000;
    private static final int MAX_TENSORS = 100_000;
    /// Above any vocabulary or merge list, below what exhausts the heap when each element becomes an object.
    private static final int MAX_ARRAY = 4_000_000;
    private static final int MAX_DIMENSIONS = 4;
    private static final int DEFAULT_ALIGNMENT = 32;
    private static final int MAX_ALIGNMENT = 1 << 20;

    /// Numbers of the value types.
    private static final int STRING = 8;
    private static final int ARRAY = 9;

    private final Path file;
    private final MemorySegment bytes;
    private long position;
    /// What is being read, for messages.
    private String place = "header";

    GgufReader(Path file, MemorySegment bytes) {
        this.file = file;
        this.bytes = bytes;
    }

    Gguf read() {
        if (bytes.byteSize() < 4 || bytes.get(I32, 0) != MAGIC) {
            throw problem("does not begin with 'GGUF'");
        }
        position = 4;
        int version = u32();
        if (version != 2 && version != 3) {
            throw problem(Integer.reverseBytes(version) == 2 || Integer.reverseBytes(version) == 3
                    ? "big-endian files are not supported" : "version " + Integer.toUnsignedString(version)
                            + " is not supported; nf4j reads 2 and 3");
        }
        int tensorCount = count("tensors", 4 + 8 + 4 + 8 + 8, MAX_TENSORS);
        int keyCount = count("keys", 8 + 4 + 1, MAX_KEYS);
        GgufMetadata metadata = new GgufMetadata(file, readMetadata(keyCount));
        List<Info> infos = readInfos(tensorCount);
        return new Gguf(file, metadata, place(infos, alignment(metadata)));
    }

    private Map<String, Object> readMetadata(int count) {
        Map<String, Object> values = new LinkedHashMap<>();
        for (int i = 0; i < count; i++) {
            place = "key " + i;
            String key = string();
            place = "key '" + key + "'";
            if (values.put(key, value(u32())) != null) {
                throw problem("given twice");
            }
        }
        return values;
    }

    private Object value(int type) {
        if (type != ARRAY) {
            return scalar(type);
        }
        int elementType = u32();
        if (elementType == ARRAY) {
            throw problem("arrays of arrays are not supported");
        }
        int count = count("array elements", elementType == STRING ? 8 : 1, MAX_ARRAY);
        List<Object> list = new ArrayList<>(count);
        for (int i = 0; i < count; i++) {
            list.add(scalar(elementType));
        }
        return Collections.unmodifiableList(list);
    }

    private Object scalar(int type) {
        return switch (type) {
            case 0 -> (long) Byte.toUnsignedInt(bytes.get(ValueLayout.JAVA_BYTE, take(1)));
            case 1 -> (long) bytes.get(ValueLayout.JAVA_BYTE, take(1));
            case 2 -> (long) Short.toUnsignedInt(bytes.get(I16, take(2)));
            case 3 -> (long) bytes.get(I16, take(2));
            case 4 -> Integer.toUnsignedLong(u32());
            case 5 -> (long) u32();
            case 6 -> (double) bytes.get(F32, take(4));
            case 7 -> bool();
            case STRING -> string();
            case 10 -> u64("value");
            case 11 -> bytes.get(I64, take(8));
            case 12 -> bytes.get(F64, take(8));
            default -> throw problem("unknown value type " + Integer.toUnsignedString(type));
        };
    }

    private boolean bool() {
        byte value = bytes.get(ValueLayout.JAVA_BYTE, take(1));
        if (value != 0 && value != 1) {
            throw problem("a bool has the value " + Byte.toUnsignedInt(value));
        }
        return value == 1;
    }

    /// A tensor's description; its place in the file is not yet checked.
    private record Info(String name, GgufType type, long[] shape, long offset, long size) {
    }

    private List<Info> readInfos(int count) {
        List<Info> infos = new ArrayList<>(count);
        Set<String> names = new HashSet<>();
        for (int i = 0; i < count; i++) {
            place = "tensor " + i;
            String name = string();
            place = "tensor '" + name + "'";
            if (!names.add(name)) {
                throw problem("given twice");
            }
            int dimensions = u32();
            if (dimensions < 1 || dimensions > MAX_DIMENSIONS) {
                throw problem(Integer.toUnsignedString(dimensions) + " dimensions; expected 1 to " + MAX_DIMENSIONS);
            }
            long[] shape = new long[dimensions];
            for (int d = dimensions - 1; d >= 0; d--) { // the file has the fastest dimension first
                shape[d] = u64("dimension");
                if (shape[d] == 0) {
                    throw problem("a dimension is 0");
                }
            }
            int typeId = u32();
            GgufType type = GgufType.of(typeId);
            if (type == null) {
                throw problem("type " + Integer.toUnsignedString(typeId) + " (" + GgufType.name(typeId)
                        + ") is not supported; nf4j reads " + List.of(GgufType.values()));
            }
            infos.add(new Info(name, type, shape, u64("offset"), size(type, shape)));
        }
        return infos;
    }

    private long size(GgufType type, long[] shape) {
        long row = shape[shape.length - 1];
        if (row % type.blockElements() != 0) {
            throw problem("rows of " + row + " elements are no multiple of the " + type.blockElements() + " of a "
                    + type + " block");
        }
        try {
            return Math.multiplyExact(Shapes.elements(shape) / type.blockElements(), type.blockBytes());
        } catch (ArithmeticException e) {
            throw problem("the size of shape " + Shapes.text(shape) + " overflows");
        }
    }

    private int alignment(GgufMetadata metadata) {
        int alignment = metadata.integer("general.alignment", 1, MAX_ALIGNMENT, DEFAULT_ALIGNMENT);
        if (Integer.bitCount(alignment) != 1) {
            throw metadata.problem("general.alignment", "expected a power of 2, found " + alignment);
        }
        return alignment;
    }

    /// Cuts the tensors out of the data, which begins at the next aligned byte.
    private Map<String, GgufTensor> place(List<Info> infos, int alignment) {
        long start = Math.min((position + alignment - 1) & -alignment, bytes.byteSize());
        MemorySegment data = bytes.asSlice(start);
        List<Info> byOffset = new ArrayList<>(infos);
        byOffset.sort(Comparator.comparingLong(Info::offset));
        long end = 0;
        for (Info info : byOffset) {
            place = "tensor '" + info.name() + "'";
            if (info.offset() % alignment != 0) {
                throw problem("offset " + info.offset() + " is no multiple of the alignment " + alignment);
            }
            if (info.offset() < end) {
                throw problem("offset " + info.offset() + " is inside the tensor before, which ends at " + end);
            }
            if (info.offset() > data.byteSize() || info.size() > data.byteSize() - info.offset()) {
                throw problem("takes " + info.size() + " bytes from offset " + info.offset() + ", but the file has "
                        + data.byteSize() + " bytes of data (truncated?)");
            }
            end = info.offset() + info.size();
        }
        Map<String, GgufTensor> tensors = new LinkedHashMap<>();
        for (Info info : infos) {
            tensors.put(info.name(), new GgufTensor(info.name(), info.type(), info.shape(),
                    data.asSlice(info.offset(), info.size())));
        }
        return tensors;
    }

    /// A count of things that take at least `bytesEach` bytes.
    private int count(String what, int bytesEach, int limit) {
        long count = bytes.get(I64, take(8));
        if (count < 0 || count > limit || count > (bytes.byteSize() - position) / bytesEach) {
            throw problem(Long.toUnsignedString(count) + " " + what + " are announced; the file has "
                    + (bytes.byteSize() - position) + " bytes left and nf4j reads at most " + limit);
        }
        return (int) count;
    }

    private String string() {
        long length = bytes.get(I64, take(8));
        if (length < 0 || length > Integer.MAX_VALUE) {
            throw problem("a string of " + Long.toUnsignedString(length) + " bytes is announced");
        }
        return JsonObject.decodeUtf8(file, place, bytes.asSlice(take(length), length).asByteBuffer());
    }

    private int u32() {
        return bytes.get(I32, take(4));
    }

    private long u64(String what) {
        long value = bytes.get(I64, take(8));
        if (value < 0) {
            throw problem(what + " " + Long.toUnsignedString(value) + " is out of range");
        }
        return value;
    }

    /// Moves on by `size` bytes and returns where they begin.
    private long take(long size) {
        if (size > bytes.byteSize() - position) {
            throw problem("the file ends at byte " + bytes.byteSize() + " (truncated?)");
        }
        long at = position;
        position += size;
        return at;
    }

    private FileFormatException problem(String problem) {
        return new FileFormatException(file, place, problem);
    }
}
