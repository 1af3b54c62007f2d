package io.github.nf4j.bench.cases;

import java.util.function.Consumer;
import java.util.function.IntConsumer;

/// One operation with its buffers, ready to be called.
///
/// @param call   runs it on one set of buffers, given its index
/// @param verify compares what the call on set 0 leaves with the reference; runs that call itself
public record Subject(IntConsumer call, Consumer<Verifier> verify) {
}
