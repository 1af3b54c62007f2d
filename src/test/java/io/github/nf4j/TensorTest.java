package io.github.nf4j;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/// Tensors over the caller's memory: shapes, views, conversions. No native library is needed.
class TensorTest {
    private final Arena arena = Arena.ofConfined();

    @AfterEach
    void closeArena() {
        arena.close();
    }

    private Tensor host(DType dtype, long rows, long cols, long ld) {
        return Tensor.ofHost(arena.allocate(rows * ld * dtype.bytes(), 64), dtype, rows, cols, ld);
    }

    @Test
    void viewsAddressTheElementsOfTheirParent() {
        Tensor whole = host(DType.F32, 4, 5, 7);
        float[] values = new float[20];
        for (int i = 0; i < values.length; i++) {
            values[i] = i;
        }
        whole.copyFrom(values);
        Tensor view = whole.rows(1, 2).columns(2, 3);
        assertArrayEquals(new float[] {7, 8, 9, 12, 13, 14}, view.toFloatArray());
        assertEquals(7, view.ld());
        assertEquals(whole.segment().address() + (7 + 2) * Float.BYTES, view.segment().address());
        assertEquals((7 + 3) * Float.BYTES, view.segment().byteSize());
        view.copyFrom(1, 1, 1, 1, 1, 1);
        assertEquals(1, whole.getFloat(2, 4));
        assertEquals(10, whole.getFloat(2, 0));
        assertFalse(view.isContiguous());
        assertTrue(whole.rows(3, 1).isContiguous());
    }

    @Test
    void emptyViewsAreAllowedAtTheEnd() {
        Tensor whole = host(DType.F32, 4, 5, 5);
        assertEquals(0, whole.rows(4, 0).segment().byteSize());
        assertEquals(0, whole.columns(5, 0).segment().byteSize());
        assertEquals(0, whole.rows(4, 0).toFloatArray().length);
    }

    @Test
    void viewsOutsideAreRefused() {
        Tensor whole = host(DType.F32, 4, 5, 5);
        assertThrows(IndexOutOfBoundsException.class, () -> whole.rows(3, 2));
        assertThrows(IndexOutOfBoundsException.class, () -> whole.columns(-1, 2));
        assertThrows(IndexOutOfBoundsException.class, () -> whole.getFloat(0, 5));
        assertThrows(IndexOutOfBoundsException.class, () -> whole.rows(1, Long.MAX_VALUE));
    }

    @ParameterizedTest
    @EnumSource(names = {"F32", "F16", "BF16"})
    void floatsGoInRoundedToNearestEven(DType dtype) {
        Tensor tensor = host(dtype, 1, 6, 6);
        // 1 + 2^-8 and 1 + 3 * 2^-8 are ties in BF16, 1 + 2^-11 is one in F16
        tensor.copyFrom(1.00390625f, 1.01171875f, 1.00048828125f, Float.NaN, Float.NEGATIVE_INFINITY, -0f);
        float[] expected = switch (dtype) {
            case F32 -> new float[] {1.00390625f, 1.01171875f, 1.00048828125f};
            case F16 -> new float[] {1.00390625f, 1.01171875f, 1f};
            default -> new float[] {1f, 1.015625f, 1f};
        };
        for (int i = 0; i < 3; i++) {
            assertEquals(expected[i], tensor.getFloat(0, i), dtype + " element " + i);
        }
        assertTrue(Float.isNaN(tensor.getFloat(0, 3)));
        assertEquals(Float.NEGATIVE_INFINITY, tensor.getFloat(0, 4));
        assertEquals(Float.floatToRawIntBits(-0f), Float.floatToRawIntBits(tensor.getFloat(0, 5)));
    }

    @Test
    void integersGoInAsTheyAre() {
        Tensor ids = host(DType.I32, 2, 2, 3);
        ids.setInts(1, -2, Integer.MAX_VALUE, 4);
        assertEquals(Integer.MAX_VALUE, ids.segment().getAtIndex(ValueLayout.JAVA_INT, 3));
        assertThrows(UnsupportedOperationException.class, () -> ids.copyFrom(1, 2, 3, 4f));
        assertThrows(IllegalArgumentException.class, () -> ids.setInts(1, 2, 3));
    }

    @Test
    void heapSegmentsAreRefusedWithAWayOut() {
        MemorySegment heap = MemorySegment.ofArray(new float[4]);
        String message = assertThrows(IllegalArgumentException.class, () -> Tensor.ofHost(heap, DType.F32, 2, 2))
                .getMessage();
        assertTrue(message.contains("Java heap") && message.contains("Arena"), message);
    }

    @Test
    void segmentsThatAreTooSmallOrMisalignedAreRefused() {
        MemorySegment segment = arena.allocate(64, 64);
        String small = assertThrows(IllegalArgumentException.class, () -> Tensor.ofHost(segment, DType.F32, 3, 5, 6))
                .getMessage();
        assertTrue(small.contains("64 bytes") && small.contains("needs 68"), small);
        String odd = assertThrows(IllegalArgumentException.class,
                () -> Tensor.ofHost(segment.asSlice(2), DType.F32, 1, 2)).getMessage();
        assertTrue(odd.contains("not a multiple of 4"), odd);
        Tensor.ofHost(segment.asSlice(2), DType.BF16, 1, 2);
    }

    @Test
    void impossibleShapesAreRefused() {
        MemorySegment segment = arena.allocate(64);
        assertThrows(IllegalArgumentException.class, () -> Tensor.ofHost(segment, DType.F32, -1, 2));
        assertThrows(IllegalArgumentException.class, () -> Tensor.ofHost(segment, DType.F32, 2, 4, 3));
        String huge = assertThrows(IllegalArgumentException.class,
                () -> Tensor.ofHost(segment, DType.F32, Long.MAX_VALUE / 2, 3)).getMessage();
        assertTrue(huge.contains("more than 2^63 bytes"), huge);
    }

    @Test
    void statesOfBitsandbytesMustFitTheirShape() {
        MemorySegment codes = arena.allocate(17);
        MemorySegment absmax = arena.allocate(8, 4);
        MemorySegment map = arena.allocate(64, 4);
        Nf4State.plain(3, 11, 32, codes, absmax, map);
        String message = assertThrows(IllegalArgumentException.class,
                () -> Nf4State.plain(3, 11, 64, codes, absmax, map)).getMessage();
        assertTrue(message.contains("absmax has 8 bytes") && message.contains("need 4"), message);
        assertThrows(IllegalArgumentException.class, () -> Nf4State.plain(4, 11, 32, codes, absmax, map));
        assertThrows(IllegalArgumentException.class, () -> Nf4State.plain(3, 11, 0, codes, absmax, map));
        assertThrows(NullPointerException.class,
                () -> Nf4State.nested(3, 11, 32, codes, arena.allocate(2), map, null, null, 0));
    }
}
