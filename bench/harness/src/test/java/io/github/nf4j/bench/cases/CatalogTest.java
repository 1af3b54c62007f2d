package io.github.nf4j.bench.cases;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.github.nf4j.Backend;
import io.github.nf4j.Device;
import io.github.nf4j.Stream;
import io.github.nf4j.bench.cases.Catalog.Suite;
import io.github.nf4j.bench.result.CaseResult.Work;
import io.github.nf4j.op.CallTrace;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import java.util.TreeSet;
import java.util.regex.Pattern;
import java.util.stream.Collectors;
import org.junit.jupiter.api.Test;

class CatalogTest {
    /// The tables in a packed weight, which a case leaves out: its bytes are those that grow with the weight.
    private static final double NF4_TABLES = 2048;
    /// Functions that take a stream and are no operations, one that does nothing where memory is not paged, and one that writes the few
    /// factors of a step.
    private static final Set<String> OTHERS = Set.of("stream.synchronize", "stream.destroy", "explain", "graph.begin", "graph.end",
            "memory.prefetch", "optim.adamw_step");

    /// Floors and rates hang on it: what a case says that it reads, writes and computes is what a trace of its one call counts, from the
    /// arguments. And every operation has a case.
    @Test
    void everyOperationOfTheAbiHasACaseThatDoesTheWorkThatItSays() throws IOException {
        Set<String> traced = new TreeSet<>();
        try (Device device = Device.open(Backend.CPU); Stream stream = device.newStream()) {
            for (BenchCase benchCase : Catalog.cases(Suite.SMOKE, Scope.CALL)) {
                try (Buffers buffers = new Buffers(stream, 1, 1)) {
                    Subject subject = benchCase.prepare().apply(buffers);
                    try (CallTrace trace = CallTrace.of(stream)) {
                        subject.call().accept(0);
                        List<CallTrace.Entry> entries = trace.entries();
                        String text = benchCase.op() + " " + benchCase.shapeText() + " " + entries;
                        assertEquals(1, entries.size(), text);
                        Work said = benchCase.work();
                        double more = benchCase.op().contains("nf4") ? NF4_TABLES : 0;
                        io.github.nf4j.op.Work counted = entries.getFirst().work();
                        assertEquals(counted.flops(), said.flops(), text);
                        assertEquals(counted.bytesRead(), said.bytesRead(), more, text);
                        assertEquals(counted.bytesWritten(), said.bytesWritten(), more, text);
                        traced.add(entries.getFirst().operation());
                    }
                }
            }
        }
        assertEquals(operations(), traced);
    }

    /// As CallTrace names them: the family, a point, the rest of the function's name.
    private static Set<String> operations() throws IOException {
        String header = Files.readString(Path.of(System.getProperty("nf4j.root"), "native/include/nf4j.h"));
        Set<String> operations = Pattern.compile("nf4j_(\\w+)\\(nf4j_stream \\*").matcher(header).results()
                .map(function -> function.group(1).replaceFirst("_", ".")).collect(Collectors.toCollection(TreeSet::new));
        assertTrue(operations.removeAll(OTHERS));
        return operations;
    }

    /// A row is found again by its key.
    @Test
    void noTwoCasesOfASuiteAreTheSame() {
        for (Suite suite : Suite.values()) {
            for (Scope scope : Scope.values()) {
                Set<String> keys = new HashSet<>();
                for (BenchCase benchCase : Catalog.cases(suite, scope)) {
                    assertTrue(keys.add(benchCase.op() + " " + benchCase.shapeText()), benchCase::toString);
                }
            }
        }
    }
}
