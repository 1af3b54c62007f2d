package io.github.nf4j.bench.train;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import io.github.nf4j.Backend;
import io.github.nf4j.bench.cases.Models;
import io.github.nf4j.bench.run.Checkout;
import io.github.nf4j.bench.run.Launch;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;

class TrainingContenderTest {
    /// Takes 256 MiB, gives them back, and says how many blocks had pages of their own, and how many MiB were kept.
    private static final String ALLOCATION = """
            import ctypes
            libc = ctypes.CDLL(None)
            names = "arena ordblks smblks hblks hblkhd usmblks fsmblks uordblks fordblks keepcost".split()
            class Info(ctypes.Structure):
                _fields_ = [(name, ctypes.c_size_t) for name in names]
            libc.mallinfo2.restype = Info
            libc.malloc.restype = ctypes.c_void_p
            block = libc.malloc(ctypes.c_size_t(1 << 28))
            mapped = libc.mallinfo2().hblks
            libc.free(ctypes.c_void_p(block))
            print(mapped, libc.mallinfo2().fordblks >> 20)
            """;

    private static TrainingContender contender(String name) {
        return TrainingContender.all().stream().filter(one -> one.name().equals(name)).findFirst().orElseThrow();
    }

    private static Launch launch(String name, Backend backend) {
        return contender(name).launch(Checkout.current(), new TrainingPlan(Models.ALL.getFirst(), 1, 1, 8, 1, 1, backend, 1, null));
    }

    /// The environment of a tuned contender is one that this C library listens to.
    @Test
    void aTunedProcessKeepsTheMemoryThatItFrees() throws Exception {
        assumeTrue(isGlibc(), "the allocator's settings are glibc's");
        long[] stock = allocation(launch("peft-lora-bf16", Backend.CPU).environment());
        long[] tuned = allocation(launch("peft-lora-bf16-tuned", Backend.CPU).environment());
        assertTrue(stock[0] >= 1 && stock[1] < 256, () -> "stock: " + Arrays.toString(stock));
        assertTrue(tuned[0] == 0 && tuned[1] >= 256, () -> "tuned: " + Arrays.toString(tuned));
    }

    private static boolean isGlibc() throws IOException, InterruptedException {
        try {
            return new ProcessBuilder("python3", "-c", "import ctypes; ctypes.CDLL(None).mallinfo2").start().waitFor() == 0;
        } catch (IOException e) {
            return false; // no python3, which PEFT would need anyway
        }
    }

    private static long[] allocation(Map<String, String> environment) throws IOException, InterruptedException {
        ProcessBuilder builder = new ProcessBuilder("python3", "-c", ALLOCATION).redirectError(ProcessBuilder.Redirect.INHERIT);
        builder.environment().putAll(environment);
        Process process = builder.start();
        String answer = new String(process.getInputStream().readAllBytes(), StandardCharsets.UTF_8).strip();
        assertEquals(0, process.waitFor(), answer);
        return Arrays.stream(answer.split(" ")).mapToLong(Long::parseLong).toArray();
    }

    @Test
    void aContenderIsStartedAsItsNameSays() {
        List<String> command = launch("peft-qlora-f32-tuned-checkpointed", Backend.CPU).command();
        assertTrue(command.containsAll(List.of("--quantized", "--checkpointed")) && follows(command, "--device", "cpu"), command::toString);
        assertEquals("", launch("peft-lora-f32", Backend.CPU).environment().get("CUDA_VISIBLE_DEVICES"));
        Launch gpu = launch("peft-lora-all-bf16", Backend.CUDA);
        assertTrue(follows(gpu.command(), "--device", "cuda") && follows(gpu.command(), "--adapter", "bf16"), gpu::toString);
        assertTrue(!gpu.environment().containsKey("CUDA_VISIBLE_DEVICES") && !gpu.command().contains("--checkpointed"), gpu::toString);
        assertTrue(follows(launch("nf4j-qlora-bf16", Backend.CUDA).command(), "--backend", "cuda"));
    }

    private static boolean follows(List<String> command, String option, String value) {
        return command.get(command.indexOf(option) + 1).equals(value);
    }

    @Test
    void allContendersHaveNamesOfTheirOwn() {
        List<String> names = TrainingContender.all().stream().map(TrainingContender::name).toList();
        assertEquals(names.size(), names.stream().distinct().count(), names::toString);
    }
}
