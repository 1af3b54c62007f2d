package io.github.nf4j.bench.peers;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.github.nf4j.bench.cases.BenchCase;
import io.github.nf4j.bench.cases.Catalog;
import io.github.nf4j.bench.cases.Scope;
import io.github.nf4j.bench.result.CaseResult.Peer;
import io.github.nf4j.bench.run.Checkout;
import io.github.nf4j.bench.run.PeerGroup;
import java.nio.file.Path;
import java.util.List;
import java.util.stream.Stream;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

class PeersTest {
    @Test
    void aLibraryThatIsNotThereIsSaidInTheRow(@TempDir Path empty) {
        List<String> all = Stream.of(PeerLibrary.values()).map(PeerLibrary::toString).toList();
        try (Peers peers = new Peers(List.of(PeerLibrary.values()), new Checkout(empty), 1, 1, 1 << 30)) {
            PeerGroup group = peers.of(benchCase("nf4.matmul"));
            assertEquals(List.of(), group.contenders());
            assertEquals(all, group.missing().stream().map(Peer::name).toList());
            for (Peer peer : group.missing()) {
                assertTrue(peer.note().matches(peer.name().equals("cublas") ? "no CUDA device: .+|measured by make gpu-check.*"
                        : "not installed: run make .+"), peer::note);
                assertNull(peer.ratio());
            }
            assertEquals(List.of(), peers.of(benchCase("norm.forward")).missing());
        }
    }

    @Test
    void librariesWithWeightsOf4BitsStandBesideOurs() {
        try (Peers peers = new Peers(List.of(PeerLibrary.OPENBLAS, PeerLibrary.LLAMA_CPP, PeerLibrary.BITSANDBYTES, PeerLibrary.NF4J_C),
                new Checkout(Path.of("nowhere")), 1, 1, 1 << 30)) {
            assertEquals(4, peers.of(benchCase("nf4.matmul")).missing().size());
            assertEquals(List.of("openblas"), peers.of(benchCase("dense.matmul")).missing().stream().map(Peer::name).toList());
        }
    }

    private static Peers installed;

    @BeforeAll
    static void open() {
        installed = new Peers(List.of(PeerLibrary.values()), Checkout.current(), 1, 1, 1 << 30);
    }

    @AfterAll
    static void close() {
        installed.close();
    }

    /// Ours is always there; each other one either multiplies rightly or says why it cannot.
    @ParameterizedTest
    @MethodSource("products")
    void ourOwnFromCIsMeasuredAndOthersIfInstalled(BenchCase benchCase) {
        PeerGroup group = installed.of(benchCase);
        assertTrue(group.contenders().stream().anyMatch(c -> c.name().equals("nf4j-c")), () -> group.missing().toString());
        assertEquals(PeerLibrary.values().length, group.contenders().size() + group.missing().size());
        group.contenders().forEach(contender -> {
            double[] samples = contender.sample(2);
            assertTrue(samples.length == 2 && samples[0] > 0 && contender.nanosPerSample() > 0 && contender.pid().isPresent());
            assertTrue(contender.version().matches(".*\\d+\\.\\d+.*"), contender::version);
        });
        assertTrue(group.missing().stream().noneMatch(peer -> peer.note().contains("wrong")), () -> group.missing().toString());
    }

    static Stream<BenchCase> products() {
        return Catalog.cases(Catalog.Suite.SMOKE, Scope.CALL).stream().filter(c -> c.op().startsWith("nf4.matmul"));
    }

    private static BenchCase benchCase(String op) {
        return Catalog.cases(Catalog.Suite.SMOKE, Scope.CALL).stream().filter(c -> c.op().equals(op)).findFirst().orElseThrow();
    }
}
