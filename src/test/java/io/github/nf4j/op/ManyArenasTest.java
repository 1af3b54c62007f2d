package io.github.nf4j.op;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.github.nf4j.ArenaCloser;
import io.github.nf4j.Backend;
import io.github.nf4j.DType;
import io.github.nf4j.Device;
import io.github.nf4j.Stream;
import io.github.nf4j.Tensor;
import java.lang.foreign.Arena;
import java.util.ArrayList;
import java.util.List;
import java.util.function.Supplier;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/// An optimizer whose every tensor lies in an arena of its own.
class ManyArenasTest {
    private static final int PARAMETERS = 10;
    private static final int ELEMENTS = 30_000; // so many that the closing meets the call soon
    private static final int MOST_ATTEMPTS = 500;

    private final Device device = Device.open(Backend.REFERENCE);
    private final Stream stream = device.newStream();
    private final Tensor norm = Tensor.allocate(device, DType.F32, 1, 2);
    private final List<Arena> arenas = new ArrayList<>();

    @AfterEach
    void close() {
        norm.close();
        stream.close();
        device.close();
        closeArenas();
    }

    /// Refused where a call did not let go of one.
    private void closeArenas() {
        arenas.stream().filter(arena -> arena.scope().isAlive()).forEach(Arena::close);
        arenas.clear();
    }

    private Arena newArena() {
        arenas.add(Arena.ofShared());
        return arenas.getLast();
    }

    private static AdamwParameters parameters(Supplier<Arena> arena) {
        List<AdamwParameters.Parameter> parameters = new ArrayList<>();
        for (int i = 0; i < PARAMETERS; i++) {
            parameters.add(new AdamwParameters.Parameter(tensor(arena.get(), i), tensor(arena.get(), 3 - i), tensor(arena.get(), 0),
                    tensor(arena.get(), 0), null));
        }
        return new AdamwParameters(parameters);
    }

    private static Tensor tensor(Arena arena, int first) {
        Tensor tensor = Tensor.ofHost(arena.allocate(ELEMENTS * Float.BYTES, 64), DType.F32, 1, ELEMENTS);
        float[] elements = new float[ELEMENTS];
        for (int i = 0; i < ELEMENTS; i++) {
            elements[i] = first * (1 - i / 1000f);
        }
        tensor.copyFrom(elements);
        return tensor;
    }

    private static AdamwOptions step(long step) {
        return new AdamwOptions(0.1f, 0.9f, 0.99f, 1e-8f, 0.1f, step);
    }

    private float[] normAndStep(AdamwParameters of) {
        OptimOps.globalNorm(stream, of, 1, norm);
        OptimOps.adamw(stream, step(1), of, norm.columns(1, 1));
        return norm.toFloatArray();
    }

    private static void assertSameBits(AdamwParameters expected, AdamwParameters found) {
        for (int i = 0; i < PARAMETERS; i++) {
            assertArrayEquals(expected.parameters().get(i).param().toFloatArray(), found.parameters().get(i).param().toFloatArray());
            assertArrayEquals(expected.parameters().get(i).v().toFloatArray(), found.parameters().get(i).v().toFloatArray());
        }
    }

    @Test
    void giveTheSameBitsAsOne() {
        AdamwParameters apart = parameters(this::newArena);
        assertEquals(4 * PARAMETERS, arenas.size());
        Arena one = newArena();
        AdamwParameters together = parameters(() -> one);
        assertArrayEquals(normAndStep(together), normAndStep(apart));
        assertTrue(norm.getFloat(0, 0) > 500, "of ten gradients");
        assertSameBits(together, apart);
    }

    /// Tried until the closing meets the call: it is refused then, and the call has the right result.
    @ParameterizedTest
    @ValueSource(ints = {0, 5, PARAMETERS - 1})
    void aGradientsClosingDuringACallChangesNothing(int parameter) throws Exception {
        AdamwParameters expected = parameters(Arena::ofAuto);
        OptimOps.adamw(stream, step(1), expected, null);
        int meetings = 0;
        for (int attempt = 0; attempt < MOST_ATTEMPTS && meetings == 0; attempt++) {
            AdamwParameters found = parameters(this::newArena);
            ArenaCloser closer = new ArenaCloser(arenas.get(4 * parameter + 1));
            closer.begin();
            if (isDone(found) && closer.refusals() > 0) {
                meetings++;
                assertSameBits(expected, found);
            }
            closer.join();
            closeArenas();
        }
        assertEquals(1, meetings);
    }

    @Test
    void anErrorComesOutThroughThemAll() {
        AdamwParameters parameters = parameters(this::newArena);
        String refusal = assertThrows(IllegalArgumentException.class, () -> OptimOps.adamw(stream, step(0), parameters, null)).getMessage();
        assertTrue(refusal.contains("step"), refusal);
    }

    @Test
    void eachMustBeOpen() {
        AdamwParameters parameters = parameters(this::newArena);
        OptimOps.globalNorm(stream, parameters, 1, norm);
        arenas.get(2 * PARAMETERS + 1).close(); // of a gradient
        String refusal = assertThrows(IllegalStateException.class, () -> OptimOps.globalNorm(stream, parameters, 1, norm)).getMessage();
        assertTrue(refusal.contains("closed"), refusal);
    }

    private boolean isDone(AdamwParameters parameters) {
        try {
            OptimOps.adamw(stream, step(1), parameters, null);
            return true;
        } catch (IllegalStateException closedBefore) {
            return false;
        }
    }
}
