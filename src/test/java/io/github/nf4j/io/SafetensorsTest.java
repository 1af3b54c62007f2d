package io.github.nf4j.io;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.github.nf4j.DType;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class SafetensorsTest {
    @TempDir
    Path folder;

    @Test
    void readsTypesShapesAndValues() throws IOException {
        try (Arena arena = Arena.ofConfined()) {
            Safetensors file = Safetensors.open(Fixtures.path("peft/plain/adapter_model.safetensors"), arena);
            assertEquals(28, file.names().size());
            assertEquals(Map.of("format", "pt"), file.metadata());
            RawTensor a = file.tensor("base_model.model.model.layers.1.mlp.down_proj.lora_A.weight");
            assertEquals(DType.F32, a.dtype());
            assertArrayEquals(new long[] {8, 160}, a.shape());
            assertEquals(8 * 160 * 4, a.data().byteSize());
            assertTrue(a.data().isMapped());
        }
    }

    /// The strongest check of the writer: what the reference implementation wrote comes out again, byte for byte.
    @ParameterizedTest
    @ValueSource(strings = {"peft/patterns/adapter_model.safetensors", "models/qwen2/model.safetensors",
            "models/llama-tied/model.safetensors", "bnb/nf4-nested/model.safetensors", "bnb/nf4-plain/model.safetensors",
            "models/llama-tied/expected.safetensors"})
    void writesWhatTheReferenceWriterWrites(String fixture) throws IOException {
        Path copy = folder.resolve("copy.safetensors");
        try (Arena arena = Arena.ofConfined()) {
            Safetensors file = Safetensors.open(Fixtures.path(fixture), arena);
            List<RawTensor> tensors = file.names().stream().sorted().map(file::tensor).toList();
            Safetensors.write(copy, tensors, file.metadata());
        }
        assertEquals(-1, Files.mismatch(Fixtures.path(fixture), copy));
    }

    @Test
    void ordersByAlignmentAndThenByNameAndAddsTheFormat() throws IOException {
        Path path = folder.resolve("mixed.safetensors");
        List<RawTensor> tensors = List.of(
                new RawTensor("byte", DType.U8, new long[] {3},
                        Fixtures.offHeap(MemorySegment.ofArray(new byte[] {1, 2, 3}))),
                new RawTensor("b", DType.F32, new long[] {}, Fixtures.segment(1.5f)),
                new RawTensor("a", DType.F32, new long[] {2, 0}, MemorySegment.NULL),
                new RawTensor("half", DType.F16, new long[] {1},
                        Fixtures.offHeap(MemorySegment.ofArray(new short[] {0x3c00}))),
                new RawTensor("brain", DType.BF16, new long[] {1},
                        Fixtures.offHeap(MemorySegment.ofArray(new short[] {0x3f80}))),
                new RawTensor("int", DType.I32, new long[] {1},
                        Fixtures.offHeap(MemorySegment.ofArray(new int[] {-7}))),
                new RawTensor("long", DType.I64, new long[] {1, 1},
                        Fixtures.offHeap(MemorySegment.ofArray(new long[] {1L << 40}))));
        Safetensors.write(path, tensors, Map.of("who", "me"));
        try (Arena arena = Arena.ofConfined()) {
            Safetensors file = Safetensors.open(path, arena);
            assertEquals(List.of("long", "a", "b", "int", "brain", "half", "byte"), List.copyOf(file.names()));
            assertEquals(Map.of("who", "me", "format", "pt"), file.metadata());
            for (RawTensor tensor : tensors) {
                RawTensor read = file.tensor(tensor.name());
                assertEquals(tensor.dtype(), read.dtype());
                assertArrayEquals(tensor.shape(), read.shape());
                assertEquals(-1, read.data().mismatch(tensor.data()));
            }
        }
        assertEquals(Set.of(path), Set.of(Files.list(folder).toArray()), "the temporary file is gone");
    }

    @Test
    void readsTensorsAtOddAddresses() throws IOException {
        Path path = HostileSafetensors.write(folder, "{\"x\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]},"
                + "\"y\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[1,9]}}  ",
                new byte[] {9, 0, 0, (byte) 0x80, 0x3f, 0, 0, 0, 0x40});
        try (Arena arena = Arena.ofConfined()) {
            assertArrayEquals(new float[] {1, 2}, Fixtures.f32(Safetensors.open(path, arena).tensor("y")));
        }
    }

    @Test
    void skipsTypesThatItHasNoUseForUntilTheyAreAskedFor() throws IOException {
        Path path = HostileSafetensors.write(folder, "{\"x\":{\"dtype\":\"F64\",\"shape\":[1],\"data_offsets\":[0,8]},"
                + "\"n\":{\"dtype\":\"F4\",\"shape\":[4],\"data_offsets\":[8,10]}}", new byte[10]);
        try (Arena arena = Arena.ofConfined()) {
            Safetensors file = Safetensors.open(path, arena);
            assertEquals(Set.of("x", "n"), file.names());
            String message = assertThrows(FileFormatException.class, () -> file.tensor("x")).getMessage();
            assertTrue(message.contains("'x'") && message.contains("F64"), message);
        }
    }

    @Test
    void namesFileAndTensorThatAreMissing() throws IOException {
        try (Arena arena = Arena.ofConfined()) {
            Path path = Fixtures.path("models/qwen2/model.safetensors");
            Safetensors file = Safetensors.open(path, arena);
            FileFormatException missing = assertThrows(FileFormatException.class, () -> file.tensor("nothing"));
            assertEquals(path, missing.file());
            assertTrue(missing.place().contains("nothing"));
            Path absent = folder.resolve("absent.safetensors");
            assertTrue(assertThrows(NoSuchFileException.class, () -> Safetensors.open(absent, arena)).getMessage()
                    .contains("no such file"));
        }
    }

    @Test
    void keepsTheOldFileWhenWritingFails() throws IOException {
        Path path = folder.resolve("kept.safetensors");
        RawTensor x = new RawTensor("x", DType.F32, new long[] {1}, Fixtures.segment(1));
        Safetensors.write(path, List.of(x), Map.of());
        byte[] before = Files.readAllBytes(path);
        assertThrows(IllegalArgumentException.class, () -> Safetensors.write(path, List.of(x, x), Map.of()));
        Arena closed = Arena.ofConfined();
        RawTensor gone = new RawTensor("y", DType.F32, new long[] {1}, closed.allocate(4));
        closed.close();
        assertThrows(IllegalStateException.class, () -> Safetensors.write(path, List.of(x, gone), Map.of()));
        assertArrayEquals(before, Files.readAllBytes(path));
        assertEquals(1, Files.list(folder).count(), "no temporary file stays behind");
    }
}
