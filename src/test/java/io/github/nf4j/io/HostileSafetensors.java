package io.github.nf4j.io;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;

/// Writes safetensors files with any header, true or not.
final class HostileSafetensors {
    private HostileSafetensors() {
    }

    static Path write(Path folder, String header, byte[] data) throws IOException {
        return Files.write(folder.resolve("hostile.safetensors"), bytes(header, data));
    }

    static byte[] bytes(String header, byte[] data) {
        byte[] json = header.getBytes(StandardCharsets.UTF_8);
        return ByteBuffer.allocate(8 + json.length + data.length).order(ByteOrder.LITTLE_ENDIAN).putLong(json.length)
                .put(json).put(data).array();
    }
}
