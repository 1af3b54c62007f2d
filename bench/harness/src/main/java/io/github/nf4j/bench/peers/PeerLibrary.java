package io.github.nf4j.bench.peers;

import io.github.nf4j.bench.run.Checkout;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Locale;
import java.util.Optional;
import java.util.stream.Stream;

/// A library that products are measured beside. What is new here also goes to bench/native/peer.cpp and bench/peers/requirements.txt.
public enum PeerLibrary {
    OPENBLAS("lib(scipy_)?openblas[^/]*\\.so[.\\d]*"),
    MKL("libmkl_rt\\.so[.\\d]*"),
    ONEDNN("libdnnl\\.so[.\\d]*"),
    /// Ours, called from C: the difference is what the way through the JVM costs.
    NF4J_C(null);

    private final String fileName;

    PeerLibrary(String fileName) {
        this.fileName = fileName;
    }

    /// As users write it.
    @Override
    public String toString() {
        return name().toLowerCase(Locale.ROOT).replace('_', '-');
    }

    /// What the driver calls it.
    String driverName() {
        return this == NF4J_C ? "nf4j" : toString();
    }

    boolean isOurs() {
        return this == NF4J_C;
    }

    /// Where `make bench-peers` put it.
    Optional<Path> find(Checkout checkout) {
        Path folder = checkout.root().resolve("build/peers/lib");
        if (!Files.isDirectory(folder)) {
            return Optional.empty();
        }
        try (Stream<Path> files = Files.walk(folder)) {
            return files.filter(file -> file.getFileName().toString().matches(fileName)).filter(Files::isRegularFile).sorted().findFirst();
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }
}
