package io.github.nf4j.bench.peers;

import io.github.nf4j.bench.cases.BenchCase.Gemm;
import io.github.nf4j.bench.run.Checkout;
import io.github.nf4j.bench.run.Contender;
import io.github.nf4j.bench.run.Launch;
import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.io.UncheckedIOException;
import java.io.Writer;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.OptionalLong;

/// The process of one library: it multiplies, and measures itself. bench/native/peer.cpp explains what is said.
final class PeerProcess implements Contender, AutoCloseable {
    private final PeerLibrary library;
    private final String version;
    private final Process process;
    private final BufferedReader in;
    private final Writer out;
    private long nanosPerSample;

    PeerProcess(PeerLibrary library, Launch launch, int threads) throws IOException {
        this.library = library;
        List<String> command = new ArrayList<>();
        if (threads < Runtime.getRuntime().availableProcessors()) {
            command.addAll(List.of("taskset", "-c", "0-" + (threads - 1))); // not every library can be told in its own words
        }
        command.addAll(launch.command());
        ProcessBuilder builder = new ProcessBuilder(command).redirectError(ProcessBuilder.Redirect.DISCARD);
        Map<String, String> environment = builder.environment();
        environment.putAll(launch.environment());
        // Workers spin between two calls, as in a real program, and sleep within the pause before the next contender.
        environment.put("OPENBLAS_THREAD_TIMEOUT", "20"); // 2^20 cycles
        environment.put("KMP_BLOCKTIME", "1"); // milliseconds
        environment.put("GOMP_SPINCOUNT", "100000");
        environment.put("OMP_NUM_THREADS", Integer.toString(threads));
        environment.put("MKL_THREADING_LAYER", "INTEL");
        this.process = builder.start();
        this.in = new BufferedReader(new InputStreamReader(process.getInputStream(), StandardCharsets.UTF_8));
        this.out = process.outputWriter(StandardCharsets.UTF_8);
        this.version = tell("version");
    }

    /// Makes it ready for one product.
    ///
    /// @return why it cannot be, or null
    String prepare(Gemm gemm, boolean bf16, int slots) throws IOException {
        String answer = tell("gemm " + (bf16 ? "bf16" : "f32") + " " + gemm.m() + " " + gemm.n() + " " + gemm.k() + " "
                + (gemm.transposeB() ? 1 : 0) + " " + slots);
        if (answer.startsWith("ready ")) {
            nanosPerSample = Long.parseLong(answer.substring("ready ".length()));
            return null;
        }
        return answer.replaceFirst("^failed ", "");
    }

    private String tell(String line) throws IOException {
        out.write(line + "\n");
        out.flush();
        String answer = in.readLine();
        return answer == null ? "failed its process ended" : answer;
    }

    @Override
    public String name() {
        return library.toString();
    }

    @Override
    public String version() {
        return version;
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
