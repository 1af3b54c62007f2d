package io.github.nf4j.bench.regress;

import io.github.nf4j.bench.run.Checkout;
import java.io.File;
import java.io.IOException;
import java.nio.channels.FileChannel;
import java.nio.channels.FileLock;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.List;
import java.util.stream.Stream;

/// One build of nf4j that can be measured: its jar and its native library.
///
/// @param jar null takes the classes that this process runs with
public record Build(String name, Path jar, Path libraryFolder) {
    /// Of the work trees, until this process ends: its workers run what is in one of them.
    private static FileLock lock;

    /// What this harness was built with.
    public static Build current(String name) {
        String given = System.getProperty("nf4j.library.path");
        return new Build(name, null, given == null ? Checkout.current().libraryFolder() : Path.of(given));
    }

    /// Builds a git revision in a work tree of its own below build/bench. The tree is kept until another revision is built, so that the
    /// next time takes seconds.
    ///
    /// @throws IllegalArgumentException if there is no such revision, or another process is using the work trees
    public static Build ofRevision(Checkout checkout, String revision) throws IOException, InterruptedException {
        String sha = checkout.git("rev-parse", "--verify", "--quiet", "--end-of-options", revision + "^{commit}");
        if (sha == null) {
            throw new IllegalArgumentException("git knows no revision " + revision);
        }
        Path trees = Files.createDirectories(checkout.root().resolve("build/bench"));
        lock(trees.resolve("lock"));
        removeOthers(checkout, trees, sha);
        Path tree = trees.resolve(sha);
        if (!Files.isDirectory(tree)) {
            execute(checkout.root(), trees, List.of("git", "worktree", "add", "--detach", "--force", tree.toString(), sha));
        }
        execute(tree, trees, List.of("make", "--silent", "-j2", "java"));
        try (Stream<Path> jars = Files.list(tree.resolve("target"))) {
            Path jar = jars.filter(file -> file.getFileName().toString().matches("nf4j-[\\d.]+(-SNAPSHOT)?\\.jar")).findFirst()
                    .orElseThrow(() -> new IOException("make java in " + tree + " left no jar"));
            return new Build(sha.substring(0, 12), jar, tree.resolve("build/native"));
        }
    }

    private static synchronized void lock(Path file) throws IOException {
        if (lock == null) {
            FileChannel channel = FileChannel.open(file, StandardOpenOption.CREATE, StandardOpenOption.WRITE);
            lock = channel.tryLock();
            if (lock == null) {
                channel.close();
                throw new IllegalArgumentException("another process measures revisions of this checkout; wait until it has ended");
            }
        }
    }

    private static void removeOthers(Checkout checkout, Path trees, String sha) throws IOException {
        checkout.git("worktree", "prune");
        try (Stream<Path> folders = Files.list(trees)) {
            folders.filter(folder -> Files.isDirectory(folder) && !folder.endsWith(sha))
                    .forEach(folder -> checkout.git("worktree", "remove", "--force", folder.toString()));
        }
    }

    /// The class path of a worker: this build's classes hide those that the harness was built with.
    String classPath() {
        return (jar == null ? "" : jar + File.pathSeparator) + System.getProperty("java.class.path");
    }

    private static void execute(Path folder, Path trees, List<String> command) throws IOException, InterruptedException {
        File log = trees.resolve("build.log").toFile();
        ProcessBuilder builder = new ProcessBuilder(command).directory(folder.toFile()).redirectErrorStream(true)
                .redirectOutput(ProcessBuilder.Redirect.to(log));
        if (builder.start().waitFor() != 0) {
            throw new IOException(String.join(" ", command) + " failed in " + folder + "; see " + log);
        }
    }
}
