package io.github.nf4j;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.abort;

import io.github.nf4j.train.PretrainedModel;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.Test;

/// Every kind of object that becomes garbage without having been closed is reported, with the place that made it.
class LeakTest {
    private static final Path MODEL = Path.of("src/test/resources/fixtures/models/llama-tied");

    private static Tensor hostTensor() {
        return Tensor.ofHost(Arena.global().allocate(16, 4), DType.F32, 1, 4);
    }

    /// Each in a method of its own, whose name the report must have.
    static final class Leaks {
        private static Device leakDevice(Backend backend) {
            return Device.open(backend);
        }

        private static Stream leakStream(Device device) {
            return device.newStream(1 << 20);
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

        private static void leakImport() {
            DlPack.importTensor(DlPack.exportTensor(hostTensor()));
        }

        private static void leakModel() throws IOException {
            PretrainedModel.open(MODEL);
        }

        private static void leakGraph(Stream stream) {
            Graph.capture(stream, () -> {});
        }

        private static void leakAllButAGraph() throws IOException {
            Device device = leakDevice(Backend.REFERENCE);
            leakStream(device);
            leakMemory(device);
            leakTensor(device);
            leakWeight(device);
            leakImport();
            leakModel();
            Tensor.allocate(device, DType.F32, 3, 3).close();
        }

        /// @param arguments whether a graph is leaked, or everything else
        public static void main(String[] arguments) throws Exception {
            if (Boolean.parseBoolean(arguments[0])) {
                leakGraph(leakStream(leakDevice(Backend.SIMT)));
            } else {
                leakAllButAGraph();
            }
            for (int i = 0; i < 25; i++) {
                System.gc();
                Thread.sleep(20);
            }
        }
    }

    @Test
    void everyLeakIsReportedWithItsOrigin() throws Exception {
        String output = reports(false);
        reported(output, "device reference", "leakDevice");
        reported(output, "stream of device reference", "leakStream");
        reported(output, "memory of 100 bytes on device reference", "leakMemory");
        reported(output, "memory of 140 bytes on device reference", "leakTensor");
        reported(output, "DLPack import of " + hostTensor(), "leakImport");
        reported(output, "files of the model " + MODEL, "leakModel");
        reported(output, "tokenizer of " + MODEL.resolve("tokenizer.json"), "leakModel");
        assertTrue(output.contains("Leaks.leakWeight("), output);
        assertFalse(output.contains("memory of 36 bytes"), output);
        assertEquals(8, count(output), output);
    }

    @Test
    void aLeakedGraphIsReportedWithItsOrigin() throws Exception {
        try (Device _ = Device.open(Backend.SIMT)) {
            String output = reports(true);
            reported(output, "graph of stream of device simt", "leakGraph");
            assertEquals(3, count(output), output);
        } catch (BackendUnavailableException e) {
            abort(e.getMessage());
        }
    }

    private static String reports(boolean ofAGraph) throws Exception {
        List<String> command = new ArrayList<>(JavaProcess.command());
        command.addAll(List.of("-Dnf4j.trackLeaks=true", Leaks.class.getName(), Boolean.toString(ofAGraph)));
        Process process = new ProcessBuilder(command).redirectErrorStream(true).start();
        String output = new String(process.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
        assertEquals(0, process.waitFor(), output);
        return output;
    }

    private static int count(String output) {
        return output.split("was never closed", -1).length - 1;
    }

    private static void reported(String output, String what, String origin) {
        int report = output.indexOf(": " + what + " was never closed");
        assertTrue(report >= 0, what + " is missing in:\n" + output);
        int next = output.indexOf(" was never closed", report + what.length() + 20);
        assertTrue(output.substring(report, next < 0 ? output.length() : next).contains("Leaks." + origin + "("), output);
    }
}
