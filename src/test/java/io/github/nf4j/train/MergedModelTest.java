package io.github.nf4j.train;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.github.nf4j.Backend;
import io.github.nf4j.DType;
import io.github.nf4j.Device;
import io.github.nf4j.Stream;
import io.github.nf4j.io.ModelFiles;
import io.github.nf4j.nn.LlamaModel;
import io.github.nf4j.nn.Quantization;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.file.FileAlreadyExistsException;
import java.nio.file.Files;
import java.nio.file.Path;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/// Folders of merged models. That what is in them computes as model and adapter do is tested with the `merge` command.
class MergedModelTest {
    private static final Path MODEL = Path.of("src/test/resources/fixtures/models/llama-tied");

    @TempDir
    private Path folder;

    private void merge(long shardBytes, Path output) throws IOException {
        try (PretrainedModel source = PretrainedModel.open(MODEL);
                Device device = Device.open(Backend.CPU);
                Stream stream = device.newStream();
                LlamaModel model = source.load(stream, Quantization.none(), DType.F32)) {
            MergedModel.write(source, model, DType.F32, shardBytes, output);
        }
    }

    private static float[] weight(Path model, String name) throws IOException {
        try (Arena arena = Arena.ofConfined()) {
            ModelFiles files = ModelFiles.open(model, arena);
            files.validate();
            long[] shape = files.shape(name);
            MemorySegment floats = arena.allocate(ValueLayout.JAVA_FLOAT, shape[0] * (shape.length == 1 ? 1 : shape[1]));
            files.readF32Rows(name, 0, shape.length == 1 ? 1 : shape[0], floats);
            return floats.toArray(ValueLayout.JAVA_FLOAT);
        }
    }

    @Test
    void weightsWithoutAnAdapterAreThoseOfTheModelInOneFileOrInMany() throws IOException {
        Path whole = folder.resolve("whole");
        Path sharded = folder.resolve("sharded");
        merge(Long.MAX_VALUE, whole);
        merge(60_000, sharded);
        assertTrue(Files.exists(whole.resolve("model.safetensors")));
        assertFalse(Files.exists(sharded.resolve("model.safetensors")));
        assertTrue(Files.exists(sharded.resolve("model.safetensors.index.json")));
        try (var files = Files.list(sharded)) {
            assertTrue(files.filter(file -> file.toString().endsWith(".safetensors")).count() > 3);
        }
        try (PretrainedModel source = PretrainedModel.open(MODEL)) {
            for (String name : source.config().parameterShapes().keySet()) {
                assertArrayEquals(weight(MODEL, name), weight(whole, name), name);
                assertArrayEquals(weight(MODEL, name), weight(sharded, name), name);
            }
        }
        try (PretrainedModel merged = PretrainedModel.open(sharded)) {
            assertEquals(DType.F32, merged.config().dtype());
            assertTrue(merged.chatTemplate().isPresent());
        }
    }

    @Test
    void leavesAFolderWithFilesAlone() throws IOException {
        Path file = Files.writeString(folder.resolve("precious"), "text");
        assertThrows(FileAlreadyExistsException.class, () -> merge(Long.MAX_VALUE, folder));
        assertEquals("text", Files.readString(file));
        try (var files = Files.list(folder)) {
            assertEquals(1, files.count());
        }
    }
}
