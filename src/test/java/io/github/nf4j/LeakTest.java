package io.github.nf4j;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.Test;

/// Every kind of object that becomes garbage without having been closed is reported, with the place that made it.
class LeakTest {
    /// Each in a method of its own, whose name the report must have.
    static final class Leaks {
        private static Device leakDevice() {
            return Device.open(Backend.REFERENCE);
        }

        private static void leakStream(Device device) {
            device.newStream(1 << 20);
        }

        private static void leakMemory(Device device) {
            Memory.allocate(device, 100);
        }

        private static void leakTensor(Device device) {
            Tensor.allocate(device, DType.F32, 5, 7);
        }

        private static void leakWeight(Device device) {
            Nf4Weight.allocate(device, 8, 64, 64, false);
        }

        private static void leakAll() {
            Device device = leakDevice();
            leakStream(device);
            leakMemory(device);
            leakTensor(device);
            leakWeight(device);
            Tensor.allocate(device, DType.F32, 3, 3).close();
        }

        public static void main(String[] arguments) throws InterruptedException {
            leakAll();
            for (int i = 0; i < 25; i++) {
                System.gc();
                Thread.sleep(20);
            }
        }
    }

    @Test
    void everyLeakIsReportedWithItsOrigin() throws Exception {
        List<String> command = new ArrayList<>(JavaProcess.command());
        command.addAll(List.of("-Dnf4j.trackLeaks=true", Leaks.class.getName()));
        Process process = new ProcessBuilder(command).redirectErrorStream(true).start();
        String output = new String(process.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
        assertEquals(0, process.waitFor(), output);
        reported(output, "device reference", "leakDevice");
        reported(output, "stream of device reference", "leakStream");
        reported(output, "memory of 100 bytes on device reference", "leakMemory");
        reported(output, "memory of 140 bytes on device reference", "leakTensor");
        assertFalse(output.contains("memory of 36 bytes"), output);
        assertEquals(5, output.split("was never closed", -1).length - 1, output);
        assertTrue(output.contains("Leaks.leakWeight("), output);
    }

    private static void reported(String output, String what, String origin) {
        int report = output.indexOf(": " + what + " was never closed");
        assertTrue(report >= 0, what + " is missing in:\n" + output);
        int next = output.indexOf(" was never closed", report + what.length() + 20);
        assertTrue(output.substring(report, next < 0 ? output.length() : next).contains("Leaks." + origin + "("), output);
    }
}
