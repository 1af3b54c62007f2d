package io.github.nf4j.bench.run;

import java.util.HashMap;
import java.util.List;
import java.util.Map;

/// How the process of a library is started.
public record Launch(List<String> command, Map<String, String> environment) {
    /// The same, with one more variable.
    public Launch with(String variable, String value) {
        Map<String, String> more = new HashMap<>(environment);
        more.put(variable, value);
        return new Launch(command, more);
    }
}
