package io.github.nf4j.bench.cli;

import java.util.Collection;
import java.util.Comparator;
import java.util.stream.Collectors;

/// What a user may have meant by a name that is unknown.
final class Names {
    private static final int SUGGESTIONS = 3;

    private Names() {
    }

    static String nearest(String wanted, Collection<String> names) {
        return "the nearest are " + names.stream().sorted(Comparator.comparingInt(name -> distance(wanted, name))).limit(SUGGESTIONS)
                .collect(Collectors.joining(", "));
    }

    /// Levenshtein's: insertions, deletions and replacements that lead from one text to the other.
    private static int distance(String a, String b) {
        int[] row = new int[b.length() + 1];
        for (int j = 0; j <= b.length(); j++) {
            row[j] = j;
        }
        for (int i = 1; i <= a.length(); i++) {
            int diagonal = row[0];
            row[0] = i;
            for (int j = 1; j <= b.length(); j++) {
                int replaced = diagonal + (a.charAt(i - 1) == b.charAt(j - 1) ? 0 : 1);
                diagonal = row[j];
                row[j] = Math.min(replaced, 1 + Math.min(row[j], row[j - 1]));
            }
        }
        return row[b.length()];
    }
}
