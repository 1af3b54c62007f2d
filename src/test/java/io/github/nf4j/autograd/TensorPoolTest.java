package io.github.nf4j.autograd;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertNotSame;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.github.nf4j.Backend;
import io.github.nf4j.DType;
import io.github.nf4j.Device;
import io.github.nf4j.Stream;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Random;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;

class TensorPoolTest {
    private static final long SEED = 7;

    private Device device;
    private Stream stream;
    private TensorPool pool;

    @BeforeEach
    void open() {
        device = Device.open(Backend.REFERENCE);
        stream = device.newStream();
        pool = new TensorPool(stream);
    }

    @AfterEach
    void close() {
        pool.close();
        stream.close();
        device.close();
    }

    @Test
    void tensorsDoNotOverlapAndKeepTheirContents() {
        Random random = new Random(SEED);
        List<PooledTensor> held = new ArrayList<>();
        List<Float> marks = new ArrayList<>();
        for (int i = 0; i < 2000; i++) {
            if (!held.isEmpty() && random.nextInt(5) < 2) {
                int chosen = random.nextInt(held.size());
                for (float value : held.get(chosen).tensor().toFloatArray()) {
                    assertEquals(marks.get(chosen), value, "seed " + SEED);
                }
                held.remove(chosen).release();
                marks.remove(chosen);
            } else {
                PooledTensor tensor = pool.take(DType.F32, 1 + random.nextInt(9), 1 + random.nextInt(200));
                float[] values = new float[(int) (tensor.tensor().rows() * tensor.tensor().cols())];
                Arrays.fill(values, i);
                tensor.tensor().copyFrom(values);
                held.add(tensor);
                marks.add((float) i);
            }
        }
        held.forEach(PooledTensor::release);
        assertEquals(0, pool.liveBytes());
    }

    /// After the first rounds a repeated pattern of sizes takes no more memory, and not much more than what is alive at its peak.
    @Test
    void aRepeatedPatternNeedsNoNewMemoryAndWastesLittle() {
        long reserved = 0;
        for (int round = 0; round < 6; round++) {
            Random random = new Random(SEED);
            List<PooledTensor> saved = new ArrayList<>();
            for (int layer = 0; layer < 40; layer++) {
                PooledTensor temporary = pool.take(DType.F32, 100, 200 + random.nextInt(500));
                saved.add(pool.take(DType.F32, 100, 576));
                saved.add(pool.take(DType.F32, 100, 1536));
                temporary.release();
            }
            for (PooledTensor tensor : saved.reversed()) {
                PooledTensor gradient = pool.take(DType.F32, 100, tensor.tensor().cols());
                tensor.release();
                gradient.release();
            }
            pool.reset();
            if (round > 1) {
                assertEquals(reserved, pool.reservedBytes(), "bytes in round " + round);
            }
            reserved = pool.reservedBytes();
        }
        assertTrue(reserved <= 1.15 * pool.peakBytes(), reserved + " bytes reserved for a peak of " + pool.peakBytes());
    }

    @Test
    void memoryGoesBackWithTheLastHold() {
        PooledTensor tensor = pool.take(DType.BF16, 3, 5);
        assertEquals(256, pool.liveBytes(), "rounded up to the alignment");
        tensor.hold();
        tensor.release();
        assertEquals(256, pool.liveBytes());
        tensor.release();
        assertEquals(0, pool.liveBytes());
        assertThrows(IllegalStateException.class, tensor::tensor);
        assertThrows(IllegalStateException.class, tensor::release);
    }

    /// A closed stream's operations are over, so that there is nothing to wait for: the pool still frees its memory.
    @Test
    void aStreamMayBeClosedBeforeItsPool() {
        PooledTensor tensor = pool.take(DType.F32, 3, 5);
        stream.close();
        String inUse = assertThrows(IllegalStateException.class, device::close).getMessage();
        assertTrue(inUse.contains("in use 1 time;"), inUse);
        pool.close();
        assertEquals(0, pool.reservedBytes());
        assertThrows(IllegalStateException.class, () -> tensor.tensor().getFloat(0, 0));
        device.close();
        assertThrows(IllegalStateException.class, device::info);
    }

    @Test
    void aStepThatRepeatsTheLastMakesNoObjects() {
        PooledTensor first = pool.take(DType.F32, 3, 5);
        first.release();
        PooledTensor second = pool.take(DType.F32, 3, 5);
        assertNotSame(first, second, "in one step a released tensor stays released");
        second.release();
        pool.reset();
        assertSame(first, pool.take(DType.F32, 3, 5));
        assertEquals(256, pool.liveBytes());
        PooledTensor beside = pool.take(DType.F32, 3, 5);
        assertNotSame(second, beside, "it lies elsewhere");
        assertNotEquals(first.tensor().segment().address(), beside.tensor().segment().address());
        first.release();
        beside.release();
        pool.reset();
        PooledTensor other = pool.take(DType.F32, 5, 3);
        assertNotSame(first, other);
        assertEquals(5, other.tensor().rows());
    }

    @Test
    void aResetTakesBackWhatNobodyReleased() {
        PooledTensor forgotten = pool.take(DType.F32, 1000, 1000);
        pool.reset();
        assertEquals(0, pool.liveBytes());
        PooledTensor next = pool.take(DType.F32, 1000, 1000);
        forgotten.release();
        assertEquals(4_000_000, pool.liveBytes(), 256, "a release after the reset must not free what others hold by now");
        PooledTensor another = pool.take(DType.F32, 1, 1);
        assertNotEquals(next.tensor().segment().address(), another.tensor().segment().address());
    }
}
