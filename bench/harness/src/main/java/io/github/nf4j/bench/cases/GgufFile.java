package io.github.nf4j.bench.cases;

import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;

/// Writes a GGUF file: <https://github.com/ggml-org/ggml/blob/master/docs/gguf.md>.
final class GgufFile {
    /// Numbers of tensor types.
    static final int F32 = 0;
    static final int Q8_0 = 8;
    static final int Q8_ELEMENTS = 32;

    /// Numbers of value types.
    private static final int UINT32 = 4;
    private static final int INT32 = 5;
    private static final int FLOAT32 = 6;
    private static final int STRING = 8;
    private static final int ARRAY = 9;

    private static final int MAGIC = 'G' | 'G' << 8 | 'U' << 16 | 'F' << 24;
    private static final int VERSION = 3;
    private static final int ALIGNMENT = 32;

    private static final Map<String, String> NAMES = Map.of("input_layernorm", "attn_norm", "self_attn.q_proj", "attn_q",
            "self_attn.k_proj", "attn_k", "self_attn.v_proj", "attn_v", "self_attn.o_proj", "attn_output", "post_attention_layernorm",
            "ffn_norm", "mlp.gate_proj", "ffn_gate", "mlp.up_proj", "ffn_up", "mlp.down_proj", "ffn_down");
    private static final Map<String, String> OUTER_NAMES = Map.of("model.embed_tokens", "token_embd", "model.norm", "output_norm",
            "lm_head", "output");

    private final ByteArrayOutputStream keys = new ByteArrayOutputStream();
    private final ByteArrayOutputStream tensors = new ByteArrayOutputStream();
    private final List<MemorySegment> data = new ArrayList<>();
    private int keyCount;
    private long dataBytes;

    static long q8Bytes(long elements) {
        return elements / Q8_ELEMENTS * (Short.BYTES + Q8_ELEMENTS);
    }

    /// What llama.cpp calls a weight of Hugging Face's.
    static String tensorName(String name) {
        String module = name.substring(0, name.lastIndexOf('.'));
        String suffix = name.substring(name.lastIndexOf('.'));
        if (!module.startsWith("model.layers.")) {
            return OUTER_NAMES.get(module) + suffix;
        }
        String[] parts = module.split("\\.", 4);
        return "blk." + parts[2] + "." + NAMES.get(parts[3]) + suffix;
    }

    void put(String key, String value) {
        key(key, STRING);
        text(keys, value);
    }

    void put(String key, int value) {
        key(key, UINT32);
        number(keys, value, 4);
    }

    void put(String key, float value) {
        key(key, FLOAT32);
        number(keys, Float.floatToRawIntBits(value), 4);
    }

    void putTexts(String key, List<String> values) {
        array(key, STRING, values.size());
        values.forEach(value -> text(keys, value));
    }

    void putNumbers(String key, List<Integer> values) {
        array(key, INT32, values.size());
        values.forEach(value -> number(keys, value, 4));
    }

    /// @param shape as Hugging Face has it, slowest dimension first
    /// @param bytes must live until [#write]
    void add(String name, long[] shape, int type, MemorySegment bytes) {
        text(tensors, name);
        number(tensors, shape.length, 4);
        for (int i = shape.length - 1; i >= 0; i--) {
            number(tensors, shape[i], 8);
        }
        number(tensors, type, 4);
        number(tensors, dataBytes, 8);
        data.add(bytes);
        dataBytes = aligned(dataBytes + bytes.byteSize());
    }

    void write(Path file) throws IOException {
        ByteArrayOutputStream header = new ByteArrayOutputStream();
        number(header, MAGIC, 4);
        number(header, VERSION, 4);
        number(header, data.size(), 8);
        number(header, keyCount, 8);
        header.writeBytes(keys.toByteArray());
        header.writeBytes(tensors.toByteArray());
        try (FileChannel channel = FileChannel.open(file, StandardOpenOption.CREATE_NEW, StandardOpenOption.WRITE)) {
            write(channel, ByteBuffer.wrap(header.toByteArray()));
            for (MemorySegment bytes : data) {
                write(channel, bytes.asByteBuffer());
            }
        }
    }

    /// Ends at the next aligned place.
    private static void write(FileChannel channel, ByteBuffer bytes) throws IOException {
        ByteBuffer padding = ByteBuffer.allocate((int) (aligned(bytes.remaining()) - bytes.remaining()));
        for (ByteBuffer part : List.of(bytes, padding)) {
            while (part.hasRemaining()) {
                channel.write(part);
            }
        }
    }

    private static long aligned(long bytes) {
        return Math.ceilDiv(bytes, ALIGNMENT) * ALIGNMENT;
    }

    private void key(String key, int type) {
        text(keys, key);
        number(keys, type, 4);
        keyCount++;
    }

    private void array(String key, int type, int count) {
        key(key, ARRAY);
        number(keys, type, 4);
        number(keys, count, 8);
    }

    private static void text(ByteArrayOutputStream out, String value) {
        byte[] utf8 = value.getBytes(StandardCharsets.UTF_8);
        number(out, utf8.length, 8);
        out.writeBytes(utf8);
    }

    /// Little-endian.
    private static void number(ByteArrayOutputStream out, long value, int bytes) {
        for (int i = 0; i < bytes; i++) {
            out.write((int) (value >>> 8 * i));
        }
    }
}
