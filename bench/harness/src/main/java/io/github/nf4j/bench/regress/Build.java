package io.github.nf4j.bench.regress;

import io.github.nf4j.bench.run.Checkout;
import java.io.File;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.stream.Stream;

/// One build of nf4j that can be measured: its jar and its native library.
///
/// @param jar null takes the classes that this process runs with
public record Build(String name, Path jar, Path libraryFolder) {
    /// What this harness was built with.
    public static Build current(String name) {
        String given = System.getProperty("nf4j.library.path");
        return new Build(name, null, given == null ? Checkout.current().libraryFolder() : Path.of(given));
    }

    /// Builds a git revision in a work tree of its own below build/, which is kept: the next time takes seconds.
    ///
    /// @throws IllegalArgumentException if there is no such revision
    public static Build ofRevision(Checkout checkout, String revision) throws IOException, InterruptedException {
        String sha = checkout.git("rev-parse", "--verify", "--quiet", "--end-of-options", revision + "^{commit}");
        if (sha == null) {
            throw new IllegalArgumentException("git knows no revision " + revision);
        }
        Path tree = checkout.root().resolve("build/bench").resolve(sha);
        if (!Files.isDirectory(tree)) {
            checkout.git("worktree", "prune");
            execute(checkout.root(), List.of("git", "worktree", "add", "--detach", "--force", tree.toString(), sha));
        }
        execute(tree, List.of("make", "--silent", "-j2", "java"));
        try (Stream<Path> jars = Files.list(tree.resolve("target"))) {
            Path jar = jars.filter(file -> file.getFileName().toString().matches("nf4j-[\\d.]+(-SNAPSHOT)?\\.jar")).findFirst()
                    .orElseThrow(() -> new IOException("make java in " + tree + " left no jar"));
            return new Build(sha.substring(0, 12), jar, tree.resolve("build/native"));
        }
    }

    /// The class path of a worker: this build's classes hide those that the harness was built with.
    String classPath() {
        return (jar == null ? "" : jar + File.pathSeparator) + System.getProperty("java.class.path");
    }

    private static void execute(Path folder, List<String> command) throws IOException, InterruptedException {
        ProcessBuilder builder = new ProcessBuilder(command).directory(folder.toFile()).redirectErrorStream(true)
                .redirectOutput(ProcessBuilder.Redirect.to(folder.resolveSibling("build.log").toFile()));
        Files.createDirectories(folder.getParent());
        if (builder.start().waitFor() != 0) {
            throw new IOException(String.join(" ", command) + " failed in " + folder + "; see " + folder.resolveSibling("build.log"));
        }
    }
}
