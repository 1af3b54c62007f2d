package io.github.nf4j.bench.run;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;

/// The source tree that the harness was started from, with what `make` has built in it.
public record Checkout(Path root) {
    /// Set by the launcher.
    private static final String PROPERTY = "nf4j.root";

    public static Checkout current() {
        return new Checkout(Path.of(System.getProperty(PROPERTY, ".")).toAbsolutePath().normalize());
    }

    /// A program that `make` builds from bench/native.
    public Path driver(String name) {
        return root.resolve("build/native/bench").resolve(name);
    }

    public Path libraryFolder() {
        return root.resolve("build/native");
    }

    public Path baselines() {
        return root.resolve("bench/baselines");
    }

    /// A text that names files here, without the folder that they lie in: results are for others to read, too.
    public String relative(String text) {
        return text.replace(root + "/", "");
    }

    /// What git prints, or null if it fails, as outside a checkout.
    public String git(String... arguments) {
        try {
            List<String> command = new ArrayList<>(List.of("git", "-C", root.toString()));
            command.addAll(List.of(arguments));
            Process process = new ProcessBuilder(command).redirectError(ProcessBuilder.Redirect.DISCARD).start();
            String output = new String(process.getInputStream().readAllBytes(), StandardCharsets.UTF_8).strip();
            return process.waitFor() == 0 ? output : null;
        } catch (IOException e) {
            return null;
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            return null;
        }
    }

    static String readOrNull(Path file) {
        try {
            return Files.isReadable(file) ? Files.readString(file).strip() : null;
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }
}
