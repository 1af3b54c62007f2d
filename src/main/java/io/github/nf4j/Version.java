package io.github.nf4j;

import io.github.nf4j.bindings.Nf4jH;
import io.github.nf4j.internal.NativeLibrary;
import java.nio.file.Path;

/// What the native library is and where it came from.
public final class Version {
    private Version() {
    }

    /// The library's version, "major.minor.patch".
    public static String version() {
        NativeLibrary.load();
        return Nf4jH.nf4j_version().getString(0);
    }

    /// The version of the C ABI, which the library and these classes share.
    public static int abi() {
        return Nf4jH.NF4J_ABI_VERSION();
    }

    /// The file that the library was loaded from.
    public static Path library() {
        return NativeLibrary.load();
    }
}
