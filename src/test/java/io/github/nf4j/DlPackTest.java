package io.github.nf4j;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.github.nf4j.op.MemoryOps;
import java.lang.foreign.Arena;
import java.lang.foreign.FunctionDescriptor;
import java.lang.foreign.Linker;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.SymbolLookup;
import java.lang.foreign.ValueLayout;
import java.lang.invoke.MethodHandle;
import java.lang.invoke.MethodHandles;
import java.lang.invoke.MethodType;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/// Exchanges tensors with a producer and a consumer in C, written from dlpack.h.
class DlPackTest {
    private static final String PEER = """
            #include <stdint.h>
            typedef struct { void *data; struct { int32_t type, id; } device; int32_t ndim;
                struct { uint8_t code, bits; uint16_t lanes; } dtype; int64_t *shape, *strides; uint64_t byte_offset; } DLTensor;
            typedef struct Managed { struct { uint32_t major, minor; } version; void *context;
                void (*deleter)(struct Managed *); uint64_t flags; DLTensor t; } Managed;

            static float values[2][4] = {{-1, 1, 2, 3}, {-1, 4, 5, 6}};
            static int64_t shape[2] = {2, 3}, strides[2] = {4, 1};
            static Managed managed;
            static int deletions;
            static void delete(Managed *self) { deletions += self == &managed ? 1 : 1000; }

            /* [2, 3] from the second float on, with one field changed. */
            Managed *produce(int field, long value) {
                shape[0] = 2; strides[0] = 4; strides[1] = 1; deletions = 0;
                managed = (Managed) {{1, 1}, 0, delete, 0, {values, {1, 0}, 2, {2, 32, 1}, shape, strides, sizeof(float)}};
                switch (field) {
                case 1: managed.version.major = (uint32_t) value; break;
                case 2: managed.t.device.type = (int32_t) value; break;
                case 3: managed.t.ndim = (int32_t) value; break;
                case 4: managed.t.dtype.bits = (uint8_t) value; break;
                case 5: managed.t.dtype.lanes = (uint16_t) value; break;
                case 6: strides[1] = value; break;
                case 7: strides[0] = value; break;
                case 8: managed.t.byte_offset = (uint64_t) value; break;
                case 9: managed.flags = (uint64_t) value; break;
                case 10: managed.t.strides = 0; break;
                case 11: managed.deleter = 0; break;
                case 12: shape[0] = value; break;
                }
                return &managed;
            }
            int deleted(void) { return deletions; }

            /* A call that uses memory, and in which something happens. */
            void during(void *memory, void (*callback)(void)) { (void) memory; callback(); }

            /* The sum of i * 10 + j + 1 times element (i, j) of what somebody else made, which is then deleted. */
            double consume(Managed *m) {
                double sum = 0;
                if (m->version.major != 1 || m->t.device.type != 1 || m->t.ndim != 2 || m->t.dtype.code != 2 ||
                    m->t.dtype.bits != 32 || m->t.dtype.lanes != 1 || m->flags != 0) return -1;
                for (int64_t i = 0; i < m->t.shape[0]; i++)
                    for (int64_t j = 0; j < m->t.shape[1]; j++)
                        sum += (double) (i * 10 + j + 1) *
                            ((float *) ((char *) m->t.data + m->t.byte_offset))[i * m->t.strides[0] + j * m->t.strides[1]];
                m->deleter(m);
                return sum;
            }
            """;

    @TempDir
    private static Path folder;
    private static Arena arena;
    private static MethodHandle produce;
    private static MethodHandle deleted;
    private static MethodHandle consume;
    private static MethodHandle during;

    @BeforeAll
    static void compile() throws Exception {
        Path source = Files.writeString(folder.resolve("peer.c"), PEER);
        Path library = folder.resolve("libpeer.so");
        Process compiler = new ProcessBuilder("cc", "-std=c11", "-shared", "-fPIC", "-Wall", "-Wextra", "-Werror",
                source.toString(), "-o", library.toString()).inheritIO().start();
        assertEquals(0, compiler.waitFor());
        // Not closed with the test: the deleter of a failed test may still be called.
        arena = Arena.ofShared();
        SymbolLookup symbols = SymbolLookup.libraryLookup(library, arena);
        Linker linker = Linker.nativeLinker();
        produce = linker.downcallHandle(symbols.findOrThrow("produce"), FunctionDescriptor.of(ValueLayout.ADDRESS,
                ValueLayout.JAVA_INT, ValueLayout.JAVA_LONG));
        deleted = linker.downcallHandle(symbols.findOrThrow("deleted"), FunctionDescriptor.of(ValueLayout.JAVA_INT));
        consume = linker.downcallHandle(symbols.findOrThrow("consume"),
                FunctionDescriptor.of(ValueLayout.JAVA_DOUBLE, ValueLayout.ADDRESS));
        during = linker.downcallHandle(symbols.findOrThrow("during"),
                FunctionDescriptor.ofVoid(ValueLayout.ADDRESS, ValueLayout.ADDRESS));
    }

    @AfterAll
    static void unload() {
        arena.close();
    }

    private static MemorySegment produced(int field, long value) throws Throwable {
        return (MemorySegment) produce.invokeExact(field, value);
    }

    private static int deletions() throws Throwable {
        return (int) deleted.invokeExact();
    }

    private static void refused(Class<? extends RuntimeException> type, String text, int field, long value)
            throws Throwable {
        MemorySegment managed = produced(field, value);
        String message = assertThrows(type, () -> DlPack.importTensor(managed)).getMessage();
        assertTrue(message.contains(text), message);
        assertEquals(0, deletions(), "what is refused still belongs to the caller");
    }

    @Test
    void importsWithoutACopyAndDeletesOnce() throws Throwable {
        try (Device device = Device.open(Backend.CPU); Stream stream = device.newStream(1 << 20)) {
            DlPack imported = DlPack.importTensor(produced(0, 0));
            Tensor tensor = imported.tensor();
            assertArrayEquals(new float[] {1, 2, 3, 4, 5, 6}, tensor.toFloatArray());
            MemoryOps.add(stream, tensor, tensor, tensor);
            try (DlPack again = DlPack.importTensor(produced(11, 0))) {
                assertArrayEquals(new float[] {2, 4, 6, 8, 10, 12}, again.tensor().toFloatArray(), "the producer's memory");
            }
            tensor.copyFrom(1, 2, 3, 4, 5, 6);
            produced(0, 0);
            imported.close();
            imported.close();
            assertEquals(1, deletions());
            assertThrows(IllegalStateException.class, () -> MemoryOps.fill(stream, 0, tensor));
        }
    }

    @Test
    void isNotClosedUnderACallButAfterIt() throws Throwable {
        DlPack imported = DlPack.importTensor(produced(0, 0));
        List<IllegalStateException> refusals = new ArrayList<>();
        Runnable close = () -> refusals.add(assertThrows(IllegalStateException.class, imported::close));
        MemorySegment callback = Linker.nativeLinker().upcallStub(MethodHandles.publicLookup()
                .findVirtual(Runnable.class, "run", MethodType.methodType(void.class)).bindTo(close), FunctionDescriptor.ofVoid(), arena);
        during.invokeExact(imported.tensor().segment(), callback);
        assertEquals(1, refusals.size());
        assertEquals(0, deletions());
        assertEquals(6, imported.tensor().getFloat(1, 2));
        imported.close();
        assertEquals(1, deletions());
    }

    @Test
    void honoursFlagsAndAbsentFields() throws Throwable {
        try (Device device = Device.open(Backend.CPU); Stream stream = device.newStream(1 << 20)) {
            try (DlPack readOnly = DlPack.importTensor(produced(9, 1))) {
                String message = assertThrows(IllegalArgumentException.class,
                        () -> MemoryOps.fill(stream, 0, readOnly.tensor())).getMessage();
                assertTrue(message.contains("read-only"), message);
            }
            try (DlPack compact = DlPack.importTensor(produced(10, 0))) {
                assertArrayEquals(new float[] {1, 2, 3, -1, 4, 5}, compact.tensor().toFloatArray());
            }
            assertEquals(1, deletions());
            DlPack.importTensor(produced(11, 0)).close();
            assertEquals(0, deletions(), "there was no deleter");
        }
    }

    @Test
    void refusesWhatItCannotReadAndLeavesItToTheCaller() throws Throwable {
        refused(UnsupportedOperationException.class, "version.major is 2", 1, 2);
        refused(UnsupportedOperationException.class, "device_type is 2", 2, 2);
        refused(IllegalArgumentException.class, "ndim is 0", 3, 0);
        refused(IllegalArgumentException.class, "ndim is 3", 3, 3);
        refused(IllegalArgumentException.class, "dtype 0x240", 4, 64);
        refused(IllegalArgumentException.class, "dtype.lanes is 4", 5, 4);
        refused(IllegalArgumentException.class, "strides [4, 2]", 6, 2);
        refused(IllegalArgumentException.class, "strides [2, 1]", 7, 2);
        refused(IllegalArgumentException.class, "multiple of 4", 8, 2);
        refused(IllegalArgumentException.class, "shape", 12, -1);
        refused(IllegalArgumentException.class, "2^63", 12, Long.MAX_VALUE);
        assertThrows(IllegalArgumentException.class, () -> DlPack.importTensor(MemorySegment.NULL));
    }

    @Test
    void exportsWithoutACopyAndKeepsTheMemoryOpenUntilItIsDeleted() throws Throwable {
        try (Device device = Device.open(Backend.CPU)) {
            Tensor tensor = Tensor.allocate(device, DType.F32, 2, 3);
            tensor.copyFrom(1, 2, 3, 4, 5, 6);
            MemorySegment whole = DlPack.exportTensor(tensor);
            MemorySegment part = DlPack.exportTensor(tensor.columns(1, 2));
            assertThrows(IllegalStateException.class, tensor::close);
            tensor.copyFrom(6, 5, 4, 3, 2, 1);
            assertEquals(6 + 2 * 5 + 3 * 4 + 11 * 3 + 12 * 2 + 13, (double) consume.invokeExact(whole));
            assertThrows(IllegalStateException.class, tensor::close);
            assertEquals(5 + 2 * 4 + 11 * 2 + 12, (double) consume.invokeExact(part));
            tensor.close();
        }
    }
}
