package io.github.nf4j.io;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

class GgufTest {
    private static final Path QUANTS = Fixtures.path("gguf/quants.gguf");

    @TempDir
    Path folder;

    @Test
    void readsEveryValueType() throws IOException {
        try (Arena arena = Arena.ofConfined()) {
            GgufMetadata metadata = Gguf.open(QUANTS, arena).metadata();
            assertEquals("test", metadata.string("general.architecture"));
            assertEquals(200, metadata.integer("test.u8", 0, 255));
            assertEquals(-100, metadata.integer("test.i8", -128, 127));
            assertEquals(60000, metadata.integer("test.u16", 0, 65535));
            assertEquals(-30000, metadata.integer("test.i16", -32768, 32767));
            assertEquals(4_000_000_000.0, metadata.number("test.u32"));
            assertEquals(-2_000_000_000, metadata.integer("test.i32", Integer.MIN_VALUE, 0));
            assertEquals(0.5, metadata.number("test.f32"));
            assertTrue(metadata.bool("test.bool", false));
            assertEquals("Größe 水", metadata.string("test.string"));
            assertEquals(0x1p62, metadata.number("test.u64"));
            assertEquals(-0x1p62, metadata.number("test.i64"));
            assertEquals(1e300, metadata.number("test.f64"));
            assertEquals(List.of("a", "", "水"), metadata.strings("test.strings"));
            assertEquals(List.of(1L, -2L, 3L), metadata.integers("test.ints"));
            assertFalse(metadata.has("test.none"));
            assertEquals(7, metadata.integer("test.none", 0, 9, 7));
        }
    }

    @Test
    void refusesValuesOfAnotherTypeOrRangeByKey() throws IOException {
        try (Arena arena = Arena.ofConfined()) {
            GgufMetadata metadata = Gguf.open(QUANTS, arena).metadata();
            for (Runnable wrong : List.<Runnable>of(() -> metadata.string("test.u8"), () -> metadata.integer("test.u8", 0, 199),
                    () -> metadata.integers("test.strings"), () -> metadata.strings("test.string"),
                    () -> metadata.bool("test.u8", true), () -> metadata.number("test.none"))) {
                String message = assertThrows(FileFormatException.class, wrong::run).getMessage();
                assertTrue(message.contains("test."), message);
            }
        }
    }

    /// Against llama.cpp's own quantizer and decoder.
    @ParameterizedTest
    @EnumSource(GgufType.class)
    void decodesEveryTypeExactly(GgufType type) throws IOException {
        try (Arena arena = Arena.ofConfined()) {
            GgufTensor tensor = Gguf.open(QUANTS, arena).tensor(type.name());
            assertEquals(type, tensor.type());
            assertArrayEquals(new long[] {5, 96}, tensor.shape());
            float[] expected = Fixtures.f32(Safetensors.open(Fixtures.path("gguf/quants.safetensors"), arena)
                    .tensor(type.name()));
            MemorySegment all = arena.allocate(ValueLayout.JAVA_FLOAT, 5 * 96);
            tensor.dequantize(0, 5 * 96, all);
            assertArrayEquals(expected, all.toArray(ValueLayout.JAVA_FLOAT));
            MemorySegment row = arena.allocate(ValueLayout.JAVA_FLOAT, 96);
            tensor.dequantize(3 * 96, 96, row);
            assertArrayEquals(Arrays.copyOfRange(expected, 3 * 96, 4 * 96), row.toArray(ValueLayout.JAVA_FLOAT));
        }
    }

    @Test
    void refusesRangesThatCutBlocksOrLeaveTheTensor() throws IOException {
        try (Arena arena = Arena.ofConfined()) {
            GgufTensor tensor = Gguf.open(QUANTS, arena).tensor("Q4_1");
            MemorySegment room = arena.allocate(ValueLayout.JAVA_FLOAT, 1024);
            assertThrows(IllegalArgumentException.class, () -> tensor.dequantize(16, 32, room));
            assertThrows(IllegalArgumentException.class, () -> tensor.dequantize(0, 33, room));
            assertThrows(IndexOutOfBoundsException.class, () -> tensor.dequantize(480, 32, room));
            assertThrows(IndexOutOfBoundsException.class, () -> tensor.dequantize(-32, 32, room));
            assertThrows(IndexOutOfBoundsException.class, () -> tensor.dequantize(0, 64, room.asSlice(0, 64)));
        }
    }

    @Test
    void readsVersionTwoAndOwnAlignment() throws IOException {
        GgufWriter writer = new GgufWriter().u32("general.alignment", 64).u32("one", 1).u32("two", 2)
                .tensor("x", new long[] {1, 2}, 1, 2);
        writer.version = 2;
        byte[] bytes = writer.bytes();
        // the header takes 24 + 33 + 19 + 19 + 41 = 136 bytes: the data is at 160 by the default alignment, at 192 by this one
        byte[] moved = Arrays.copyOf(bytes, 200);
        System.arraycopy(bytes, 160, moved, 192, 8);
        Arrays.fill(moved, 160, 168, (byte) 0);
        Path path = Files.write(folder.resolve("aligned.gguf"), moved);
        try (Arena arena = Arena.ofConfined()) {
            assertEquals(2f, Gguf.open(path, arena).tensor("x").data().get(ValueLayout.JAVA_FLOAT_UNALIGNED, 4));
        }
    }
}
