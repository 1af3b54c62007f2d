package io.github.nf4j.bench.cli;

/// What scripts and CI decide by.
final class ExitCode {
    /// Nothing to object to.
    static final int OK = 0;
    /// A regression, confirmed where that is possible; in the suite `limits`, a goal that is missed.
    static final int SLOW = 1;
    /// Wrong usage, unreadable files, nothing that matches, or a failure of the harness.
    static final int UNUSABLE = 2;
    /// The results are of different machines.
    static final int OTHER_MACHINE = 3;
    /// Not enough evidence, where that was asked for.
    static final int AMBIGUOUS = 4;
    /// An operation computed something wrong: its figures are void.
    static final int WRONG = 5;

    private ExitCode() {
    }
}
