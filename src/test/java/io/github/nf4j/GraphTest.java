package io.github.nf4j;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.abort;

import io.github.nf4j.op.CallTrace;
import io.github.nf4j.op.MemoryOps;
import io.github.nf4j.op.Nf4Ops;
import java.lang.foreign.Arena;
import java.lang.foreign.ValueLayout;
import java.util.List;
import java.util.stream.IntStream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.function.Executable;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/// Graphs on simt: what a launch does, what a graph keeps open, and what cannot be captured.
class GraphTest {
    private final Device device = open();
    private final Stream stream = device.newStream();
    private final Tensor x = filled(1);
    private final Tensor sum = filled(0);

    private static Device open() {
        try {
            return Device.open(Backend.SIMT);
        } catch (BackendUnavailableException e) {
            return abort(e.getMessage());
        }
    }

    private Tensor filled(double value) {
        Tensor tensor = Tensor.allocate(device, DType.F32, 2, 64);
        MemoryOps.fill(stream, value, tensor);
        return tensor;
    }

    private void add() {
        MemoryOps.add(stream, sum, x, sum);
    }

    private static String refused(Executable action) {
        return assertThrows(IllegalStateException.class, action).getMessage();
    }

    /// That everything can be closed shows that no graph has kept something.
    @AfterEach
    void close() {
        sum.close();
        x.close();
        stream.close();
        device.close();
    }

    @Test
    void aLaunchRunsTheCallsOnWhatIsInMemoryThen() {
        try (Graph graph = Graph.capture(stream, () -> {
            add();
            add();
        })) {
            assertEquals(0, sum.getFloat(1, 63));
            graph.launch();
            graph.launch();
            MemoryOps.fill(stream, 10, x);
            graph.launch();
            assertEquals(2 + 2 + 20, sum.getFloat(1, 63));
        }
    }

    @ParameterizedTest
    @EnumSource(names = {"REFERENCE", "CPU"})
    void otherHostBackendsHaveNone(Backend backend) {
        try (Device other = Device.open(backend); Stream plain = other.newStream()) {
            String text = assertThrows(UnsupportedOperationException.class, () -> Graph.capture(plain, () -> {})).getMessage();
            assertTrue(text.contains("has no graphs"), text);
        }
    }

    @Test
    void aGraphKeepsOpenWhatItsCallsUsed() {
        Nf4Weight weight = Nf4Weight.quantize(stream, x, 64, false);
        Tensor y = Tensor.allocate(device, DType.F32, 2, 2);
        Graph graph = Graph.capture(stream, () -> Nf4Ops.matmul(stream, x, weight, null, y));
        for (AutoCloseable used : List.of(x, weight, y)) {
            refused(used::close);
        }
        assertEquals("stream of device simt cannot be closed: first close its graphs, of which 1 are open", refused(stream::close));
        graph.launch();
        assertEquals(64, y.getFloat(1, 1)); // ones are NF4 numbers
        graph.close();
        graph.close();
        assertEquals("graph of stream of device simt is closed", refused(graph::launch));
        y.close();
        weight.close();
    }

    @Test
    void memoryOfAnArenaIsCheckedAtEachLaunch() {
        Arena arena = Arena.ofShared();
        Tensor host = Tensor.ofHost(arena.allocateFrom(ValueLayout.JAVA_FLOAT, 7, 8), DType.F32, 1, 2);
        try (Graph graph = Graph.capture(stream, () -> MemoryOps.copy(stream, host, sum.rows(0, 1).columns(0, 2)))) {
            graph.launch();
            assertEquals(8, sum.getFloat(0, 1));
            host.copyFrom(9, 10);
            graph.launch();
            assertEquals(10, sum.getFloat(0, 1));
            arena.close();
            assertEquals("a captured segment of 8 bytes lies in an arena that is closed", refused(graph::launch));
        }
    }

    /// Tried until the closing meets the launch.
    @Test
    void anArenaIsNotClosedDuringALaunch() throws Exception {
        int meetings = 0;
        for (int attempt = 0; attempt < 500 && meetings == 0; attempt++) {
            Arena arena = Arena.ofShared();
            Tensor host = Tensor.ofHost(arena.allocateFrom(ValueLayout.JAVA_FLOAT, new float[2 * 64]), DType.F32, 2, 64);
            MemoryOps.fill(stream, 2, host);
            MemoryOps.fill(stream, 0, sum);
            try (Graph graph = Graph.capture(stream, () -> IntStream.range(0, 100).forEach(_ -> MemoryOps.add(stream, sum, host, sum)))) {
                ArenaCloser closer = new ArenaCloser(arena);
                closer.begin();
                try {
                    graph.launch();
                    if (closer.refusals() > 0) {
                        meetings++;
                        assertEquals(200, sum.getFloat(1, 63));
                    }
                } catch (IllegalStateException closedBefore) {
                    assertTrue(closedBefore.getMessage().contains("closed"), closedBefore::getMessage);
                }
                closer.join();
            }
        }
        assertEquals(1, meetings);
    }

    @Test
    void whatCannotBeCapturedIsRefusedAndTheStreamGoesOn() {
        List<Executable> refused = List.of(stream::synchronize, () -> Memory.allocate(device, 64), device::newStream,
                () -> Graph.capture(stream, this::add), () -> Nf4Weight.allocate(device, 2, 64, 64, false));
        for (Executable call : refused) {
            RuntimeException thrown = assertThrows(RuntimeException.class, () -> Graph.capture(stream, () -> {
                add();
                run(call);
            }));
            assertTrue(thrown.getMessage().contains("captured"), thrown::getMessage);
        }
        assertEquals(0, sum.getFloat(0, 0));
        add();
        assertEquals(1, sum.getFloat(0, 0));
    }

    private static void run(Executable call) {
        try {
            call.execute();
        } catch (RuntimeException e) {
            throw e;
        } catch (Throwable e) {
            throw new AssertionError(e);
        }
    }

    @Test
    void whatTheCallsThrowEndsTheCapture() {
        IllegalCallerException own = new IllegalCallerException("no more");
        assertSame(own, assertThrows(IllegalCallerException.class, () -> Graph.capture(stream, () -> {
            add();
            throw own;
        })));
        try (Tensor other = Tensor.allocate(device, DType.F32, 2, 64)) { // the device is captured no more
            MemoryOps.copy(stream, x, other);
            assertEquals(1, other.getFloat(1, 1));
        }
    }

    /// A refused argument ends nothing where the caller catches it.
    @Test
    void aRefusedCallIsNoPartOfTheGraph() {
        try (Graph graph = Graph.capture(stream, () -> {
            assertThrows(IllegalArgumentException.class, () -> MemoryOps.add(stream, x, sum.rows(0, 1), sum));
            add();
        })) {
            graph.launch();
            assertEquals(1, sum.getFloat(1, 1));
        }
    }

    @Test
    void aTraceHearsOfTheLaunchAlone() {
        try (CallTrace trace = CallTrace.of(stream); Graph graph = Graph.capture(stream, this::add)) {
            graph.launch();
            assertEquals(List.of("graph.launch"), trace.entries().stream().map(CallTrace.Entry::operation).toList());
        }
    }
}
