package io.github.nf4j;

import java.nio.file.Path;
import java.util.List;

/// JVMs of their own, for what a test cannot do in its own process.
public final class JavaProcess {
    private JavaProcess() {
    }

    /// `java` with everything that nf4j needs on the class path; a main class or a source file follows.
    public static List<String> command() {
        return List.of(Path.of(System.getProperty("java.home"), "bin", "java").toString(),
                "--enable-native-access=ALL-UNNAMED", "-Dai.djl.offline=true",
                "-Dnf4j.library.path=" + System.getProperty("nf4j.library.path"),
                "-cp", System.getProperty("jdk.module.path") + ":" + System.getProperty("java.class.path"));
    }
}
