package io.github.nf4j.bench.methods;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.github.nf4j.bench.methods.MethodStudy.Loss;
import io.github.nf4j.bench.methods.MethodStudy.Setup;
import io.github.nf4j.bench.methods.MethodStudy.Steps;
import io.github.nf4j.bench.result.Machine;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import org.junit.jupiter.api.Test;

/// What is derived, from figures made up so that the right answer is plain.
class MethodStudyTest {
    private static final long MIB = 1 << 20;
    private static final Machine MACHINE = new Machine("box", "a processor", 2, "avx2", 32, 1024, null, false, "Linux", "6",
            new Machine.Jvm("v", "25", ""));

    private static MethodStudy study(List<Steps> steps, Loss... losses) {
        Setup setup = new Setup("model", "0", List.of(10, 100, 300), 2, 16, 2, "train.jsonl", "held.jsonl", 40, 8, 1e-3, 1100 * MIB, 600);
        return new MethodStudy(setup, MACHINE, null, steps, List.of(losses));
    }

    /// 100 MiB and 2 MiB a token in one round, 1 MiB less in the other.
    private static List<Steps> linear(Method method) {
        List<Steps> steps = new ArrayList<>();
        for (int length : new int[] {10, 100, 300}) {
            steps.add(new Steps(method, length, 0, null, 50 * MIB, (100 + 2 * length) * MIB, new double[] {1, 2}));
            steps.add(new Steps(method, length, 1, null, 50 * MIB, (99 + 2 * length) * MIB, new double[] {2, 8}));
        }
        return steps;
    }

    @Test
    void whatFitsLiesOnTheLineThroughTheLargestPeaks() {
        MethodStudy study = study(linear(Method.LORA_F32));
        assertEquals(Optional.of(700 * MIB), study.peakBytes(Method.LORA_F32, 300));
        assertEquals(Optional.of(500L), study.tokensThatFit(Method.LORA_F32)); // 1100 = 100 + 2 * 500
        assertEquals(Optional.empty(), study.tokensThatFit(Method.LORA_BF16));
        String table = MethodReport.markdown(study);
        assertTrue(table.contains("| longest sequence in 1.07 GiB | 500 | – | – | – |"), table);
        assertTrue(table.contains("| largest batch of 100 tokens in 1.07 GiB | 5 | – | – | – |"), table);
    }

    @Test
    void speedIsThatOfTheMedianStepOfAllRounds() {
        assertEquals(Optional.of(50.0), study(linear(Method.LORA_F32)).tokensPerSecond(Method.LORA_F32, 100)); // of 1, 2, 2, 8
    }

    @Test
    void whatFailedIsSaidAndLeavesItsCellsEmpty() {
        MethodStudy study = study(List.of(new Steps(Method.QLORA_F32, 300, 0, "not enough | memory", 0, 0, new double[0])),
                new Loss(Method.LORA_F32, null, 5, 2.5), new Loss(Method.LORA_BF16, "diverged", 0, 0));
        assertEquals(Optional.empty(), study.tokensPerSecond(Method.QLORA_F32, 300));
        assertEquals(Optional.empty(), study.weightBytes(Method.QLORA_F32));
        String table = MethodReport.markdown(study);
        assertTrue(table.contains("- QLoRA, F32, 300 tokens: not enough \\| memory\n") && table.contains("- LoRA, BF16, loss: diverged\n"),
                table);
        assertTrue(table.contains("| held-out loss after 40 steps | 2.5000 | – | – | – |"), table);
        assertTrue(MethodCharts.of(study).svg().startsWith("<svg"));
    }

    @Test
    void theModelsOwnLimitIsTheLongest() {
        List<Steps> small = linear(Method.LORA_F32).stream().map(one -> new Steps(one.method(), one.length(), one.round(), null, 1,
                one.peakBytes() / 2, one.seconds())).toList();
        String table = MethodReport.markdown(study(small));
        assertTrue(table.contains("| longest sequence in 1.07 GiB | 600 (the model's limit) |"), table);
    }
}
