package io.github.nf4j.train;

import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.JsonNodeFactory;
import com.fasterxml.jackson.databind.node.ObjectNode;
import io.github.nf4j.train.StepProfile.Span;
import java.util.Locale;

/// A profile in Chrome's trace format, an array of complete events, which ui.perfetto.dev and chrome://tracing open.
public final class PerfettoTrace {
    private static final double NANOS_PER_MICRO = 1e3;

    private PerfettoTrace() {
    }

    /// Times are microseconds since the step began.
    public static String json(StepProfile profile) {
        ArrayNode events = JsonNodeFactory.instance.arrayNode();
        long origin = profile.step().beginNanos();
        profile.step().all().forEach(span -> events.add(event(span, origin)));
        StringBuilder lines = new StringBuilder("[\n");
        for (int i = 0; i < events.size(); i++) {
            lines.append(events.get(i)).append(i + 1 < events.size() ? ",\n" : "\n");
        }
        return lines.append("]\n").toString();
    }

    private static ObjectNode event(Span span, long origin) {
        ObjectNode event = JsonNodeFactory.instance.objectNode().put("name", span.name())
                .put("cat", span.kind().name().toLowerCase(Locale.ROOT)).put("ph", "X")
                .put("ts", (span.beginNanos() - origin) / NANOS_PER_MICRO).put("dur", span.nanos() / NANOS_PER_MICRO)
                .put("pid", 1).put("tid", 1);
        event.putObject("args").put("bytes", span.work().bytes()).put("flops", span.work().flops());
        return event;
    }
}
