package io.github.nf4j.bench.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.github.nf4j.bench.result.CaseResult;
import io.github.nf4j.bench.result.CaseResult.Status;
import io.github.nf4j.bench.result.ResultFiles;
import io.github.nf4j.bench.result.Samples;
import java.awt.image.BufferedImage;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.SplittableRandom;
import java.util.stream.IntStream;
import javax.imageio.ImageIO;
import javax.xml.parsers.DocumentBuilderFactory;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/// Every exit code of the gate, and what it writes.
class CompareCommandTest {
    @TempDir
    private Path folder;

    private final SplittableRandom random = new SplittableRandom(1);

    @Test
    void sameTimesAreFine() throws IOException {
        CommandRun run = compare(file("a", "box", around("x", 100)), file("b", "box", around("x", 100)));
        assertEquals(0, run.exitCode(), run::toString);
        assertTrue(run.out().contains("| SAME | x/"), run::toString);
    }

    @Test
    void aSlowerRowIsARegressionAndAFasterOneIsNot() throws IOException {
        Path base = file("a", "box", around("x", 100), around("y", 100));
        Path slower = file("b", "box", around("x", 100), around("y", 120));
        CommandRun run = compare(base, slower);
        assertEquals(1, run.exitCode(), run::toString);
        assertTrue(run.out().contains("| SLOW | y/") && run.out().contains("1 SLOW, 1 SAME of 2"), run::toString);
        CommandRun reversed = compare(slower, base);
        assertEquals(0, reversed.exitCode(), reversed::toString);
        assertTrue(reversed.out().contains("| FAST | y/"), reversed::toString);
        assertEquals(0, compare(base, slower, "--fail-on", "ambg").exitCode());
        assertEquals(0, compare(base, slower, "--threshold", "30%").exitCode());
    }

    @Test
    void unusableFilesAndNothingInCommonAreErrors() throws IOException {
        Path base = file("a", "box", around("x", 100));
        assertEquals(2, compare(base, folder.resolve("none.json")).exitCode());
        assertEquals(2, compare(base, Files.writeString(folder.resolve("cut.json"), "{\"schema\": \"nf4j-bench/1.0\", ")).exitCode());
        Path future = Files.writeString(folder.resolve("future.json"), Files.readString(base).replace("bench/1.0", "bench/3.0"));
        CommandRun newer = compare(base, future);
        assertEquals(2, newer.exitCode());
        assertTrue(newer.err().contains("newer"), newer::toString);
        CommandRun nothing = compare(base, file("b", "box", around("y", 100)));
        assertEquals(2, nothing.exitCode());
        assertTrue(nothing.err().contains("nothing was measured in both"), nothing::toString);
        CommandRun unmeasured = compare(base, file("c", "box", Samples.row("x", Status.SKIPPED, "no memory")));
        assertEquals(2, unmeasured.exitCode(), unmeasured::toString);
        Path nowhere = folder.resolve("nowhere");
        CommandRun unwritable = compare(base, base, "--html", nowhere.resolve("page.html").toString());
        assertEquals(2, unwritable.exitCode());
        assertTrue(unwritable.err().contains(nowhere + "/") && unwritable.err().contains("no such file or folder"), unwritable::toString);
        assertEquals(2, compare(base, base, "--fail-on", "everything").exitCode());
        assertEquals(2, compare(base, base, "--threshold", "-1").exitCode());
    }

    @Test
    void otherMachinesAreNotCompared() throws IOException {
        Path base = file("a", "box", around("x", 100));
        Path other = file("b", "other", around("x", 150));
        CommandRun run = compare(base, other);
        assertEquals(3, run.exitCode(), run::toString);
        assertTrue(run.err().contains("box") && run.err().contains("other"), run::toString);
        assertEquals(1, compare(base, other, "--ignore-env").exitCode());
    }

    @Test
    void tooLittleEvidenceFailsOnlyWhereThatIsAsked() throws IOException {
        Path base = file("a", "box", around("x", 100), around("y", 100));
        Path few = file("b", "box", Samples.row("x", 150, 151, 152), around("y", 100));
        assertEquals(0, compare(base, few).exitCode());
        assertEquals(4, compare(base, few, "--fail-on", "slow,ambg").exitCode());
        Path noisy = file("c", "box", Samples.row("x", Status.NOISY, "busy", times(200)), around("y", 100));
        CommandRun run = compare(base, noisy, "--fail-on", "ambg");
        assertEquals(4, run.exitCode(), run::toString);
        Path missing = file("d", "box", around("y", 100));
        assertEquals(0, compare(base, missing).exitCode());
        assertEquals(4, compare(base, missing, "--fail-on", "missing").exitCode());
        Path skipped = file("e", "box", Samples.row("x", Status.SKIPPED, "no memory"), around("y", 100));
        assertEquals(4, compare(base, skipped, "--fail-on", "missing").exitCode());
    }

    @Test
    void wrongResultsAreWorseThanSlowOnes() throws IOException {
        Path base = file("a", "box", around("x", 100), around("y", 100));
        CommandRun run = compare(base, file("b", "box", Samples.row("x", Status.VOID, "wrong"), around("y", 200)));
        assertEquals(5, run.exitCode(), run::toString);
        assertTrue(run.out().contains("| WRONG | x/"), run::toString);
    }

    @Test
    void aNoisyHistoryWidensTheThreshold() throws IOException {
        List<String> options = new ArrayList<>(List.of("--baselines", folder.resolve("kept").toString()));
        double[] medians = {100, 130, 90, 120, 80};
        for (int i = 0; i < medians.length; i++) {
            Path past = file("past" + i, "box", around("x", medians[i]));
            Files.writeString(past, Files.readString(past).replace("20260101T000000Z-1", "past-" + i));
            assertEquals(0, CommandRun.of("baseline", "add", past.toString(), "--baselines", folder.resolve("kept").toString()).exitCode());
        }
        Path base = file("a", "box", around("x", 100));
        Path slower = file("b", "box", around("x", 120));
        assertEquals(1, compare(base, slower).exitCode());
        assertEquals(0, compare(base, slower, options.toArray(String[]::new)).exitCode());
    }

    @Test
    void thePromotedBaselineIsFoundByMachineAndSuite() throws IOException {
        String kept = folder.resolve("kept").toString();
        Path base = file("a", "box", around("x", 100));
        assertEquals(2, CommandRun.of("compare", "baseline", base.toString(), "--baselines", kept).exitCode());
        assertEquals(0, CommandRun.of("baseline", "promote", base.toString(), "--baselines", kept).exitCode());
        Path slower = file("b", "box", around("x", 120));
        assertEquals(1, CommandRun.of("compare", "baseline", slower.toString(), "--baselines", kept).exitCode());
        assertTrue(CommandRun.of("baseline", "list", "--baselines", kept).out().contains("smoke.json"));
        Path evil = Files.writeString(folder.resolve("evil.json"), Files.readString(base).replace("\"box\"", "\"../../box\""));
        assertEquals(2, CommandRun.of("baseline", "add", evil.toString(), "--baselines", kept).exitCode());
        Path unfinished = Files.writeString(folder.resolve("part.json"), Files.readString(base).replace("\"finished\" : true",
                "\"finished\" : false"));
        assertEquals(2, CommandRun.of("baseline", "promote", unfinished.toString(), "--baselines", kept).exitCode());
        assertEquals(2, CommandRun.of("baseline").exitCode());
    }

    @Test
    void reportsAreMadeFromFilesAlone() throws Exception {
        Path base = file("a", "box", around("x", 100), around("y<&>", 100));
        Path slower = file("b", "box", around("x", 100), around("y<&>", 120));
        Path html = folder.resolve("page.html");
        Path xml = folder.resolve("tests.xml");
        Path markdown = folder.resolve("table.md");
        assertEquals(1,
                compare(base, slower, "--html", html.toString(), "--junit", xml.toString(), "--md", markdown.toString()).exitCode());
        var suite = DocumentBuilderFactory.newDefaultInstance().newDocumentBuilder().parse(xml.toFile()).getDocumentElement();
        assertEquals("2", suite.getAttribute("tests"));
        assertEquals("1", suite.getAttribute("failures"));
        assertTrue(Files.readString(markdown).contains("| SLOW | y<&>"));
        String page = Files.readString(html);
        assertTrue(page.contains("<svg") && page.contains("y&lt;&amp;&gt;") && !page.contains("y<&>") && !page.contains("src="), page);
        CommandRun report = CommandRun.of("report", base.toString(), slower.toString(), "--html", html.toString());
        assertEquals(0, report.exitCode(), report::toString);
        assertTrue(report.out().contains("| x/model.q/"), report::toString);
        assertTrue(Files.readString(html).contains("Roofline") && Files.readString(html).contains("History"));
        assertTrue(Files.readString(html).contains("Samples of y&lt;&amp;&gt;") && !Files.readString(html).contains("Samples of x"));
        assertEquals(2, CommandRun.of("report", folder.resolve("none.json").toString()).exitCode());
    }

    @Test
    void thePictureOfPeersIsThatOfAllRowsThatHaveSome() throws Exception {
        CaseResult plain = around("x", 100);
        Path none = file("a", "box", plain);
        Path png = folder.resolve("peers.png");
        CommandRun refused = CommandRun.of("report", none.toString(), "--png", png.toString());
        assertEquals(2, refused.exitCode());
        assertTrue(refused.err().contains("no operation was measured beside a peer") && Files.notExists(png), refused::toString);
        CaseResult.Peer peer = new CaseResult.Peer("openblas", null, null, times(80), plain.stats(), 1.25);
        CaseResult.Peer missing = new CaseResult.Peer("mkl", null, "not installed", null, null, null);
        CaseResult beside = new CaseResult(plain.id(), plain.key(), plain.repro(), plain.status(), null, plain.work(), plain.verify(),
                plain.timing(), plain.stats(), plain.rate(), List.of(peer, missing));
        Path some = file("b", "box", beside, around("y", 100));
        Path html = folder.resolve("peers.html");
        assertEquals(0, CommandRun.of("report", some.toString(), "--png", png.toString(), "--html", html.toString()).exitCode());
        BufferedImage image = ImageIO.read(png.toFile());
        assertEquals(2 * 960, image.getWidth());
        assertTrue(Files.readString(html).contains("openblas model.q: 1.25"), () -> "no dot for the peer");
    }

    private static CommandRun compare(Path base, Path candidate, String... options) {
        List<String> arguments = new ArrayList<>(List.of("compare", base.toString(), candidate.toString()));
        arguments.addAll(List.of(options));
        return CommandRun.of(arguments.toArray(String[]::new));
    }

    private Path file(String name, String fingerprint, CaseResult... rows) throws IOException {
        Path file = folder.resolve(name + ".json");
        ResultFiles.write(file, Samples.file(fingerprint, rows));
        return file;
    }

    private CaseResult around(String op, double median) {
        return Samples.row(op, times(median));
    }

    private double[] times(double median) {
        return IntStream.range(0, 50).mapToDouble(i -> median * random.nextDouble(0.98, 1.02)).toArray();
    }
}
