package io.github.nf4j.internal;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.HexFormat;

/// The folder into which the jar's library is unpacked: once for each content, under its hash, so that versions live
/// side by side and processes that start at the same time agree.
///
/// @param root  `-Dnf4j.cache.dir`, else `nf4j` under `XDG_CACHE_HOME` or `~/.cache`
/// @param given whether the user named it: then nothing else will do
record LibraryCache(Path root, boolean given) {
    static final String ROOT_PROPERTY = "nf4j.cache.dir";

    static LibraryCache ofSystem() {
        String given = System.getProperty(ROOT_PROPERTY);
        if (given != null && !given.isEmpty()) {
            return new LibraryCache(Path.of(given).toAbsolutePath(), true);
        }
        String xdg = System.getenv("XDG_CACHE_HOME");
        Path caches = xdg == null || xdg.isEmpty() ? Path.of(System.getProperty("user.home"), ".cache") : Path.of(xdg);
        return new LibraryCache(caches.resolve("nf4j").toAbsolutePath(), false);
    }

    /// The file that has `content`: the one in the cache, written now if it is not there or is damaged. Where the home
    /// cannot be written, one of this process alone.
    Path unpack(byte[] content, String fileName) throws IOException {
        try {
            return unpackIntoRoot(content, fileName);
        } catch (IOException e) {
            if (given) {
                throw e;
            }
            try {
                return unpackForThisProcess(content, fileName);
            } catch (IOException second) {
                throw new IOException(e + "; nor into " + System.getProperty("java.io.tmpdir") + ": " + second, e);
            }
        }
    }

    private Path unpackIntoRoot(byte[] content, String fileName) throws IOException {
        String hash = sha256(content);
        Path folder = root.resolve(hash.substring(0, 16));
        Path file = folder.resolve(fileName);
        if (Files.isRegularFile(file) && sha256(Files.readAllBytes(file)).equals(hash)) {
            return file;
        }
        Files.createDirectories(folder);
        Path temporary = Files.createTempFile(folder, fileName, ".tmp");
        try {
            Files.write(temporary, content);
            Files.move(temporary, file, StandardCopyOption.ATOMIC_MOVE, StandardCopyOption.REPLACE_EXISTING);
        } finally {
            Files.deleteIfExists(temporary);
        }
        return file;
    }

    /// A new folder that other users cannot open. It is deleted when the process ends; one that is killed leaves it behind.
    private static Path unpackForThisProcess(byte[] content, String fileName) throws IOException {
        Path folder = Files.createTempDirectory("nf4j-");
        folder.toFile().deleteOnExit();
        Path file = folder.resolve(fileName);
        file.toFile().deleteOnExit();
        return Files.write(file, content);
    }

    private static String sha256(byte[] content) {
        try {
            return HexFormat.of().formatHex(MessageDigest.getInstance("SHA-256").digest(content));
        } catch (NoSuchAlgorithmException e) {
            throw new AssertionError("every Java platform has SHA-256", e);
        }
    }
}
