package io.github.nf4j.bench.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.github.nf4j.bench.regress.Judge.Judgement;
import io.github.nf4j.bench.stats.Verdict;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import picocli.CommandLine;

/// `selftest` and `regress` as scripts see them. The exit codes of `compare` are tested beside it.
class GateCommandsTest {
    @TempDir
    private Path folder;

    private static CommandRun selftest(Path out, Object... more) {
        return CommandRun.with("selftest",
                Map.of("--op", "^rope.forward$", "--runs", "1", "--case-budget", "200ms", "--out", out.toString()), more);
    }

    /// One judgement of each kind, of real processes. What they say is up to the machine, so the verdicts are then written by hand.
    @Test
    void aCalibrationIsKeptGoesOnWhereItWasCutAndEndsWithItsTable() throws IOException {
        Path out = folder.resolve("self.jsonl");
        CommandRun run = selftest(out);
        assertTrue(run.exitCode() == ExitCode.OK || run.exitCode() == ExitCode.AMBIGUOUS, run::toString);
        List<String> lines = Files.readAllLines(out);
        assertEquals(1 + 3, lines.size());
        assertTrue(run.out().contains("| 10 % slower | 1 | "), run::toString);
        assertEquals(2, selftest(out).exitCode());

        // 50 of each, one false alarm, all of the 10 % found: good enough
        String[] verdicts = {"SAME", "AMBIGUOUS", "SLOW"};
        StringBuilder many = new StringBuilder(lines.getFirst()).append('\n');
        for (int number = 0; number < 50; number++) {
            for (int kind = 0; kind < verdicts.length; kind++) {
                String verdict = number == 7 && kind == 0 ? "SLOW" : verdicts[kind];
                many.append(lines.get(1 + kind).replaceFirst("\"number\":0", "\"number\":" + number)
                        .replaceFirst("\"verdict\":\"\\w+\"", "\"verdict\":\"" + verdict + "\"")).append('\n');
            }
        }
        Files.writeString(out, many + lines.get(1).substring(0, 40)); // and a line that a kill cut short
        CommandRun good = selftest(out, "--runs", "50", "--resume");
        assertEquals(ExitCode.OK, good.exitCode(), good::toString);
        assertTrue(good.out().contains("| the same | 50 | 1 | 0 | 49 | 0 |") && good.out().contains("| 5 % slower | 50 | 0 | 0 | 0 | 50 |")
                && good.out().contains("| 10 % slower | 50 | 50 | 0 | 0 | 0 |"), good::toString);
        assertEquals(many.toString(), Files.readString(out));

        Files.writeString(out, many.toString().replaceFirst("SAME", "SLOW")); // two false alarms
        assertEquals(ExitCode.AMBIGUOUS, selftest(out, "--runs", "50", "--resume").exitCode());
        assertEquals(ExitCode.UNUSABLE, selftest(folder.resolve("new.jsonl"), "--runs", "0").exitCode());
    }

    @Test
    void aCalibrationOfAnotherSetupIsNotGoneOnWith() throws IOException {
        Path out = folder.resolve("self.jsonl");
        Files.writeString(out, """
                {"fingerprint":"box","cpu":"a","cores":2,"library":"0","started":"2026-01-01","threshold":0.03,"pass_seconds":0.2}
                """);
        CommandRun other = selftest(out, "--resume");
        assertEquals(ExitCode.UNUSABLE, other.exitCode());
        assertTrue(other.err().contains("was begun as"), other::toString);
        Files.writeString(out, "{\"fingerprint\":\n");
        assertEquals(ExitCode.UNUSABLE, selftest(out, "--resume").exitCode());
        Files.writeString(out, "");
        assertEquals(ExitCode.UNUSABLE, selftest(out, "--resume").exitCode());
        assertEquals(ExitCode.UNUSABLE, selftest(folder.resolve("none.jsonl"), "--resume").exitCode());
    }

    @Test
    void regressEndsWithTheWorstThatItFound() {
        Judgement same = judgement(Verdict.SAME, null, false);
        Judgement fast = judgement(Verdict.FAST, null, false);
        Judgement slow = judgement(Verdict.SLOW, null, false);
        Judgement ambiguous = judgement(Verdict.AMBIGUOUS, null, false);
        Judgement failed = judgement(Verdict.AMBIGUOUS, "the process ended", false);
        Judgement wrong = judgement(Verdict.AMBIGUOUS, "wrong", true);
        assertEquals(ExitCode.OK, regress("slow", same, fast, ambiguous, failed));
        assertEquals(ExitCode.SLOW, regress("slow", same, slow));
        assertEquals(ExitCode.OK, regress("ambg", same, slow));
        assertEquals(ExitCode.AMBIGUOUS, regress("slow,ambg", same, ambiguous));
        assertEquals(ExitCode.AMBIGUOUS, regress("slow,missing", same, failed));
        assertEquals(ExitCode.WRONG, regress("slow", slow, wrong));
        assertEquals(ExitCode.UNUSABLE, regress("slow", failed, failed));
    }

    private static int regress(String failOn, Judgement... judgements) {
        GateOptions gate = CommandLine.populateCommand(new GateOptions(), "--fail-on", failOn.toUpperCase(Locale.ROOT));
        return RegressCommand.exitCode(List.of(judgements), gate);
    }

    private static Judgement judgement(Verdict verdict, String failure, boolean wrong) {
        return new Judgement(verdict, null, List.of(), failure, wrong);
    }

    @Test
    void regressRefusesWhatItCannotBuild() {
        CommandRun unknown = CommandRun.of("regress", "--base", "no-such-revision", "--op", "rope");
        assertEquals(ExitCode.UNUSABLE, unknown.exitCode());
        assertTrue(unknown.err().contains("no-such-revision"), unknown::toString);
    }
}
