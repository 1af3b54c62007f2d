package io.github.nf4j.io;

import java.nio.file.Path;
import java.util.Collections;
import java.util.List;
import java.util.Map;
import java.util.Set;

/// The key-value pairs of a GGUF file, read by type with messages that name file and key.
///
/// Integers of any width are one type here, and so are floats: writers do not agree on widths.
public final class GgufMetadata {
    private final Path file;
    private final Map<String, Object> values;

    /// @param values of type Long, Double, Boolean, String, or List of one of these
    GgufMetadata(Path file, Map<String, Object> values) {
        this.file = file;
        this.values = values;
    }

    public Set<String> keys() {
        return Collections.unmodifiableSet(values.keySet());
    }

    public boolean has(String key) {
        return values.containsKey(key);
    }

    /// @throws FileFormatException here and below if the key is missing or its value of another type
    public String string(String key) {
        return value(key, String.class, "a string");
    }

    public String string(String key, String absent) {
        return has(key) ? string(key) : absent;
    }

    /// An integer in `[low, high]`.
    public int integer(String key, int low, int high) {
        long value = value(key, Long.class, "an integer");
        if (value < low || value > high) {
            throw problem(key, "expected an integer from " + low + " to " + high + ", found " + value);
        }
        return (int) value;
    }

    public int integer(String key, int low, int high, int absent) {
        return has(key) ? integer(key, low, high) : absent;
    }

    /// A finite number, stored as a float or as an integer.
    public double number(String key) {
        if (values.get(key) instanceof Long integer) {
            return integer;
        }
        double value = value(key, Double.class, "a number");
        if (!Double.isFinite(value)) {
            throw problem(key, "expected a finite number, found " + value);
        }
        return value;
    }

    public double number(String key, double absent) {
        return has(key) ? number(key) : absent;
    }

    public boolean bool(String key, boolean absent) {
        return has(key) ? value(key, Boolean.class, "true or false") : absent;
    }

    public List<String> strings(String key) {
        return list(key, String.class, "a list of strings");
    }

    public List<Long> integers(String key) {
        return list(key, Long.class, "a list of integers");
    }

    FileFormatException problem(String key, String problem) {
        return new FileFormatException(file, key, problem);
    }

    private <T> T value(String key, Class<T> type, String expected) {
        Object value = values.get(key);
        if (value == null) {
            throw problem(key, "missing; expected " + expected);
        }
        if (!type.isInstance(value)) {
            throw problem(key, "expected " + expected + ", found " + describe(value));
        }
        return type.cast(value);
    }

    @SuppressWarnings("unchecked") // a list's elements have one type: the reader makes it from one element type
    private <T> List<T> list(String key, Class<T> element, String expected) {
        List<?> list = value(key, List.class, expected);
        if (!list.isEmpty() && !element.isInstance(list.getFirst())) {
            throw problem(key, "expected " + expected + ", found " + describe(list));
        }
        return (List<T>) list;
    }

    private static String describe(Object value) {
        return value instanceof List<?> list ? "a list of " + list.size() : String.valueOf(value);
    }
}
