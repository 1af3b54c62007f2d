package io.github.nf4j.train;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import io.github.nf4j.Backend;
import io.github.nf4j.DType;
import io.github.nf4j.Device;
import io.github.nf4j.Stream;
import io.github.nf4j.nn.LlamaModel;
import io.github.nf4j.nn.LoraSettings;
import io.github.nf4j.nn.Quantization;
import io.github.nf4j.nn.TokenBatch;
import io.github.nf4j.op.Work;
import io.github.nf4j.train.StepProfile.Span;
import java.io.IOException;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.stream.Collectors;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;

class StepProfileTest {
    private static final Path MODEL = Path.of("src/test/resources/fixtures/models/llama-tied");
    private static final int LAYERS = 2;
    private static StepProfile profile;

    @BeforeAll
    static void run() throws IOException {
        int[] ids = {1, 2, 3, 4, 5, 6, 7, 8};
        try (PretrainedModel pretrained = PretrainedModel.open(MODEL); Device device = Device.open(Backend.CPU);
                Stream stream = device.newStream(); LlamaModel model = pretrained.load(stream, Quantization.nf4(), DType.F32)) {
            assertEquals(LAYERS, model.config().layers());
            model.attachAdapters(_ -> Optional.of(new LoraSettings(4, 8, false, 0)), 1);
            profile = StepProfile.of(model, TokenBatch.of(List.of(ids), List.of(ids)), 1);
        }
    }

    @Test
    void theStepHasItsPhasesAndThoseTheirLayersInTheOrderOfTheWork() {
        assertEquals(List.of("zero gradients", "forward", "backward", "optimizer"), names(profile.step().children()));
        assertEquals(List.of("model.layers.0", "model.layers.1"), layers("forward"));
        assertEquals(List.of("model.layers.1", "model.layers.0"), layers("backward"));
        assertEquals(List.of(), layers("optimizer"));
    }

    @Test
    void everyOperationOfTheModelIsThereAsOftenAsItRuns() {
        Map<String, Integer> calls = profile.totals().stream()
                .collect(Collectors.toMap(StepProfile.Total::operation, StepProfile.Total::calls));
        assertEquals(2 * LAYERS, calls.get("lora.project")); // q, k, v together, gate and up
        assertEquals(5 * LAYERS, calls.get("lora.apply"));
        assertEquals(2 * LAYERS, calls.get("lora.forward"));
        assertEquals(7 * LAYERS, calls.get("lora.backward"));
        assertEquals(2 * LAYERS + 1, calls.get("norm.forward"));
        assertEquals(2 * LAYERS, calls.get("rope.forward"));
        assertEquals(LAYERS, calls.get("attention.backward"));
        assertEquals(1, calls.get("loss.linear_cross_entropy"));
        assertEquals(1, calls.get("optim.adamw"));
    }

    @Test
    void everySpanLiesWithinItsParentBehindItsElderSibling() {
        profile.step().all().forEach(span -> {
            long last = span.beginNanos();
            for (Span child : span.children()) {
                assertTrue(child.beginNanos() >= last && child.endNanos() >= child.beginNanos() && child.endNanos() <= span.endNanos(),
                        () -> child.name() + " in " + span.name());
                assertTrue(child.kind().compareTo(span.kind()) > 0);
                last = child.endNanos();
            }
        });
    }

    @Test
    void thePhasesAreTheWholeStepAndTheOperationsNoMoreThanIt() {
        Span step = profile.step();
        assertEquals(step.nanos(), step.children().stream().mapToLong(Span::nanos).sum());
        assertTrue(profile.totals().stream().mapToLong(StepProfile.Total::nanos).sum() <= step.nanos());
        Work total = profile.totals().stream().map(StepProfile.Total::work).reduce(new Work(0, 0, 0), Work::plus);
        assertEquals(step.work().flops(), total.flops(), 1e-9 * total.flops());
        assertEquals(step.work().bytes(), total.bytes(), 1e-9 * total.bytes());
    }

    @Test
    void theTraceIsAnArrayOfCompleteEventsThatNestByTime() throws IOException {
        JsonNode events = new ObjectMapper().readTree(PerfettoTrace.json(profile));
        List<Span> spans = profile.step().all().toList();
        assertEquals(spans.size(), events.size());
        for (int i = 0; i < spans.size(); i++) {
            JsonNode event = events.get(i);
            assertEquals(spans.get(i).name(), event.get("name").asText());
            assertEquals("X", event.get("ph").asText());
            assertEquals(spans.get(i).nanos() / 1e3, event.get("dur").asDouble(), 1e-9);
            assertEquals((spans.get(i).beginNanos() - spans.getFirst().beginNanos()) / 1e3, event.get("ts").asDouble(), 1e-9);
            assertTrue(event.get("pid").isInt() && event.get("tid").isInt() && event.get("cat").isTextual(), event::toString);
            assertEquals(spans.get(i).work().flops(), event.at("/args/flops").asDouble());
        }
        assertEquals(0, events.get(0).get("ts").asDouble());
    }

    @Test
    void aFloorIsTheLargerOfWhatMemoryAndArithmeticTake() {
        Floors floors = new Floors(10, 20, 100.0, null);
        assertEquals(30 / 10.0 + 5 / 20.0, floors.nanos(new Work(0, 20, 15), false)); // 15 copied, 5 read besides
        assertEquals(7, floors.nanos(new Work(700, 20, 15), true));
        assertEquals(3, new Floors(10, 20, 100.0, 200.0).nanos(new Work(600, 1, 1), true));
    }

    private static List<String> layers(String phase) {
        return names(
                profile.step().children().stream().filter(span -> span.name().equals(phase)).findFirst().orElseThrow().children().stream()
                        .filter(span -> span.kind() == Span.Kind.LAYER).toList());
    }

    private static List<String> names(List<Span> spans) {
        return spans.stream().map(Span::name).toList();
    }
}
