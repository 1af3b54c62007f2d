package io.github.nf4j.io;

import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;

/// Writes GGUF files for tests, true or not: whatever it is told to say, it says.
final class GgufWriter {
    private final ByteArrayOutputStream keys = new ByteArrayOutputStream();
    private final ByteArrayOutputStream infos = new ByteArrayOutputStream();
    private final ByteArrayOutputStream data = new ByteArrayOutputStream();
    private int keyCount;
    private int tensorCount;
    int magic = 0x46554747;
    int version = 3;
    Long announcedKeys;
    Long announcedTensors;

    GgufWriter string(String key, String value) {
        return raw(key, 8, text(value));
    }

    GgufWriter u32(String key, int value) {
        return raw(key, 4, i32(value));
    }

    GgufWriter f32(String key, float value) {
        return raw(key, 6, i32(Float.floatToIntBits(value)));
    }

    GgufWriter bool(String key, boolean value) {
        return raw(key, 7, new byte[] {(byte) (value ? 1 : 0)});
    }

    GgufWriter strings(String key, List<String> values) {
        ByteArrayOutputStream bytes = new ByteArrayOutputStream();
        values.forEach(value -> bytes.writeBytes(text(value)));
        return raw(key, 9, concat(i32(8), i64(values.size()), bytes.toByteArray()));
    }

    GgufWriter i32s(String key, List<Integer> values) {
        ByteArrayOutputStream bytes = new ByteArrayOutputStream();
        values.forEach(value -> bytes.writeBytes(i32(value)));
        return raw(key, 9, concat(i32(5), i64(values.size()), bytes.toByteArray()));
    }

    /// A key with any type and bytes.
    GgufWriter raw(String key, int type, byte[] value) {
        keys.writeBytes(concat(text(key), i32(type), value));
        keyCount++;
        return this;
    }

    /// An F32 tensor.
    GgufWriter tensor(String name, long[] shape, float... values) {
        ByteBuffer bytes = ByteBuffer.allocate(4 * values.length).order(ByteOrder.LITTLE_ENDIAN);
        bytes.asFloatBuffer().put(values);
        return tensor(name, shape, 0, bytes.array());
    }

    /// A tensor of any type, at the next aligned offset.
    ///
    /// @param shape in Hugging Face's order
    GgufWriter tensor(String name, long[] shape, int type, byte[] values) {
        while (data.size() % 32 != 0) {
            data.write(0);
        }
        info(name, shape, type, data.size());
        data.writeBytes(values);
        return this;
    }

    /// A description of a tensor, without data.
    GgufWriter info(String name, long[] shape, int type, long offset) {
        infos.writeBytes(concat(text(name), i32(shape.length)));
        for (int i = shape.length - 1; i >= 0; i--) {
            infos.writeBytes(i64(shape[i]));
        }
        infos.writeBytes(concat(i32(type), i64(offset)));
        tensorCount++;
        return this;
    }

    byte[] bytes() {
        ByteArrayOutputStream file = new ByteArrayOutputStream();
        file.writeBytes(concat(i32(magic), i32(version), i64(announcedTensors == null ? tensorCount : announcedTensors),
                i64(announcedKeys == null ? keyCount : announcedKeys), keys.toByteArray(), infos.toByteArray()));
        while (file.size() % 32 != 0) {
            file.write(0);
        }
        file.writeBytes(data.toByteArray());
        return file.toByteArray();
    }

    Path write(Path path) throws IOException {
        return Files.write(path, bytes());
    }

    static byte[] text(String value) {
        byte[] utf8 = value.getBytes(StandardCharsets.UTF_8);
        return concat(i64(utf8.length), utf8);
    }

    static byte[] i32(int value) {
        return ByteBuffer.allocate(4).order(ByteOrder.LITTLE_ENDIAN).putInt(value).array();
    }

    static byte[] i64(long value) {
        return ByteBuffer.allocate(8).order(ByteOrder.LITTLE_ENDIAN).putLong(value).array();
    }

    static byte[] concat(byte[]... parts) {
        ByteArrayOutputStream bytes = new ByteArrayOutputStream();
        for (byte[] part : parts) {
            bytes.writeBytes(part);
        }
        return bytes.toByteArray();
    }
}
