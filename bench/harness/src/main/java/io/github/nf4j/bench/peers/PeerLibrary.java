package io.github.nf4j.bench.peers;

import io.github.nf4j.Backend;
import io.github.nf4j.BackendUnavailableException;
import io.github.nf4j.Device;
import io.github.nf4j.bench.run.Checkout;
import io.github.nf4j.bench.run.Host;
import io.github.nf4j.bench.run.Launch;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.stream.Stream;

/// A library that products are measured beside. What is new here also goes to bench/native/peer.cpp, or speaks its language as
/// bench/peers/peer.py does, and to bench/peers.mk.
public enum PeerLibrary {
    /// It chooses kernels by the processor's name, and takes old ones where it does not know that: the instructions are what counts.
    OPENBLAS("openblas", "make bench-peers") {
        @Override
        Optional<Launch> find(Checkout checkout, int threads) {
            Optional<Launch> launch = driver(checkout, "openblas", "lib", "lib(scipy_)?openblas[^/]*\\.so[.\\d]*", threads);
            boolean told = System.getenv("OPENBLAS_CORETYPE") != null || !Host.hasAvx512();
            return told ? launch : launch.map(one -> one.with("OPENBLAS_CORETYPE", "SkylakeX"));
        }
    },
    MKL("mkl", "make bench-peers") {
        @Override
        Optional<Launch> find(Checkout checkout, int threads) {
            return driver(checkout, "mkl", "lib", "libmkl_rt\\.so[.\\d]*", threads);
        }
    },
    /// Its fast kernels on processors of every vendor: the newest build whose question for the vendor another library can answer.
    MKL_TUNED("mkl-tuned", "make bench-peers") {
        @Override
        Optional<Launch> find(Checkout checkout, int threads) {
            return driver(checkout, "mkl", "mkl-2024", "libmkl_rt\\.so[.\\d]*", threads)
                    .map(launch -> launch.with("LD_PRELOAD", checkout.driver("libany_vendor.so").toString())
                            .with("LD_LIBRARY_PATH", launch.environment().get("LD_LIBRARY_PATH") + ":" + peers(checkout, "lib")));
        }
    },
    ONEDNN("onednn", "make bench-peers") {
        @Override
        Optional<Launch> find(Checkout checkout, int threads) {
            return driver(checkout, "onednn", "onednn", "libdnnl\\.so[.\\d]*", threads);
        }
    },
    LIBTORCH("libtorch", "make bench-libtorch") {
        @Override
        Optional<Launch> find(Checkout checkout, int threads) {
            Path folder = checkout.root().resolve("bench/libtorch/target");
            if (!Files.isDirectory(folder.resolve("lib"))) {
                return Optional.empty();
            }
            String java = Path.of(System.getProperty("java.home"), "bin/java").toString();
            return Optional.of(new Launch(List.of(java, "-Xmx2g", "--enable-native-access=ALL-UNNAMED",
                    "-Dai.djl.pytorch.num_threads=" + threads, "-cp", folder + "/*:" + folder.resolve("lib") + "/*",
                    "io.github.nf4j.bench.libtorch.TorchPeer"),
                    Map.of("DJL_CACHE_DIR", peers(checkout, "djl").toString(),
                            "DJL_OFFLINE", "true", "OPT_OUT_TRACKING", "true")));
        }
    },
    /// Multiplies on a GPU alone, where bench/native/gpu_bench measures beside it.
    CUBLAS("cublas", "make gpu-check") {
        @Override
        Optional<Launch> find(Checkout checkout, int threads) {
            return Optional.empty();
        }

        @Override
        String absence() {
            try (Device _ = Device.open(Backend.CUDA)) {
                return "measured by " + made() + ", which times kernels by the events of the GPU";
            } catch (BackendUnavailableException e) {
                return "no CUDA device: " + Checkout.current().relative(e.getMessage().lines().findFirst().orElse(""));
            }
        }
    },
    /// Dequantizes, then multiplies: what it does in training.
    BITSANDBYTES("bitsandbytes", "make interop") {
        @Override
        Optional<Launch> find(Checkout checkout, int threads) {
            return python(checkout, "bitsandbytes", threads);
        }
    },
    /// Its fused product for inference.
    BITSANDBYTES_PACKED("bitsandbytes-packed", "make interop") {
        @Override
        Optional<Launch> find(Checkout checkout, int threads) {
            return python(checkout, "bitsandbytes-packed", threads);
        }
    },
    /// 4 bits of another kind: Q4_0 has sixteen equal steps, and activations are rounded to 8 bits.
    LLAMA_CPP("llama.cpp-q4_0", "make bench-peers") {
        @Override
        Optional<Launch> find(Checkout checkout, int threads) {
            return driver(checkout, "llama-cpp", "llama-cpp/bin", "libggml\\.so", threads);
        }
    },
    /// Ours, called from C: the difference is what the way through the JVM costs.
    NF4J_C("nf4j-c", "make bench-build") {
        @Override
        Optional<Launch> find(Checkout checkout, int threads) {
            return Optional.of(new Launch(List.of(checkout.driver("peer").toString(), "nf4j", "-", Integer.toString(threads)), Map.of()));
        }
    };

    /// What "the best BLAS" is the fastest of.
    public static final List<PeerLibrary> BLAS = List.of(OPENBLAS, MKL, MKL_TUNED, ONEDNN);

    private final String label;
    private final String made;

    PeerLibrary(String label, String made) {
        this.label = label;
        this.made = made;
    }

    /// As users write it.
    @Override
    public String toString() {
        return label;
    }

    /// The command that installs it.
    String made() {
        return made;
    }

    /// Why it is not there, if [#find] does not find it.
    String absence() {
        return "not installed: run " + made;
    }

    /// Whether its weights have 4 bits, so that it has nothing to set beside a product of dense ones.
    boolean isPacked() {
        return ordinal() >= BITSANDBYTES.ordinal();
    }

    /// How to start it; empty if it is not installed.
    abstract Optional<Launch> find(Checkout checkout, int threads);

    private static Path peers(Checkout checkout, String folder) {
        return checkout.root().resolve("build/peers").resolve(folder);
    }

    private static Optional<Launch> driver(Checkout checkout, String name, String folder, String fileName, int threads) {
        return file(peers(checkout, folder), fileName).map(file -> new Launch(
                List.of(checkout.driver("peer").toString(), name, file.toString(), Integer.toString(threads)),
                Map.of("LD_LIBRARY_PATH", file.getParent().toString())));
    }

    private static Optional<Path> file(Path folder, String name) {
        if (!Files.isDirectory(folder)) {
            return Optional.empty();
        }
        try (Stream<Path> files = Files.walk(folder)) {
            return files.filter(file -> file.getFileName().toString().matches(name)).filter(Files::isRegularFile).sorted().findFirst();
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    private static Optional<Launch> python(Checkout checkout, String name, int threads) {
        Path python = checkout.root().resolve("build/interop/bin/python");
        return Files.isExecutable(python) ? Optional.of(new Launch(List.of(python.toString(),
                checkout.root().resolve("bench/peers/peer.py").toString(), name, Integer.toString(threads)), Map.of())) : Optional.empty();
    }
}
