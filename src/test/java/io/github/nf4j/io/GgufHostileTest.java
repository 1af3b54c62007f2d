package io.github.nf4j.io;

import static io.github.nf4j.io.GgufWriter.concat;
import static io.github.nf4j.io.GgufWriter.i32;
import static io.github.nf4j.io.GgufWriter.i64;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.ValueLayout;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.Random;
import java.util.function.Consumer;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.MethodSource;

/// Files that lie. Each must be refused with a message that names the place, and none may lead to another exception.
class GgufHostileTest {
    @TempDir
    Path folder;

    static Stream<Arguments> lies() {
        return Stream.of(
                lie("another format", w -> w.magic = 0x12345678, "GGUF"),
                lie("version 1", w -> w.version = 1, "version 1"),
                lie("version 4", w -> w.version = 4, "version 4"),
                lie("big-endian", w -> w.version = 0x03000000, "big-endian"),
                lie("more tensors than bytes", w -> w.announcedTensors = 1L << 40, "tensors are announced"),
                lie("a negative number of tensors", w -> w.announcedTensors = -1L, "tensors are announced"),
                lie("more keys than bytes", w -> w.announcedKeys = 1L << 62, "keys are announced"),
                lie("one key too many", w -> w.announcedKeys = 2L, "string"),
                lie("one tensor too many", w -> w.announcedTensors = 2L, "tensor"),
                lie("more keys than any model has", GgufHostileTest::manyKeys, "keys are announced"),
                lie("a key twice", w -> w.u32("a", 1).u32("a", 1), "key 'a': given twice"),
                lie("a key that would clear the screen", w -> w.u32("\u001b[2J", 1).u32("\u001b[2J", 1), "given twice"),
                lie("a key longer than a page", w -> w.u32("k".repeat(1 << 20), 1).u32("k".repeat(1 << 20), 1), "kkk"),
                lie("an unknown value type", w -> w.raw("a", 13, i64(0)), "unknown value type 13"),
                lie("a bool that is 2", w -> w.raw("a", 7, new byte[] {2}), "bool"),
                lie("a string as long as memory", w -> w.raw("a", 8, i64(Long.MAX_VALUE)), "string"),
                lie("a string longer than the file", w -> w.raw("a", 8, i64(1 << 20)), "ends"),
                lie("a string that is not UTF-8", w -> w.raw("a", 8, concat(i64(1), new byte[] {(byte) 0xff})),
                        "UTF-8"),
                lie("an array longer than the file", w -> w.raw("a", 9, concat(i32(0), i64(1L << 32))),
                        "array elements"),
                lie("an array whose size wraps", w -> w.raw("a", 9, concat(i32(8), i64(1L << 61))), "array elements"),
                lie("an array of arrays", w -> w.raw("a", 9, concat(i32(9), i64(1), i32(0), i64(0))),
                        "arrays of arrays"),
                lie("an array of unknown type", w -> w.raw("a", 9, concat(i32(99), i64(1), i64(0))), "99"),
                lie("alignment 0", w -> w.u32("general.alignment", 0), "general.alignment"),
                lie("alignment 48", w -> w.u32("general.alignment", 48), "power of 2"),
                lie("alignment 2^31", w -> w.u32("general.alignment", 1 << 31), "general.alignment"),
                lie("alignment as text", w -> w.string("general.alignment", "32"), "general.alignment"),
                lie("a tensor twice", w -> w.info("x", new long[] {1}, 0, 32), "tensor 'x': given twice"),
                lie("no dimensions", w -> w.info("y", new long[] {}, 0, 32), "0 dimensions"),
                lie("five dimensions", w -> w.info("y", new long[] {1, 1, 1, 1, 1}, 0, 32), "5 dimensions"),
                lie("a dimension of 0", w -> w.info("y", new long[] {0, 4}, 0, 32), "dimension is 0"),
                lie("a dimension above 2^63", w -> w.info("y", new long[] {Long.MIN_VALUE}, 0, 32), "out of range"),
                lie("a product that wraps to 0", w -> w.info("y", new long[] {1L << 32, 1L << 32}, 0, 32), "overflows"),
                lie("a size that wraps", w -> w.info("y", new long[] {1L << 62}, 0, 32), "overflows"),
                lie("an unknown type", w -> w.info("y", new long[] {1}, 1000, 32), "type 1000 (unknown)"),
                lie("a type that is not implemented", w -> w.info("y", new long[] {256}, 12, 32), "Q4_K"),
                lie("rows that cut blocks", w -> w.info("y", new long[] {2, 48}, 2, 32), "multiple of the 32"),
                lie("an offset that is not aligned", w -> w.info("y", new long[] {1}, 0, 4), "alignment"),
                lie("an offset inside another tensor", w -> w.tensor("y", new long[] {16}, new float[16])
                        .info("z", new long[] {1}, 0, 64), "inside"),
                lie("an offset behind the end", w -> w.info("y", new long[] {1}, 0, 1 << 20), "truncated"),
                lie("an offset whose end wraps", w -> w.info("y", new long[] {8}, 0, Long.MAX_VALUE - 31), "truncated"),
                lie("an offset above 2^63", w -> w.info("y", new long[] {1}, 0, -32), "out of range"));
    }

    private static Arguments lie(String name, Consumer<GgufWriter> lie, String expected) {
        return Arguments.of(name, lie, expected);
    }

    private static void manyKeys(GgufWriter writer) {
        for (int i = 0; i <= 100_000; i++) {
            writer.bool("key" + i, true);
        }
    }

    private static GgufWriter honest() {
        return new GgufWriter().string("general.architecture", "llama").tensor("x", new long[] {1, 8}, new float[8]);
    }

    @ParameterizedTest(name = "{0}")
    @MethodSource("lies")
    void refuses(String name, Consumer<GgufWriter> lie, String expected) throws IOException {
        GgufWriter writer = honest();
        lie.accept(writer);
        Path path = writer.write(folder.resolve("hostile.gguf"));
        Refusal.expect(path, expected, () -> Gguf.open(path, Arena.ofAuto()));
    }

    @Test
    void refusesEveryTruncation() throws IOException {
        byte[] whole = honest().bytes();
        for (int length = 0; length < whole.length; length++) {
            Path path = Files.write(folder.resolve("short.gguf"), Arrays.copyOf(whole, length));
            try (Arena arena = Arena.ofConfined()) {
                assertThrows(FileFormatException.class, () -> Gguf.open(path, arena), "length " + length);
            }
        }
    }

    /// Changes bytes of a good file at random: it is refused, or every tensor in it can be decoded.
    @Test
    void survivesRandomDamage() throws IOException {
        long seed = 20260102;
        Random random = new Random(seed);
        byte[] good = Files.readAllBytes(Fixtures.path("gguf/quants.gguf"));
        Path path = folder.resolve("damaged.gguf");
        int refused = 0;
        for (int round = 0; round < 500; round++) {
            byte[] bad = good.clone();
            for (int change = 0; change <= round % 3; change++) {
                bad[random.nextInt(900)] = (byte) random.nextInt(256);
            }
            Files.write(path, bad);
            try (Arena arena = Arena.ofConfined()) {
                Gguf file = Gguf.open(path, arena);
                for (String name : file.tensorNames()) {
                    GgufTensor tensor = file.tensor(name);
                    tensor.dequantize(0, tensor.elements(), arena.allocate(ValueLayout.JAVA_FLOAT, tensor.elements()));
                }
            } catch (FileFormatException e) {
                refused++;
            } catch (RuntimeException e) {
                throw new AssertionError("seed " + seed + ", round " + round, e);
            }
        }
        assertTrue(refused > 125, "refused " + refused + " of 500 with seed " + seed);
    }
}
