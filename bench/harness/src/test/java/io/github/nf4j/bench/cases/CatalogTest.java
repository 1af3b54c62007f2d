package io.github.nf4j.bench.cases;

import static org.junit.jupiter.api.Assertions.assertEquals;

import io.github.nf4j.Backend;
import io.github.nf4j.Device;
import io.github.nf4j.Stream;
import io.github.nf4j.bench.cases.Catalog.Suite;
import io.github.nf4j.bench.result.CaseResult.Work;
import io.github.nf4j.op.CallTrace;
import java.util.List;
import org.junit.jupiter.api.Test;

class CatalogTest {
    /// The tables in a packed weight, which a case leaves out: its bytes are those that grow with the weight.
    private static final double NF4_TABLES = 2048;

    /// Floors and rates hang on it: what a case says that it reads, writes and computes is what a trace of its one call counts, from the
    /// arguments.
    @Test
    void everyCaseDoesTheWorkThatItSays() {
        try (Device device = Device.open(Backend.CPU); Stream stream = device.newStream()) {
            for (BenchCase benchCase : Catalog.cases(Suite.SMOKE)) {
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
                    }
                }
            }
        }
    }
}
