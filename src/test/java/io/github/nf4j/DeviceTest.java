package io.github.nf4j;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.github.nf4j.op.MemoryOps;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

class DeviceTest {
    @ParameterizedTest
    @EnumSource(names = {"REFERENCE", "CPU"})
    void saysWhatItIs(Backend backend) {
        try (Device device = Device.open(DeviceOptions.of(backend).withThreads(2))) {
            DeviceInfo info = device.info();
            assertEquals(backend, info.backend());
            assertEquals(backend == Backend.CPU ? 2 : 1, info.threads());
            assertTrue(info.hostAccessible());
            assertTrue(info.freeMemory() > 0 && info.freeMemory() <= info.totalMemory(), info.toString());
            assertFalse(info.name().isBlank());
            assertFalse(Device.probe(backend).isBlank());
        }
    }

    @Test
    void autoPicksABackendThatIsThere() {
        try (Device device = Device.open(Backend.AUTO)) {
            assertTrue(device.info().backend() == Backend.CPU || device.info().backend() == Backend.CUDA);
        }
    }

    @Test
    void wrongOptionsAreRefusedByName() {
        DeviceOptions options = DeviceOptions.of(Backend.CPU);
        String threads = assertThrows(IllegalArgumentException.class, () -> Device.open(options.withThreads(-1)))
                .getMessage();
        assertTrue(threads.contains("threads") && threads.contains("-1"), threads);
        Isa foreign = System.getProperty("os.arch").equals("aarch64") ? Isa.AVX2 : Isa.NEON;
        String isa = assertThrows(RuntimeException.class, () -> Device.open(options.withIsa(foreign))).getMessage();
        assertTrue(isa.toLowerCase().contains("neon") || isa.toLowerCase().contains("avx2"), isa);
        String ordinal = assertThrows(RuntimeException.class, () -> Device.open(options.withOrdinal(3))).getMessage();
        assertTrue(ordinal.contains("ordinal") && ordinal.contains("3"), ordinal);
    }

    @Test
    void moreMemoryThanThereIsIsRefused() {
        try (Device device = Device.open(Backend.CPU)) {
            assertThrows(OutOfDeviceMemoryException.class, () -> Memory.allocate(device, 1L << 60));
            assertThrows(OutOfDeviceMemoryException.class, () -> device.newStream(1L << 60));
            assertThrows(IllegalArgumentException.class, () -> Memory.allocate(device, -1));
        } // closes: what failed left nothing open
    }

    @ParameterizedTest
    @EnumSource(names = {"REFERENCE", "CPU"})
    void memoryIsOrdinaryMemory(Backend backend) {
        try (Device device = Device.open(backend); Stream stream = device.newStream(1 << 20);
                Tensor tensor = Tensor.allocate(device, DType.F32, 2, 2); Memory nothing = Memory.allocate(device, 0)) {
            tensor.copyFrom(1, 2, 3, 4);
            MemoryOps.add(stream, tensor, tensor, tensor);
            stream.synchronize();
            assertArrayEquals(new float[] {2, 4, 6, 8}, tensor.toFloatArray());
            assertEquals(0, tensor.segment().address() % 64);
            assertEquals(0, nothing.segment().byteSize());
            assertEquals(stream.device(), device);
        }
    }

    @ParameterizedTest
    @EnumSource(names = {"REFERENCE", "CPU"})
    void explainsEveryOperation(Backend backend) {
        try (Device device = Device.open(backend); Stream stream = device.newStream()) {
            for (Operation operation : Operation.values()) {
                assertFalse(stream.explain(operation, 16, 64, 64, DType.F32).isBlank(), operation.name());
            }
        }
    }

    @Test
    void theVersionIsThatOfTheLibrary() {
        assertTrue(Version.version().matches("\\d+\\.\\d+\\.\\d+"), Version.version());
        assertEquals(1, Version.abi());
        assertTrue(Version.library().toString().endsWith(System.mapLibraryName("nf4j")));
    }

    @ParameterizedTest
    @EnumSource(names = {"REFERENCE", "CPU"})
    void hostBackendsRefuseAForeignStreamAndLoseNothing(Backend backend) {
        try (Device device = Device.open(backend)) {
            String foreign = assertThrows(IllegalArgumentException.class, () -> device.wrapStream(0x1000, 0))
                    .getMessage();
            assertTrue(foreign.contains("native_stream"), foreign);
            String none = assertThrows(IllegalArgumentException.class, () -> device.wrapStream(0, 0)).getMessage();
            assertTrue(none.contains("nativeStream is 0"), none);
        } // closes: what failed left nothing open
    }
}
