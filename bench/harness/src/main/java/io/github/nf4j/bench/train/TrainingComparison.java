package io.github.nf4j.bench.train;

import io.github.nf4j.Backend;
import io.github.nf4j.DType;
import io.github.nf4j.bench.result.CaseResult;
import io.github.nf4j.bench.result.CaseResult.Key;
import io.github.nf4j.bench.result.CaseResult.Peer;
import io.github.nf4j.bench.result.CaseResult.Rate;
import io.github.nf4j.bench.result.CaseResult.Status;
import io.github.nf4j.bench.result.CaseResult.Step;
import io.github.nf4j.bench.result.CaseResult.Timing;
import io.github.nf4j.bench.result.CaseResult.Verify;
import io.github.nf4j.bench.result.CaseResult.Work;
import io.github.nf4j.bench.result.Machine;
import io.github.nf4j.bench.result.ResultFile.Floors;
import io.github.nf4j.bench.run.Checkout;
import io.github.nf4j.bench.run.FloorProbe;
import io.github.nf4j.bench.run.Launch;
import io.github.nf4j.bench.run.LoadMonitor;
import io.github.nf4j.bench.stats.Summary;
import java.io.IOException;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Collections;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.function.ToDoubleFunction;
import java.util.stream.DoubleStream;

/// Trains with every contender in turns, each in a process of its own: a row for each of ours, beside all others.
public final class TrainingComparison {
    /// Untrained weights know nothing: the loss is about the logarithm of the vocabulary, whoever computes it.
    private static final double LOSS_BOUND = 1;
    private static final double MICROS = 1e6;

    private final Checkout checkout;
    private final TrainingPlan plan;
    private final List<TrainingContender> contenders;
    private final Machine machine;
    private final Floors floors;
    private final Map<TrainingContender, List<TrainingProcess.Outcome>> counted = new LinkedHashMap<>();
    private final Map<TrainingContender, List<Double>> disturbed = new HashMap<>();

    /// @param floors null if they are not known
    public TrainingComparison(Checkout checkout, TrainingPlan plan, List<TrainingContender> contenders, Machine machine, Floors floors) {
        this.checkout = checkout;
        this.plan = plan;
        this.contenders = List.copyOf(contenders);
        this.machine = machine;
        this.floors = floors;
        contenders.forEach(contender -> counted.put(contender, new ArrayList<>()));
    }

    /// Takes over what an interrupted comparison has measured, so that only the rest is run.
    ///
    /// @throws IllegalArgumentException if it measured something else
    public void resume(List<CaseResult> rows) {
        for (CaseResult row : rows) {
            TrainingContender ours = contenders.stream().filter(one -> one.ours() && key(one).id().equals(row.id())).findFirst()
                    .orElseThrow(() -> new IllegalArgumentException(row.id() + " is not part of this comparison"));
            if (row.isMeasured()) {
                resume(ours, row.timing().samplesUs(), row.step(), row.timing().foreignShare());
            }
            for (Peer peer : row.peers()) {
                contenders.stream().filter(one -> one.name().equals(peer.name()) && peer.step() != null)
                        .forEach(one -> resume(one, peer.samplesUs(), peer.step(), 0));
            }
        }
    }

    private void resume(TrainingContender contender, double[] samplesUs, Step step, double foreignShare) {
        List<TrainingProcess.Outcome> runs = new ArrayList<>();
        for (int first = 0; first + plan.steps() <= samplesUs.length; first += plan.steps()) {
            List<TrainingRun.Step> steps = new ArrayList<>();
            for (int i = first; i < first + plan.steps(); i++) {
                steps.add(new TrainingRun.Step(samplesUs[i] / MICROS, step.forwardUs()[i] / MICROS, step.backwardUs()[i] / MICROS,
                        step.optimizerUs()[i] / MICROS, step.losses()[i]));
            }
            runs.add(new TrainingProcess.Outcome(steps, step.peakMb(), foreignShare, null));
        }
        counted.put(contender, runs);
    }

    /// What gets the rows after each process.
    @FunctionalInterface
    public interface Progress {
        void rows(String finished, List<CaseResult> rows) throws IOException;
    }

    /// @param budget no process is started after it; null runs all
    /// @return whether all rounds were run
    public boolean run(Duration budget, Progress progress) throws IOException, InterruptedException {
        long begin = System.nanoTime();
        for (int round = 0; round < plan.rounds(); round++) {
            List<TrainingContender> order = new ArrayList<>(contenders);
            if (round % 2 == 1) {
                Collections.reverse(order);
            }
            for (TrainingContender contender : order) {
                if (budget != null && System.nanoTime() - begin > budget.toNanos()) {
                    return false;
                }
                List<TrainingProcess.Outcome> runs = counted.get(contender);
                if (runs.size() > round || !runs.isEmpty() && runs.getLast().failure() != null) {
                    continue; // resumed, or it would fail again
                }
                TrainingProcess.Outcome outcome = runOnQuietMachine(contender);
                runs.add(outcome);
                progress.rows(describe(contender, outcome), rows());
            }
        }
        return true;
    }

    /// Once more if others used the processor; what still is disturbed then counts, and the row says so.
    private TrainingProcess.Outcome runOnQuietMachine(TrainingContender contender) throws IOException, InterruptedException {
        String problem = contender.problem(checkout, plan);
        if (problem != null) {
            return TrainingProcess.Outcome.failed(problem);
        }
        Launch launch = contender.launch(checkout, plan);
        TrainingProcess.Outcome first = TrainingProcess.run(launch);
        if (first.failure() != null || first.foreignShare() <= LoadMonitor.LIMIT) {
            return first;
        }
        TrainingProcess.Outcome second = TrainingProcess.run(launch);
        boolean better = second.failure() == null && second.foreignShare() < first.foreignShare();
        List<Double> set = disturbed.computeIfAbsent(contender, _ -> new ArrayList<>());
        (better ? first : second).steps().forEach(step -> set.add(step.seconds() * MICROS));
        return better ? second : first;
    }

    private String describe(TrainingContender contender, TrainingProcess.Outcome outcome) {
        return contender.name() + ": "
                + (outcome.failure() != null ? outcome.failure() : String.format(Locale.ROOT, "%.1f tokens/s, %d MiB",
                        plan.tokensPerStep() / median(List.of(outcome), TrainingRun.Step::seconds), outcome.peakMb()));
    }

    /// As far as they have been measured.
    public List<CaseResult> rows() {
        return counted.keySet().stream().filter(contender -> contender.ours() && !counted.get(contender).isEmpty()).map(this::row).toList();
    }

    private Key key(TrainingContender ours) {
        return new Key(ours.quantized() ? "train.qlora" : "train.lora", plan.model().name(),
                Map.of("layers", (long) plan.layers(), "sequences",
                        (long) plan.sequences(), "tokens", (long) plan.tokens()),
                TrainingContender.text(ours.base()), TrainingContender.text(plan.backend()),
                plan.backend() == Backend.CPU ? machine.isa() : null, plan.threads(), "step", "cold");
    }

    private CaseResult row(TrainingContender ours) {
        Key key = key(ours);
        String repro = String.format(
                "bench/nf4j-bench compare-training --model %s --layers %d --sequences %d --tokens %d --steps %d --rounds %d "
                        + "--backend %s --threads %d --out training.json",
                plan.model().name(), plan.layers(), plan.sequences(), plan.tokens(), plan.steps(),
                plan.rounds(), TrainingContender.text(plan.backend()), plan.threads());
        Work work = plan.work(ours.quantized(), ours.base().bytes());
        List<TrainingProcess.Outcome> runs = counted.get(ours);
        String failure = runs.getLast().failure();
        if (failure != null) {
            return new CaseResult(key.id(), key, repro, Status.SKIPPED, failure, work, null, null, null, null, peers(ours));
        }
        Verify verify = verify(runs);
        if (!verify.ok()) {
            return new CaseResult(key.id(), key, repro, Status.VOID, "the loss is wrong", work, verify, null, null, null, peers(ours));
        }
        double foreign = runs.stream().mapToDouble(TrainingProcess.Outcome::foreignShare).average().orElse(0);
        boolean noisy = foreign > LoadMonitor.LIMIT;
        String note = noisy ? String.format(Locale.ROOT, "others took %.0f %% of the processor's time", 100 * foreign) : null;
        double[] samples = samples(runs);
        Timing timing = new Timing("nanotime", 1, 1, 1, samples,
                disturbed.getOrDefault(ours, List.of()).stream().mapToDouble(d -> d).toArray(),
                foreign, null);
        Summary stats = Summary.of(samples);
        Rate rate = FloorProbe.rate(work, floors, ours.base() == DType.BF16, stats.median());
        return new CaseResult(key.id(), key, repro, noisy ? Status.NOISY : Status.OK, note, work, verify, timing, stats, rate, peers(ours),
                step(runs));
    }

    private List<Peer> peers(TrainingContender ours) {
        return contenders.stream().filter(other -> !other.equals(ours) && !counted.get(other).isEmpty())
                .map(other -> peer(other, counted.get(ours))).toList();
    }

    private Peer peer(TrainingContender other, List<TrainingProcess.Outcome> ours) {
        List<TrainingProcess.Outcome> theirs = counted.get(other);
        String failure = theirs.getLast().failure();
        if (failure == null && !verify(theirs).ok()) {
            failure = "its loss is wrong";
        }
        if (failure == null && (ours.getLast().failure() != null || !verify(ours).ok())) {
            failure = "there is nothing of ours to compare it with";
        }
        if (failure != null) {
            return new Peer(other.name(), null, failure, null, null, null);
        }
        int rounds = Math.min(ours.size(), theirs.size());
        double[] ratios = new double[rounds];
        for (int i = 0; i < rounds; i++) {
            ratios[i] = median(ours.subList(i, i + 1), TrainingRun.Step::seconds)
                    / median(theirs.subList(i, i + 1), TrainingRun.Step::seconds);
        }
        double[] samples = samples(theirs);
        return new Peer(other.name(), null, null, samples, Summary.of(samples), Summary.median(ratios), step(theirs));
    }

    private Step step(List<TrainingProcess.Outcome> runs) {
        return new Step(plan.tokensPerStep() / median(runs, TrainingRun.Step::seconds),
                steps(runs, step -> MICROS * step.forward()).toArray(), steps(runs, step -> MICROS * step.backward()).toArray(),
                steps(runs, step -> MICROS * step.optimizer()).toArray(), steps(runs, TrainingRun.Step::loss).toArray(),
                runs.stream().mapToLong(TrainingProcess.Outcome::peakMb).max().orElse(0));
    }

    private Verify verify(List<TrainingProcess.Outcome> runs) {
        double wanted = Math.log(plan.model().vocabulary());
        double worst = steps(runs, step -> Math.abs(step.loss() - wanted)).reduce(0, (a, b) -> b <= a ? a : b); // NaN wins
        return new Verify("|loss - ln(vocabulary)|", Double.isFinite(worst) ? worst : null, LOSS_BOUND, plan.tokensPerStep(),
                worst <= LOSS_BOUND);
    }

    private static double[] samples(List<TrainingProcess.Outcome> runs) {
        return steps(runs, step -> MICROS * step.seconds()).toArray();
    }

    private static double median(List<TrainingProcess.Outcome> runs, ToDoubleFunction<TrainingRun.Step> part) {
        return Summary.median(steps(runs, part).toArray());
    }

    private static DoubleStream steps(List<TrainingProcess.Outcome> runs, ToDoubleFunction<TrainingRun.Step> part) {
        return runs.stream().flatMap(run -> run.steps().stream()).mapToDouble(part);
    }
}
