package io.github.nf4j.bench.peers;

import java.util.HashMap;
import java.util.List;
import java.util.Map;

/// How the process of a library is started.
record Launch(List<String> command, Map<String, String> environment) {
    Launch with(String variable, String value) {
        Map<String, String> more = new HashMap<>(environment);
        more.put(variable, value);
        return new Launch(command, more);
    }
}
