package io.github.nf4j.bench.regress;

import io.github.nf4j.bench.cases.BenchCase;
import io.github.nf4j.bench.run.CallContender;
import io.github.nf4j.bench.run.Contender;
import java.io.BufferedReader;
import java.io.File;
import java.io.IOException;
import java.io.InputStreamReader;
import java.io.UncheckedIOException;
import java.io.Writer;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.List;
import java.util.OptionalLong;
import java.util.concurrent.TimeUnit;

/// A [Worker] process of one build.
final class WorkerContender implements Contender, AutoCloseable {
    private static final long PATIENCE_SECONDS = 10;

    private final String name;
    private final Process process;
    private final BufferedReader in;
    private final Writer out;
    private long nanosPerSample;

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
        this.name = build.name();
        // One compiler tier: code that changes from one pass to the next would be one more reason for times to differ.
        List<String> command = List.of(System.getProperty("java.home") + File.separator + "bin" + File.separator + "java", "-Xms256m",
                "-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "--enable-native-access=ALL-UNNAMED",
                "-Dnf4j.library.path=" + build.libraryFolder(), "-D" + CallContender.SPIN_PROPERTY + "=" + spin, "-cp", build.classPath(),
                Worker.class.getName(), target.backend().name(), Integer.toString(target.threads()), target.suite().name(), benchCase.op(),
                benchCase.shapeText(), Long.toString(target.seed()), Long.toString(nanos));
        this.process = new ProcessBuilder(command).redirectError(ProcessBuilder.Redirect.INHERIT).start();
        this.in = new BufferedReader(new InputStreamReader(process.getInputStream(), StandardCharsets.UTF_8));
        this.out = process.outputWriter(StandardCharsets.UTF_8);
    }

    /// Waits until it has verified and warmed up.
    ///
    /// @throws WorkerException if it cannot be measured
    void await() {
        String line = readLine();
        if (!line.startsWith("ready ")) {
            throw new WorkerException(name, line);
        }
        nanosPerSample = Long.parseLong(line.substring("ready ".length()));
    }

    @Override
    public String name() {
        return name;
    }

    @Override
    public long nanosPerSample() {
        return nanosPerSample;
    }

    @Override
    public OptionalLong pid() {
        return OptionalLong.of(process.pid());
    }

    @Override
    public double[] sample(int count) {
        try {
            out.write("sample " + count + "\n");
            out.flush();
            return Arrays.stream(readLine().split(" ")).mapToDouble(Double::parseDouble).toArray();
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    private String readLine() {
        try {
            String line = in.readLine();
            return line == null ? "failed the process ended" : line;
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    @Override
    public void close() {
        try (in) {
            out.close(); // which ends it
            if (process.waitFor(PATIENCE_SECONDS, TimeUnit.SECONDS)) {
                return;
            }
        } catch (IOException e) {
            // it has ended already, or will not listen
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
        process.destroyForcibly();
    }
}
