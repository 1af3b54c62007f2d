package io.github.nf4j.bench.peers;

import io.github.nf4j.DType;
import io.github.nf4j.bench.cases.BenchCase;
import io.github.nf4j.bench.result.CaseResult.Peer;
import io.github.nf4j.bench.run.CaseRunner;
import io.github.nf4j.bench.run.Checkout;
import io.github.nf4j.bench.run.Launch;
import io.github.nf4j.bench.run.Contender;
import io.github.nf4j.bench.run.PeerGroup;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.EnumMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;

/// The processes of the libraries that take part in a run. One that is missing or that fails is said in every row that it misses.
public final class Peers implements AutoCloseable {
    private final List<PeerLibrary> libraries;
    private final Checkout checkout;
    private final int threads;
    private final long cacheMb;
    private final long freeMemory;
    private final Map<PeerLibrary, PeerProcess> running = new EnumMap<>(PeerLibrary.class);

    public Peers(List<PeerLibrary> libraries, Checkout checkout, int threads, long cacheMb, long freeMemory) {
        this.libraries = List.copyOf(libraries);
        this.checkout = checkout;
        this.threads = threads;
        this.cacheMb = cacheMb;
        this.freeMemory = freeMemory;
    }

    /// The peers of one case, ready to be measured; none where it is no product.
    public PeerGroup of(BenchCase benchCase) {
        List<Contender> ready = new ArrayList<>();
        List<Peer> missing = new ArrayList<>();
        for (PeerLibrary library : benchCase.gemm() == null ? List.<PeerLibrary>of() : libraries) {
            if (library.isPacked() && !benchCase.op().startsWith("nf4.")) {
                continue;
            }
            String problem;
            try {
                problem = prepare(library, benchCase);
            } catch (IOException e) {
                problem = e.getMessage();
            }
            if (problem == null) {
                ready.add(running.get(library));
            } else {
                missing.add(new Peer(library.toString(), null, problem, null, null, null));
            }
        }
        return new PeerGroup(ready, missing);
    }

    private String prepare(PeerLibrary library, BenchCase benchCase) throws IOException {
        if (!running.containsKey(library)) {
            Optional<Launch> launch = library.find(checkout, threads);
            if (launch.isEmpty() || !Files.isExecutable(Path.of(launch.get().command().getFirst()))) {
                return library.absence();
            }
            running.put(library, new PeerProcess(library, launch.get(), threads));
        }
        BenchCase.Gemm gemm = benchCase.gemm();
        long bytes = (gemm.m() * gemm.k() + gemm.n() * gemm.k() + gemm.m() * gemm.n()) * benchCase.dtype().bytes();
        String problem = running.get(library).prepare(gemm, benchCase.dtype() == DType.BF16, CaseRunner.slots(bytes, cacheMb, freeMemory));
        if (problem != null && problem.contains("process ended")) {
            running.remove(library).close(); // the next case starts another
        }
        return problem;
    }

    @Override
    public void close() {
        running.values().forEach(PeerProcess::close);
    }
}
