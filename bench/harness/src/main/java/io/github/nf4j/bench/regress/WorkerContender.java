package io.github.nf4j.bench.regress;

import io.github.nf4j.bench.cases.BenchCase;
import io.github.nf4j.bench.run.CallContender;
import io.github.nf4j.bench.run.ContenderProcess;
import java.io.File;
import java.io.IOException;
import java.util.List;

/// A [Worker] process of one build.
final class WorkerContender extends ContenderProcess {
    /// Results of a build that are wrong, or a build that does not run at all.
    static final class WorkerException extends RuntimeException {
        private static final long serialVersionUID = 1;
        private final boolean wrong;

        WorkerException(String name, String answer) {
            super(name + ": " + answer);
            this.wrong = answer.startsWith("wrong ");
        }

        boolean isWrong() {
            return wrong;
        }
    }

    /// @param spin  makes every call longer by this share, see [CallContender#SPIN_PROPERTY]
    /// @param nanos to warm up
    WorkerContender(Build build, WorkerPasses.Target target, BenchCase benchCase, double spin, long nanos) throws IOException {
        super(build.name(), builder(build, target, benchCase, spin, nanos));
    }

    private static ProcessBuilder builder(Build build, WorkerPasses.Target target, BenchCase benchCase, double spin, long nanos) {
        // One compiler tier: code that changes from one pass to the next would be one more reason for times to differ.
        return new ProcessBuilder(List.of(System.getProperty("java.home") + File.separator + "bin" + File.separator + "java", "-Xms256m",
                "-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "--enable-native-access=ALL-UNNAMED",
                "-Dnf4j.library.path=" + build.libraryFolder(), "-D" + CallContender.SPIN_PROPERTY + "=" + spin, "-cp", build.classPath(),
                Worker.class.getName(), target.backend().name(), Integer.toString(target.threads()), target.suite().name(),
                target.scope().name(), benchCase.op(), benchCase.shapeText(), Long.toString(target.seed()), Long.toString(nanos)))
                .redirectError(ProcessBuilder.Redirect.INHERIT);
    }

    /// Waits until it has verified and warmed up.
    ///
    /// @throws WorkerException if it cannot be measured
    void await() throws IOException {
        String line = answer();
        if (!line.startsWith("ready ")) {
            throw new WorkerException(name(), line);
        }
        ready(Long.parseLong(line.substring("ready ".length())));
    }
}
