package io.github.nf4j.bench.cli;

import io.github.nf4j.bench.cases.BenchCase;
import java.io.PrintWriter;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Spec;

/// `nf4j-bench list`.
@Command(name = "list", mixinStandardHelpOptions = true,
        description = "Lists the cases of a suite: with --scope load the files that can be read and written, else the operations.")
final class ListCommand implements Runnable {
    @Spec
    private CommandSpec spec;

    @Mixin
    private CaseOptions options;

    @Override
    public void run() {
        PrintWriter out = spec.commandLine().getOut();
        for (BenchCase benchCase : options.cases()) {
            out.printf("%-28s %-60s %8.2f GFLOP %9.2f MB%n", benchCase.op(), benchCase.shapeText(), benchCase.work().flops() / 1e9,
                    benchCase.work().bytes() / 1e6);
        }
        out.flush();
    }
}
