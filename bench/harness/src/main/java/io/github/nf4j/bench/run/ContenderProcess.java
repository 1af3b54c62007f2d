package io.github.nf4j.bench.run;

import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.io.UncheckedIOException;
import java.io.Writer;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.OptionalLong;
import java.util.concurrent.TimeUnit;

/// A process that measures itself. It is told line by line and answers each with one line: `sample N` with N times in microseconds per
/// call, what it cannot do with `failed` and the reason.
public abstract class ContenderProcess implements Contender, AutoCloseable {
    private static final long PATIENCE_SECONDS = 10;

    private final String name;
    private final Process process;
    private final BufferedReader in;
    private final Writer out;
    private long nanosPerSample;

    protected ContenderProcess(String name, ProcessBuilder builder) throws IOException {
        this.name = name;
        this.process = builder.start();
        this.in = new BufferedReader(new InputStreamReader(process.getInputStream(), StandardCharsets.UTF_8));
        this.out = process.outputWriter(StandardCharsets.UTF_8);
    }

    protected final String tell(String line) throws IOException {
        out.write(line + "\n");
        out.flush();
        return answer();
    }

    /// The next line that it writes.
    protected final String answer() throws IOException {
        String line = in.readLine();
        return line == null ? "failed its process ended" : line;
    }

    /// It is ready to take samples of this length.
    protected final void ready(long nanos) {
        nanosPerSample = nanos;
    }

    @Override
    public final String name() {
        return name;
    }

    /// @throws UncheckedIOException if it has none
    @Override
    public final double[] sample(int count) {
        try {
            String line = tell("sample " + count);
            if (line.startsWith("failed ")) {
                throw new IOException(name + ": " + line.substring("failed ".length()));
            }
            return Arrays.stream(line.split(" ")).mapToDouble(Double::parseDouble).toArray();
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    @Override
    public final long nanosPerSample() {
        return nanosPerSample;
    }

    @Override
    public final OptionalLong pid() {
        return OptionalLong.of(process.pid());
    }

    /// Ends it, so that it disturbs nobody who is measured next.
    @Override
    public final void close() {
        process.destroy();
        try {
            if (process.waitFor(PATIENCE_SECONDS, TimeUnit.SECONDS)) {
                return;
            }
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
        process.destroyForcibly();
    }
}
