package io.github.nf4j.bench.report;

import io.github.nf4j.bench.compare.FileComparison;
import io.github.nf4j.bench.compare.RowComparison;
import java.util.Set;

/// A comparison in the XML that CI servers show as tests.
public final class JunitReport {
    private JunitReport() {
    }

    /// @param failing kinds of rows that count as failures
    public static String of(FileComparison comparison, Set<RowComparison.Kind> failing) {
        StringBuilder xml = new StringBuilder("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
        long failures = comparison.rows().stream().filter(row -> failing.contains(row.kind())).count();
        xml.append("<testsuite name=\"nf4j-bench\" tests=\"").append(comparison.rows().size()).append("\" failures=\"").append(failures)
                .append("\">\n");
        for (RowComparison row : comparison.rows()) {
            xml.append("  <testcase classname=\"nf4j-bench\" name=\"").append(Svg.escape(row.id())).append('"');
            String text = row.kind() + (row.comparison() == null ? "" : ": new / base " + row.comparison().ratio().centre());
            xml.append(failing.contains(row.kind()) ? "><failure message=\"" + Svg.escape(text) + "\"/></testcase>\n" : "/>\n");
        }
        return xml + "</testsuite>\n";
    }
}
