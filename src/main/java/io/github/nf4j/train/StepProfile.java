package io.github.nf4j.train;

import io.github.nf4j.autograd.Tape;
import io.github.nf4j.autograd.TensorPool;
import io.github.nf4j.nn.LlamaModel;
import io.github.nf4j.nn.TokenBatch;
import io.github.nf4j.op.CallTrace;
import io.github.nf4j.op.Work;
import io.github.nf4j.optim.AdamW;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.OptionalLong;
import java.util.stream.Stream;

/// One training step, taken apart by phase, layer and operation.
///
/// @param step the whole; below it the phases, below those the layers, below those the operations
public record StepProfile(Span step) {
    private static final double LEARNING_RATE = 1e-4;

    /// A stretch of time and those that it consists of.
    ///
    /// @param kind     what it is one of
    /// @param work     of all operations within
    /// @param children in their order, one after another
    public record Span(String name, Kind kind, long beginNanos, long endNanos, Work work, List<Span> children) {
        /// From the whole to its parts.
        public enum Kind {
            STEP, PHASE, LAYER, OPERATION
        }

        public long nanos() {
            return endNanos - beginNanos;
        }

        /// This one, then everything below it, as they begin.
        public Stream<Span> all() {
            return Stream.concat(Stream.of(this), children.stream().flatMap(Span::all));
        }

        private static Span of(String name, Kind kind, long beginNanos, long endNanos, List<Span> children) {
            Work work = children.stream().map(Span::work).reduce(new Work(0, 0, 0), Work::plus);
            return new Span(name, kind, beginNanos, endNanos, work, List.copyOf(children));
        }
    }

    /// All calls of one operation.
    public record Total(String operation, int calls, long nanos, Work work) {
        private Total plus(Total other) {
            return new Total(operation, calls + other.calls, nanos + other.nanos, work.plus(other.work));
        }
    }

    /// Runs some steps to warm up, then one that is watched. The adapters change as in training.
    ///
    /// @param model with adapters
    /// @param batch with labels
    public static StepProfile of(LlamaModel model, TokenBatch batch, int warmUps) {
        try (TensorPool pool = new TensorPool(model.stream());
                AdamW optimizer = new AdamW(model.stream(), model.parameters(), AdamW.Settings.of(0))) {
            for (int i = 0; i < warmUps; i++) {
                step(model, batch, pool, optimizer);
            }
            try (CallTrace trace = CallTrace.of(model.stream())) {
                return profile(step(model, batch, pool, optimizer), trace.entries());
            }
        }
    }

    /// @return when each phase began, by name; the last entry is the end
    private static Map<String, Long> step(LlamaModel model, TokenBatch batch, TensorPool pool, AdamW optimizer) {
        Map<String, Long> marks = new LinkedHashMap<>();
        marks.put("zero gradients", System.nanoTime());
        optimizer.zeroGrad();
        try (Tape tape = Tape.recording(pool)) {
            marks.put("forward", System.nanoTime());
            model.loss(tape, batch, 1.0 / batch.trainedTokens(), OptionalLong.empty());
            marks.put("backward", System.nanoTime());
            tape.backward();
        }
        marks.put("optimizer", System.nanoTime());
        optimizer.step(LEARNING_RATE, 1);
        marks.put("end", System.nanoTime());
        return marks;
    }

    private static StepProfile profile(Map<String, Long> marks, List<CallTrace.Entry> entries) {
        List<String> names = List.copyOf(marks.keySet());
        List<Span> phases = new ArrayList<>();
        for (int i = 0; i + 1 < names.size(); i++) {
            long begin = marks.get(names.get(i));
            long end = marks.get(names.get(i + 1));
            phases.add(Span.of(names.get(i), Span.Kind.PHASE, begin, end, layers(entries.stream()
                    .filter(entry -> entry.beginNanos() >= begin && entry.endNanos() <= end).toList())));
        }
        return new StepProfile(Span.of("step", Span.Kind.STEP, marks.get(names.getFirst()), marks.get(names.getLast()), phases));
    }

    /// Neighbours of the same section go into one layer.
    private static List<Span> layers(List<CallTrace.Entry> entries) {
        List<Span> spans = new ArrayList<>();
        for (int from = 0; from < entries.size();) {
            String section = entries.get(from).section();
            int to = from + 1;
            while (to < entries.size() && section != null && section.equals(entries.get(to).section())) {
                to++;
            }
            List<Span> calls = entries.subList(from, to).stream().map(entry -> new Span(entry.operation(), Span.Kind.OPERATION,
                    entry.beginNanos(), entry.endNanos(), entry.work(), List.of())).toList();
            if (section == null) {
                spans.addAll(calls);
            } else {
                spans.add(Span.of(section, Span.Kind.LAYER, calls.getFirst().beginNanos(), calls.getLast().endNanos(), calls));
            }
            from = to;
        }
        return spans;
    }

    /// What each operation took in all, the longest first.
    public List<Total> totals() {
        Map<String, Total> totals = new LinkedHashMap<>();
        step.all().filter(span -> span.kind == Span.Kind.OPERATION)
                .forEach(span -> totals.merge(span.name, new Total(span.name, 1, span.nanos(), span.work), Total::plus));
        return totals.values().stream().sorted(Comparator.comparingLong(Total::nanos).reversed()).toList();
    }
}
