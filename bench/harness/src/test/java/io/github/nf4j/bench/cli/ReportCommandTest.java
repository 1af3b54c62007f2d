package io.github.nf4j.bench.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.github.nf4j.bench.result.CaseResult;
import io.github.nf4j.bench.result.CaseResult.Peer;
import io.github.nf4j.bench.result.ResultFiles;
import io.github.nf4j.bench.result.Samples;
import io.github.nf4j.bench.stats.Summary;
import java.awt.image.BufferedImage;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import javax.imageio.ImageIO;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class ReportCommandTest {
    @TempDir
    private Path folder;

    private Path page() {
        return folder.resolve("page.html");
    }

    @Test
    void theLatestRunStandsBesideTheBandOfThoseBefore() throws IOException {
        List<Path> past = new ArrayList<>();
        for (double median : new double[] {100, 110, 90, 105, 95}) {
            past.add(file(past.size() + 1, "box", row("x", median)));
        }
        // quartiles 95 and 105: three times a tenth
        assertTrue(report(past, file(9, "box", row("x", 129))).out().contains("/cold | 5 | 100 | 76.9 … 130 | 129 |  |"));
        assertTrue(Files.readString(page()).contains("<title>band: 76.9 … 130 us</title>"));
        assertTrue(report(past, file(9, "box", row("x", 131))).out().contains(" | 131 | slower |"));
        assertTrue(report(past, file(9, "box", row("x", 76))).out().contains(" | 76.0 | faster |"));
        // four runs say nothing of their spread: a tenth, as compare's threshold
        assertTrue(report(past.subList(1, 5), file(9, "box", row("x", 115))).out().contains(" | 4 | 100 | 90.9 … 110 | 115 | slower |"));
    }

    @Test
    void onlyMeasuredRowsOfTheSameMachineAreHistory() throws IOException {
        Path other = file(1, "other", row("x", 50));
        Path skipped = file(2, "box", Samples.row("x", CaseResult.Status.SKIPPED, "no memory"));
        Path latest = file(3, "box", row("x", 100), row("new", 100));
        CommandRun run = report(List.of(other, skipped), latest);
        assertTrue(run.err().contains("1 of 3 files are of other machines"), run::toString);
        assertFalse(run.out().contains("runs before") || Files.readString(page()).contains("band:"), run::toString);
        CommandRun with = report(List.of(other, skipped, file(4, "box", row("x", 100))), file(5, "box", row("x", 100), row("new", 1)));
        assertTrue(with.out().contains("/cold | 1 | 100 | 90.9 … 110 | 100 |  |"), with::toString);
        assertEquals(1, with.out().lines().filter(line -> line.startsWith("| new/")).count(), with::toString); // not in the history
    }

    /// They have many peers of other kinds, and a table.
    @Test
    void trainingStepsAreNotInThePictureOfPeers() throws IOException {
        Path png = folder.resolve("peers.png");
        CaseResult steps = Samples.steps(300, Samples.stepPeer("peft-lora-f32", 400));
        CommandRun refused = CommandRun.of("report", file(1, "box", steps).toString(), "--png", png.toString());
        assertEquals(2, refused.exitCode());
        assertTrue(refused.err().contains("no operation was measured beside a peer") && Files.notExists(png), refused::toString);
        CaseResult plain = row("nf4.matmul", 100);
        CaseResult product = new CaseResult(plain.id(), plain.key(), plain.repro(), plain.status(), null, plain.work(), plain.verify(),
                plain.timing(), plain.stats(), plain.rate(),
                List.of(new Peer("openblas", null, null, new double[] {80}, Summary.of(80), 1.25)));
        Path both = file(2, "box", product, steps);
        assertEquals(0, CommandRun.of("report", both.toString(), "--png", png.toString(), "--html", page().toString()).exitCode());
        BufferedImage with = ImageIO.read(png.toFile());
        CommandRun.of("report", file(3, "box", product).toString(), "--png", png.toString());
        assertEquals(ImageIO.read(png.toFile()).getHeight(), with.getHeight());
        String html = Files.readString(page());
        assertTrue(html.contains("openblas model.q: 1.25") && !html.contains("peft-lora-f32 model:"), html);
        assertTrue(html.contains("Training steps") && html.contains("<td>peft-lora-f32</td>"), html);
    }

    @Test
    void aRunOfASuiteWithGoalsIsJudgedAgain() throws IOException {
        CaseResult steps = Samples.steps(300, Samples.stepPeer("nf4j-lora-f32", 400));
        Path smoke = file(1, "box", steps);
        assertFalse(CommandRun.of("report", smoke.toString()).out().contains("goals met"));
        Path limits = Files.writeString(smoke, Files.readString(smoke).replace("\"suite\" : \"smoke\"", "\"suite\" : \"limits\""));
        CommandRun run = CommandRun.of("report", limits.toString(), "--html", page().toString());
        assertEquals(0, run.exitCode(), run::toString);
        // no slower than LoRA; faster than PEFT and smaller: not measured
        assertTrue(run.out().contains("| nf4j-lora-f32 1.00 us | 2.00 us | 1.000 | 1.000 | met |"), run::toString);
        assertTrue(run.out().strip().endsWith("1 of 3 goals met"), run::toString);
        assertTrue(Files.readString(page()).contains("<h2>Goals</h2>"));
    }

    private CommandRun report(List<Path> past, Path latest) {
        List<String> arguments = new ArrayList<>(List.of("report", latest.toString(), "--html", page().toString()));
        past.forEach(file -> arguments.add(file.toString()));
        CommandRun run = CommandRun.of(arguments.toArray(String[]::new));
        assertEquals(0, run.exitCode(), run::toString);
        return run;
    }

    private static CaseResult row(String op, double median) {
        return Samples.row(op, 0.99 * median, median, 1.01 * median);
    }

    private Path file(int day, String fingerprint, CaseResult... rows) throws IOException {
        Path file = folder.resolve("day" + day + ".json");
        ResultFiles.write(file, Samples.file(fingerprint, rows));
        return Files.writeString(file, Files.readString(file).replace("20260101T000000Z-1", "day-" + day)
                .replace("2026-01-01T", "2026-01-0" + day + "T"));
    }
}
