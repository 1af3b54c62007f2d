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
/// @param root `-Dnf4j.cache.dir`, else `nf4j` under `XDG_CACHE_HOME` or `~/.cache`
record LibraryCache(Path root) {
    static final String ROOT_PROPERTY = "nf4j.cache.dir";

    static LibraryCache ofSystem() {
        String given = System.getProperty(ROOT_PROPERTY);
        if (given != null && !given.isEmpty()) {
            return new LibraryCache(Path.of(given).toAbsolutePath());
        }
        String xdg = System.getenv("XDG_CACHE_HOME");
        Path caches = xdg == null || xdg.isEmpty() ? Path.of(System.getProperty("user.home"), ".cache") : Path.of(xdg);
        return new LibraryCache(caches.resolve("nf4j").toAbsolutePath());
    }

    /// The file that has `content`, written now if it is not there or is damaged.
    Path unpack(byte[] content, String fileName) throws IOException {
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

    private static String sha256(byte[] content) {
        try {
            return HexFormat.of().formatHex(MessageDigest.getInstance("SHA-256").digest(content));
        } catch (NoSuchAlgorithmException e) {
            throw new AssertionError("every Java platform has SHA-256", e);
        }
    }
}
