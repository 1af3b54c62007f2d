package io.github.nf4j.bench.run;

import io.github.nf4j.DType;
import io.github.nf4j.bench.cases.BenchCase;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;

/// bench/native/kernel, which calls the C ABI from C and measures itself. Rows of the scope `kernel` come from it.
final class KernelProcess extends ContenderProcess {
    private int callsPerSample;

    /// @throws IOException if the driver is not built
    KernelProcess(Checkout checkout, int threads) throws IOException {
        super("kernel", builder(checkout.driver("kernel"), threads));
    }

    private static ProcessBuilder builder(Path driver, int threads) throws IOException {
        if (!Files.isExecutable(driver)) {
            throw new IOException(driver + " is not built; run make bench-build");
        }
        return new ProcessBuilder(driver.toString(), Integer.toString(threads)).redirectError(ProcessBuilder.Redirect.INHERIT);
    }

    /// @throws IOException if it cannot run the case
    void prepare(BenchCase benchCase, int slots) throws IOException {
        StringBuilder line = new StringBuilder("case ").append(benchCase.op()).append(benchCase.dtype() == DType.BF16 ? " bf16 " : " f32 ")
                .append(slots);
        benchCase.dims().forEach((name, size) -> line.append(' ').append(name).append('=').append(size));
        List<String> answer = List.of(tell(line.toString()).split(" "));
        if (!answer.getFirst().equals("ready")) {
            throw new IOException(String.join(" ", answer.subList(1, answer.size())));
        }
        ready(Long.parseLong(answer.get(1)));
        callsPerSample = Integer.parseInt(answer.get(2));
    }

    int callsPerSample() {
        return callsPerSample;
    }
}
