package io.github.nf4j.train;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;

class BatchesTest {
    /// Example `i` has `2 + i` tokens, all of them `i`.
    private static List<Example> examples(int count) {
        return IntStream.range(0, count).mapToObj(i -> {
            int[] ids = new int[2 + i];
            Arrays.fill(ids, i);
            return new Example(ids, ids.clone());
        }).toList();
    }

    /// The examples that steps `0` to `steps - 1` see, in order.
    private static List<Integer> seen(Batches batches, int steps) {
        List<Integer> seen = new ArrayList<>();
        for (int step = 0; step < steps; step++) {
            batches.step(step).forEach(batch -> batch.forEach(example -> seen.add(example.ids()[0])));
        }
        return seen;
    }

    @Test
    void withoutShufflingTheOrderIsTheFilesAndWrapsAround() {
        Batches batches = new Batches(examples(5), 2, 2, false, 1);
        assertEquals(List.of(0, 1, 2, 3, 4, 0, 1, 2), seen(batches, 2));
        assertEquals(2, batches.step(0).size());
    }

    @Test
    void everyEpochIsAnotherPermutationOfAllExamples() {
        Batches batches = new Batches(examples(12), 2, 2, true, 42);
        List<Integer> seen = seen(batches, 6);
        List<Integer> first = seen.subList(0, 12);
        List<Integer> second = seen.subList(12, 24);
        List<Integer> all = IntStream.range(0, 12).boxed().toList();
        assertEquals(all, first.stream().sorted().toList());
        assertEquals(all, second.stream().sorted().toList());
        assertFalse(first.equals(second));
        assertFalse(first.equals(seen(new Batches(examples(12), 2, 2, true, 43), 3)), "the seed decides");
    }

    @Test
    void aStepDependsOnItsNumberAlone() {
        List<Example> examples = examples(7);
        Batches fresh = new Batches(examples, 3, 1, true, 5);
        Batches used = new Batches(examples, 3, 1, true, 5);
        seen(used, 9);
        assertEquals(fresh.step(4), used.step(4));
    }

    @Test
    void aPassSeesEverythingOnce() {
        List<Example> examples = examples(5);
        assertEquals(List.of(examples.subList(0, 2), examples.subList(2, 4), examples.subList(4, 5)), Batches.pass(examples, 2));
    }

    @Test
    void epochsAreRoundedUpToSteps() {
        Batches batches = new Batches(examples(10), 2, 2, true, 1);
        assertEquals(3, batches.stepsOf(1));
        assertEquals(5, batches.stepsOf(2));
        assertEquals(2, batches.stepsOf(0.5));
        assertThrows(IllegalArgumentException.class, () -> batches.stepsOf(0));
        assertThrows(IllegalArgumentException.class, () -> batches.stepsOf(Double.NaN));
        assertThrows(IllegalArgumentException.class, () -> new Batches(examples(1), 0, 1, true, 1));
    }
}
