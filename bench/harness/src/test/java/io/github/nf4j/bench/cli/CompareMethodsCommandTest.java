package io.github.nf4j.bench.cli;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.github.nf4j.bench.methods.Method;
import io.github.nf4j.bench.methods.MethodStudy;
import java.awt.image.BufferedImage;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import javax.imageio.ImageIO;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/// Real processes on a tiny model.
class CompareMethodsCommandTest {
    private static final Path MODELS = Path.of(System.getProperty("nf4j.root"), "src/test/resources/fixtures/models").toAbsolutePath();

    @TempDir
    private Path folder;

    private CommandRun compare(Object... options) {
        return CommandRun.with("compare-methods",
                Map.of("--model", MODELS.resolve("llama-tied").toString(), "--lengths", "64,8", "--rounds", "1",
                        "--steps", "2", "--batch-size", "2", "--rank", "2", "--memory", "2g"),
                options);
    }

    @Test
    void aStudyIsMeasuredReportedAndGoesOnWhereItWasCut() throws Exception {
        Path data = Files.writeString(folder.resolve("data.jsonl"),
                "{\"prompt\": \"one and one\", \"completion\": \" is two\"}\n".repeat(3));
        Path out = folder.resolve("out");
        CommandRun run = compare("--data", data, "--eval", data, "--out", out);
        assertEquals(0, run.exitCode(), run::toString);
        Path file = out.resolve("results.json");
        MethodStudy study = MethodStudy.read(file);
        for (Method method : Method.values()) {
            assertTrue(study.hasSteps(method, 8, 0) && study.hasSteps(method, 64, 0), method::title);
            assertTrue(study.loss(method).orElseThrow().after() < study.loss(method).orElseThrow().before(), method::title);
        }
        for (MethodStudy.Steps steps : study.steps()) {
            assertEquals(4096 / steps.length(), steps.seconds().length);
            assertTrue(steps.failure() == null && steps.peakBytes() > steps.weightBytes() && steps.weightBytes() > 0, steps::toString);
        }
        assertTrue(weights(study, Method.QLORA_F32) < weights(study, Method.LORA_F32), run::toString);

        String table = Files.readString(out.resolve("methods.md"));
        for (String line : List.of("| | LoRA, F32 | LoRA, BF16 | QLoRA, F32 | QLoRA, BF16 |", "| tokens/s, 64 tokens | ",
                "| longest sequence in 2.00 GiB | ",
                "| held-out loss after 2 steps | ")) {
            assertTrue(table.contains(line) && run.out().contains(line), table);
        }
        String page = Files.readString(out.resolve("methods.html"));
        assertTrue(page.contains("<svg") && page.contains("<td>frozen weights</td>") && !page.contains("src="), page);
        BufferedImage picture = ImageIO.read(out.resolve("methods.png").toFile());
        assertTrue(picture.getWidth() > 1000 && picture.getHeight() > 500);

        // cut as a kill would have done: what is there stays, the rest is measured
        MethodStudy cut = new MethodStudy(study.setup(), study.machine(), study.gitSha(), study.steps().subList(0, 7),
                study.losses().subList(0, 3));
        cut.write(file);
        assertEquals(2, compare("--data", data, "--eval", data, "--out", out).exitCode());
        CommandRun resumed = compare("--data", data, "--eval", data, "--out", out, "--resume");
        assertEquals(0, resumed.exitCode(), resumed::toString);
        assertEquals(2, resumed.out().lines().filter(line -> line.matches(" *\\d+/12 .*")).count(), resumed::toString);
        MethodStudy whole = MethodStudy.read(file);
        assertEquals(8, whole.steps().size());
        assertArrayEquals(study.steps().getFirst().seconds(), whole.steps().getFirst().seconds());
        // training is the same again
        assertEquals(study.loss(Method.QLORA_BF16), whole.loss(Method.QLORA_BF16));
        CommandRun other = compare("--data", data, "--eval", data, "--out", out, "--steps", "3", "--resume");
        assertEquals(2, other.exitCode());
        assertTrue(other.err().contains("was begun"), other::toString);
    }

    @Test
    void whatCannotBeMeasuredIsRefusedBefore() {
        Path out = folder.resolve("out");
        assertEquals(2, compare("--out", out, "--lengths", "64").exitCode());
        assertEquals(2, compare("--out", out, "--memory", "much").exitCode());
        assertEquals(2, compare("--out", out, "--data", "only.jsonl").exitCode());
        assertEquals(2, compare("--out", out, "--rounds", "0").exitCode());
        CommandRun tooLong = compare("--out", out, "--lengths", "64,1000000");
        assertEquals(2, tooLong.exitCode());
        assertTrue(tooLong.err().contains("tokens at most"), tooLong::toString);
        assertEquals(2, compare("--out", out, "--model", folder.resolve("none")).exitCode());
        assertTrue(Files.notExists(out));
    }

    private static long weights(MethodStudy study, Method method) {
        return study.steps().stream().filter(steps -> steps.method() == method).findFirst().orElseThrow().weightBytes();
    }
}
