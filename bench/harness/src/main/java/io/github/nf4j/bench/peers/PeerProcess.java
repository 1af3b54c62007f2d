package io.github.nf4j.bench.peers;

import io.github.nf4j.bench.cases.BenchCase.Gemm;
import io.github.nf4j.bench.run.ContenderProcess;
import io.github.nf4j.bench.run.Launch;
import java.io.IOException;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;

/// The process of one library: it multiplies, and measures itself. bench/native/peer.cpp explains what is said.
final class PeerProcess extends ContenderProcess {
    private final String version;

    PeerProcess(PeerLibrary library, Launch launch, int threads) throws IOException {
        super(library.toString(), builder(launch, threads));
        this.version = tell("version");
    }

    private static ProcessBuilder builder(Launch launch, int threads) {
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
        return builder;
    }

    /// Makes it ready for one product.
    ///
    /// @return why it cannot be, or null
    String prepare(Gemm gemm, boolean bf16, int slots) throws IOException {
        String answer = tell("gemm " + (bf16 ? "bf16" : "f32") + " " + gemm.m() + " " + gemm.n() + " " + gemm.k() + " "
                + (gemm.transposeB() ? 1 : 0) + " " + slots);
        if (answer.startsWith("ready ")) {
            ready(Long.parseLong(answer.substring("ready ".length())));
            return null;
        }
        return answer.replaceFirst("^failed ", "");
    }

    @Override
    public String version() {
        return version;
    }
}
