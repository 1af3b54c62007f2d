package io.github.nf4j.bench.run;

import io.github.nf4j.DType;
import io.github.nf4j.bench.cases.BenchCase;
import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.io.UncheckedIOException;
import java.io.Writer;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.OptionalLong;

/// bench/native/kernel, which calls the C ABI from C and measures itself. Rows of the scope `kernel` come from it.
final class KernelProcess implements Contender, AutoCloseable {
    private final Process process;
    private final BufferedReader in;
    private final Writer out;
    private long nanosPerSample;
    private int callsPerSample;

    /// @throws IOException if the driver is not built
    KernelProcess(Checkout checkout, int threads) throws IOException {
        Path driver = checkout.driver("kernel");
        if (!Files.isExecutable(driver)) {
            throw new IOException(driver + " is not built; run make bench-build");
        }
        this.process = new ProcessBuilder(driver.toString(), Integer.toString(threads)).redirectError(ProcessBuilder.Redirect.INHERIT)
                .start();
        this.in = new BufferedReader(new InputStreamReader(process.getInputStream(), StandardCharsets.UTF_8));
        this.out = process.outputWriter(StandardCharsets.UTF_8);
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
        nanosPerSample = Long.parseLong(answer.get(1));
        callsPerSample = Integer.parseInt(answer.get(2));
    }

    private String tell(String line) throws IOException {
        out.write(line + "\n");
        out.flush();
        String answer = in.readLine();
        return answer == null ? "failed the C driver ended" : answer;
    }

    int callsPerSample() {
        return callsPerSample;
    }

    @Override
    public String name() {
        return "kernel";
    }

    @Override
    public double[] sample(int count) {
        try {
            return Arrays.stream(tell("sample " + count).split(" ")).mapToDouble(Double::parseDouble).toArray();
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    @Override
    public long nanosPerSample() {
        return nanosPerSample;
    }

    @Override
    public OptionalLong pid() {
        return OptionalLong.of(process.pid());
    }

    @Override
    public void close() {
        process.destroy();
    }
}
