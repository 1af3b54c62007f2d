package io.github.nf4j;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.regex.Pattern;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/// What Java and `nf4j doctor` make of drivers and GPUs that cannot be used: those that native/test/driver pretends to be.
class FakeGpuTest {
    private static final Path NATIVE = Path.of(System.getProperty("nf4j.library.path")).toAbsolutePath();
    private static final Path DRIVER = NATIVE.resolve("test/driver");
    private static final Path GPU = DRIVER.resolve("gpu");

    private record Ended(int exitCode, String output) {
    }

    @BeforeAll
    static void needsCuda() {
        assumeTrue(Files.exists(GPU.resolve("libnf4j-cuda.so")), "make test-driver builds the fake GPU, where there is nvcc");
    }

    /// @param exitCode 1 where something that was there has failed, 0 where there is no GPU to be used
    @ParameterizedTest
    @CsvSource(delimiter = '|', quoteCharacter = '"', value = {
            "FAKE_CAPABILITY=75 | 0 | device 0: no, Fake GPU, compute capability 7.5, 8.0 or newer is needed",
            "FAKE_CODE=209 | 0 | device 0: no, Fake GPU, compute capability 8.0, the code of this build cannot be loaded: no kernel image is "
                    + "available for execution on the device",
            "FAKE_MEMORY=100 | 1 | advice: the cuda backend cannot be used: cuda: memory for the tables cannot be allocated: out of memory, "
                    + "100 of the device's 100 bytes are free",
            "FAKE_FAILING=launch FAKE_ERROR=700 | 1 | advice: the cuda backend cannot be used: cuda: memory_fill: the device is lost: an "
                    + "illegal memory access was encountered"})
    void doctorTellsWhyAGpuIsNotUsed(String fake, int exitCode, String reason) throws IOException, InterruptedException {
        Ended doctor = run(GPU, Map.of(), fake, "io.github.nf4j.cli.Main", "doctor");
        assertEquals(exitCode, doctor.exitCode, doctor.output);
        assertTrue(doctor.output.contains(reason), doctor.output);
        assertTrue(Pattern.compile("(?m)^ +optim +BF16 .* ok$").matcher(doctor.output).find(),
                "the processor is not checked:\n" + doctor.output);
    }

    @ParameterizedTest
    @CsvSource(delimiter = '|', quoteCharacter = '"', value = {
            "FAKE_CUDA_VERSION=12040 | cuda: no, the driver is for CUDA 12.4 and this build needs one for 13",
            "FAKE_CUDA_INIT=100 | cuda: no, no CUDA-capable device is detected"})
    void doctorTellsWhyADriverIsNotUsed(String fake, String reason) throws IOException, InterruptedException {
        Ended doctor = run(NATIVE, Map.of("LD_LIBRARY_PATH", DRIVER.toString()), fake, "io.github.nf4j.cli.Main", "doctor");
        assertEquals(0, doctor.exitCode, doctor.output);
        assertTrue(doctor.output.contains(reason), doctor.output);
    }

    @Test
    void aLostDeviceRefusesWorkAndEverythingCanBeClosed() throws IOException, InterruptedException {
        Ended run = run(GPU, Map.of(), "FAKE_FAILING=launch FAKE_ERROR=700", FakeGpuRun.class.getName(), "4");
        String again = ": the device was lost in an earlier call: close what was made from it, then the device";
        assertEquals("""
                allocate: done
                fill: DeviceLostException: cuda: memory_fill: the device is lost: an illegal memory access was encountered
                fill: DeviceLostException: memory_fill%1$s
                quantize: DeviceLostException: memory_alloc%1$s
                synchronize: DeviceLostException: stream_synchronize%1$s
                newStream: DeviceLostException: stream_create%1$s
                info: DeviceLostException: device_get_info%1$s
                closed
                """.formatted(again), run.output);
        assertEquals(0, run.exitCode);
    }

    @Test
    void memoryThatIsNotThereIsNamedWithItsSizes() throws IOException, InterruptedException {
        Ended run = run(GPU, Map.of(), "FAKE_MEMORY=4000000", FakeGpuRun.class.getName(), "1000");
        assertTrue(Pattern.compile("^allocate: OutOfDeviceMemoryException: cuda: 4096000 bytes of device memory cannot be allocated: "
                + "out of memory, 3\\d{6} of the device's 4000000 bytes are free\nfill: done\n").matcher(run.output).find(), run.output);
        assertTrue(run.output.endsWith("info: done\nclosed\n"), run.output);
    }

    /// @param fake NAME=VALUE, separated by blanks
    private static Ended run(Path libraries, Map<String, String> environment, String fake, String... program)
            throws IOException, InterruptedException {
        List<String> command = new ArrayList<>(JavaProcess.command());
        command.add("-Dnf4j.library.path=" + libraries);
        command.addAll(List.of(program));
        ProcessBuilder builder = new ProcessBuilder(command).redirectErrorStream(true);
        builder.environment().put("NF4J_CUBLAS", "none"); // a real one would find no GPU
        builder.environment().putAll(environment);
        for (String setting : fake.split(" ")) {
            String[] nameAndValue = setting.split("=");
            builder.environment().put(nameAndValue[0], nameAndValue[1]);
        }
        Process process = builder.start();
        String output = new String(process.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
        return new Ended(process.waitFor(), output);
    }
}
