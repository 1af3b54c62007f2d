package io.github.nf4j.bench.run;

import io.github.nf4j.bench.cases.BenchCase;
import io.github.nf4j.bench.result.CaseResult;
import io.github.nf4j.bench.result.ResultFile;
import io.github.nf4j.bench.result.ResultFile.Run;
import io.github.nf4j.bench.result.ResultFiles;
import java.io.IOException;
import java.nio.file.Path;
import java.time.Duration;
import java.time.Instant;
import java.time.temporal.ChronoUnit;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Random;
import java.util.function.Consumer;

/// Measures many cases in a seeded random order, and saves after each: an interrupted run loses nothing but the case it was at.
public final class SuiteRun {
    private static final long SHORTEST_CASE = Duration.ofMillis(50).toNanos();
    private static final long LONGEST_CASE = Duration.ofSeconds(3).toNanos();

    private final Path out;
    private final long began = System.nanoTime();
    private final double before;
    private ResultFile result;

    /// @param start the header, and the rows of the run that is resumed
    public SuiteRun(Path out, ResultFile start) {
        this.out = out;
        this.result = start;
        this.before = start.run().durationS();
    }

    /// What can prepare a case's peers.
    @FunctionalInterface
    public interface Peers {
        PeerGroup of(BenchCase benchCase);
    }

    /// @param budget   null measures all cases for [#LONGEST_CASE]; else no case is begun after it
    /// @param quick    takes the fewest samples that make a row
    /// @param progress gets each row at once
    public ResultFile run(List<BenchCase> cases, CaseRunner runner, Peers peers, Duration budget, boolean quick,
                          Consumer<CaseResult> progress)
            throws IOException, InterruptedException {
        List<BenchCase> order = new ArrayList<>(cases);
        order.removeIf(c -> result.find(runner.key(c, "cold").id()).isPresent() || result.find(runner.key(c, "warm").id()).isPresent());
        Collections.shuffle(order, new Random(result.run().seed()));
        long nanos = quick ? 1 : budget == null || order.isEmpty() ? LONGEST_CASE
                : Math.clamp(budget.toNanos() / order.size(), SHORTEST_CASE, LONGEST_CASE);
        boolean finished = true;
        for (BenchCase benchCase : order) {
            if (budget != null && System.nanoTime() - began > budget.toNanos()) {
                finished = false;
                break;
            }
            List<CaseResult> rows = runner.run(benchCase, peers.of(benchCase), nanos);
            rows.forEach(progress);
            save(rows, false);
        }
        save(List.of(), finished);
        return result;
    }

    private void save(List<CaseResult> rows, boolean finished) throws IOException {
        List<CaseResult> all = new ArrayList<>(result.cases());
        all.addAll(rows);
        result = result.with(result.run().after(before + (System.nanoTime() - began) / 1e9, finished), all);
        ResultFiles.write(out, result);
    }

    /// The header of a new run.
    public static Run header(List<String> arguments, long seed, String suite) {
        String started = Instant.now().truncatedTo(ChronoUnit.SECONDS).toString();
        return new Run(started.replaceAll("[-:]", "") + "-" + Integer.toHexString(new Random().nextInt() & 0xffff), started, 0, false,
                arguments, seed, suite, "shuffle, contenders ABBA");
    }
}
