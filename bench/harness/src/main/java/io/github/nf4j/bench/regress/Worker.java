package io.github.nf4j.bench.regress;

import io.github.nf4j.Backend;
import io.github.nf4j.Device;
import io.github.nf4j.DeviceOptions;
import io.github.nf4j.Isa;
import io.github.nf4j.Stream;
import io.github.nf4j.bench.cases.BenchCase;
import io.github.nf4j.bench.cases.Buffers;
import io.github.nf4j.bench.cases.Catalog;
import io.github.nf4j.bench.cases.Catalog.Suite;
import io.github.nf4j.bench.cases.Scope;
import io.github.nf4j.bench.cases.Subject;
import io.github.nf4j.bench.cases.Verifier;
import io.github.nf4j.bench.result.CaseResult.Verify;
import io.github.nf4j.bench.run.CallContender;
import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.stream.Collectors;

/// A process that measures one case of one build, told by its parent line by line:
///
/// - `sample N` is answered with N times in microseconds,
/// - the end of input ends it.
///
/// The first line that it writes says `ready NANOS` (of one sample), or `wrong` or `failed` with the reason.
public final class Worker {
    private Worker() {
    }

    /// @param arguments backend, threads, suite, scope, operation, shape, seed, nanoseconds to warm up
    public static void main(String[] arguments) throws IOException {
        PrintStream out = new PrintStream(System.out, false, StandardCharsets.UTF_8);
        try (Device device = Device.open(new DeviceOptions(Backend.valueOf(arguments[0]), 0, Integer.parseInt(arguments[1]), Isa.AUTO));
                Stream stream = device.newStream()) {
            BenchCase benchCase = Catalog.cases(Suite.valueOf(arguments[2]), Scope.valueOf(arguments[3])).stream()
                    .filter(c -> c.op().equals(arguments[4]) && c.shapeText().equals(arguments[5])).findFirst().orElseThrow();
            // One set, so that what fits the caches is measured there: neighbours on the memory bus look like changes of the code.
            try (Buffers buffers = new Buffers(stream, 1, Long.parseLong(arguments[6]))) {
                Subject subject = benchCase.prepare().apply(buffers);
                try (Verifier verifier = new Verifier(stream, benchCase.dtype())) {
                    subject.verify().accept(verifier);
                    Verify verify = verifier.result();
                    if (!verify.ok()) {
                        answer(out, "wrong " + verify.metric() + " " + verify.value() + " is above " + verify.bound());
                        return;
                    }
                }
                CallContender calls = new CallContender(benchCase.op(), subject, stream, 1);
                calls.warmUp(Long.parseLong(arguments[7]));
                answer(out, "ready " + calls.nanosPerSample());
                serve(calls, out);
            }
        } catch (RuntimeException | LinkageError e) {
            answer(out, "failed " + e.toString().replace('\n', ' '));
        }
    }

    private static void serve(CallContender calls, PrintStream out) throws IOException {
        BufferedReader in = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        for (String line = in.readLine(); line != null; line = in.readLine()) {
            double[] samples = calls.sample(Integer.parseInt(line.substring("sample ".length())));
            answer(out, Arrays.stream(samples).mapToObj(Double::toString).collect(Collectors.joining(" ")));
        }
    }

    private static void answer(PrintStream out, String line) {
        out.println(line);
        out.flush();
    }
}
