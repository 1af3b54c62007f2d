package io.github.nf4j.internal;

import io.github.nf4j.Nf4jException;
import io.github.nf4j.bindings.Nf4jH;
import java.io.IOException;
import java.lang.foreign.SymbolLookup;
import java.nio.file.Files;
import java.nio.file.Path;

/// Loads `libnf4j` once, for the class loader of the bindings, which look symbols up there.
///
/// It is taken from `-Dnf4j.library.path`, a file or the folder that has it, and from nowhere else when that is given;
/// otherwise from the resource that the jar brings for this platform, unpacked by [LibraryCache].
public final class NativeLibrary {
    /// System property: the library's file, or the folder that has it.
    public static final String PATH_PROPERTY = "nf4j.library.path";

    private static Path loaded;
    private static Nf4jException failure;

    private NativeLibrary() {
    }

    /// Loads the library if that has not happened yet, and says which file it is.
    ///
    /// @throws Nf4jException if it cannot be loaded, with every place that was tried and the loader's own words. The
    ///         failure is remembered: later calls throw it again.
    public static synchronized Path load() {
        if (failure != null) {
            throw new Nf4jException(failure.getMessage(), failure);
        }
        if (loaded == null) {
            try {
                Path file = locate(System.getProperty(PATH_PROPERTY), LibraryCache.ofSystem());
                open(file);
                loaded = file;
            } catch (Nf4jException e) {
                failure = e;
                throw e;
            }
        }
        return loaded;
    }

    static Path locate(String given, LibraryCache cache) {
        String fileName = System.mapLibraryName("nf4j");
        if (given != null && !given.isEmpty()) {
            Path path = Path.of(given).toAbsolutePath().normalize();
            Path file = Files.isDirectory(path) ? path.resolve(fileName) : path;
            if (!Files.isRegularFile(file)) {
                throw new Nf4jException("cannot load the native library of nf4j: -D" + PATH_PROPERTY + "=" + given
                        + " is given, but " + file + " does not exist; name " + fileName
                        + " or the folder that has it, or leave the property out to use the library in the jar");
            }
            return file;
        }
        String resource = "natives/" + System.getProperty("os.name") + "-" + System.getProperty("os.arch") + "/"
                + fileName;
        try (var bytes = NativeLibrary.class.getResourceAsStream(resource)) {
            if (bytes == null) {
                throw new Nf4jException("cannot load the native library of nf4j. Tried:\n"
                        + "  -D" + PATH_PROPERTY + ": not set\n"
                        + "  resource io/github/nf4j/internal/" + resource + ": this jar does not have it\n"
                        + "Build the library for this platform with make, or set -D" + PATH_PROPERTY);
            }
            return cache.unpack(bytes.readAllBytes(), fileName);
        } catch (IOException e) {
            throw new Nf4jException("cannot load the native library of nf4j. Tried:\n"
                    + "  -D" + PATH_PROPERTY + ": not set\n"
                    + "  resource io/github/nf4j/internal/" + resource + ", to be unpacked into " + cache.root() + ": "
                    + e + "\nSet -D" + LibraryCache.ROOT_PROPERTY + " to a folder that this user can write, or -D"
                    + PATH_PROPERTY + " to a library that is already there", e);
        }
    }

    private static void open(Path file) {
        try {
            System.load(file.toString());
        } catch (UnsatisfiedLinkError e) {
            throw new Nf4jException("cannot load the native library of nf4j from " + file + ". The loader says: "
                    + e.getMessage(), e);
        } catch (IllegalCallerException e) {
            throw new Nf4jException("cannot load the native library of nf4j from " + file
                    + ": this JVM denies native access. Add --enable-native-access=io.github.nf4j (module path) or "
                    + "--enable-native-access=ALL-UNNAMED (class path) to its options", e);
        }
        if (SymbolLookup.loaderLookup().find("nf4j_abi_version").isEmpty()) {
            throw new Nf4jException(file + " is a library, but not that of nf4j: it has no nf4j_abi_version");
        }
        int version = Nf4jH.nf4j_abi_version();
        if (version != Nf4jH.NF4J_ABI_VERSION()) {
            throw new Nf4jException(file + " has version " + version + " of the C ABI, and these classes need "
                    + Nf4jH.NF4J_ABI_VERSION() + ": the library and the jar are from different builds");
        }
    }
}
