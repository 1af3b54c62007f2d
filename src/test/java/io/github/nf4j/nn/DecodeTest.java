package io.github.nf4j.nn;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import io.github.nf4j.Backend;
import io.github.nf4j.Device;
import io.github.nf4j.FixtureFile;
import io.github.nf4j.Stream;
import io.github.nf4j.Tensor;
import io.github.nf4j.autograd.Tape;
import io.github.nf4j.autograd.TensorPool;
import java.io.IOException;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/// Generation with the key-value cache.
class DecodeTest {
    @ParameterizedTest
    @CsvSource({
            "REFERENCE, models/llama-tied", "CPU, models/llama-tied", "CPU, models/llama-sharded", "CPU, models/qwen2",
            "REFERENCE, models/mistral-window", "CPU, models/mistral-window"})
    void continuesPromptsAsTransformersDoes(Backend backend, String fixture) throws IOException {
        JsonNode expected = FixtureFile.json(fixture + "/expected.json");
        List<int[]> prompts = rows(expected.get("tokens"));
        List<int[]> continuations = rows(expected.get("greedy"));
        try (Device device = Device.open(backend);
                Stream stream = device.newStream();
                LlamaModel model = Checkpoints.load(stream, fixture);
                TensorPool pool = new TensorPool(stream);
                KvCache cache = model.newCache(prompts.size(), 64)) {
            List<int[]> generated = greedy(model, pool, cache, prompts, continuations.getFirst().length);
            for (int s = 0; s < prompts.size(); s++) {
                assertArrayEquals(continuations.get(s), generated.get(s), "continuation of prompt " + s);
            }
        }
    }

    /// Prefill in pieces, with sequences that pause, leads to the logits of one pass over the whole sequences.
    @ParameterizedTest
    @CsvSource({"REFERENCE, models/llama-tied", "CPU, models/llama-tied", "CPU, models/mistral-window"})
    void piecesOfAPromptGiveTheLogitsOfTheWhole(Backend backend, String fixture) throws IOException {
        List<int[]> prompts = rows(FixtureFile.json(fixture + "/expected.json").get("tokens")).subList(0, 2);
        int[] none = {};
        try (Device device = Device.open(backend);
                Stream stream = device.newStream();
                LlamaModel model = Checkpoints.load(stream, fixture);
                TensorPool pool = new TensorPool(stream);
                KvCache cache = model.newCache(2, 20)) {
            int[] first = prompts.get(0);
            int[] second = prompts.get(1);
            model.decode(pool, cache, List.of(Arrays.copyOfRange(first, 0, 5), none));
            model.decode(pool, cache, List.of(none, Arrays.copyOfRange(second, 0, 9)));
            model.decode(pool, cache, List.of(Arrays.copyOfRange(first, 5, first.length), Arrays.copyOfRange(second, 9, 10)));
            Tensor logits = model.decode(pool, cache, List.of(none, Arrays.copyOfRange(second, 10, second.length)));
            assertEquals(first.length, cache.length(0));
            for (int s = 0; s < 2; s++) {
                try (Tape tape = Tape.inference(pool)) {
                    Tensor whole = model.logits(tape, TokenBatch.of(List.of(prompts.get(s))));
                    Checkpoints.assertClose("sequence " + s, whole.rows(whole.rows() - 1, 1).toFloatArray(),
                            logits.rows(s, 1).toFloatArray(), 1e-5);
                }
            }
        }
    }

    @Test
    void aFullCacheIsRefusedAndKeepsWhatItHas() throws IOException {
        try (Device device = Device.open(Backend.CPU);
                Stream stream = device.newStream();
                LlamaModel model = Checkpoints.load(stream, "models/llama-tied");
                TensorPool pool = new TensorPool(stream);
                KvCache cache = model.newCache(1, 4)) {
            model.decode(pool, cache, List.of(new int[] {1, 2, 3}));
            IllegalArgumentException e = assertThrows(IllegalArgumentException.class,
                    () -> model.decode(pool, cache, List.of(new int[] {4, 5})));
            assertTrue(e.getMessage().contains("room for 4"), e.getMessage());
            assertEquals(3, cache.length(0));
            assertThrows(IllegalArgumentException.class, () -> model.decode(pool, cache, List.of()));
            cache.clear();
            model.decode(pool, cache, List.of(new int[] {1, 2, 3, 4}));
            assertEquals(4, cache.length(0));
        }
    }

    private static List<int[]> greedy(LlamaModel model, TensorPool pool, KvCache cache, List<int[]> prompts, int tokens) {
        List<int[]> generated = new ArrayList<>();
        prompts.forEach(_ -> generated.add(new int[tokens]));
        List<int[]> next = prompts;
        for (int t = 0; t < tokens; t++) {
            Tensor logits = model.decode(pool, cache, next);
            next = new ArrayList<>();
            for (int s = 0; s < prompts.size(); s++) {
                generated.get(s)[t] = largest(logits.rows(s, 1).toFloatArray());
                next.add(new int[] {generated.get(s)[t]});
            }
        }
        return generated;
    }

    private static int largest(float[] values) {
        int best = 0;
        for (int i = 1; i < values.length; i++) {
            best = values[i] > values[best] ? i : best;
        }
        return best;
    }

    private static List<int[]> rows(JsonNode lists) {
        List<int[]> rows = new ArrayList<>();
        for (JsonNode list : lists) {
            int[] row = new int[list.size()];
            Arrays.setAll(row, i -> list.get(i).intValue());
            rows.add(row);
        }
        return rows;
    }
}
