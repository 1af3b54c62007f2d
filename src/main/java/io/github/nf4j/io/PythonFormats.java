package io.github.nf4j.io;

import java.time.ZonedDateTime;
import java.time.format.DateTimeFormatter;
import java.util.Iterator;
import java.util.List;
import java.util.Locale;
import java.util.Map;

/// Text as Python's standard library formats it: for chat templates, and for files that PEFT shares with us.
final class PythonFormats {
    /// Java patterns for the directives of `strftime`.
    private static final Map<Character, String> DIRECTIVES = Map.ofEntries(
            Map.entry('a', "EEE"), Map.entry('A', "EEEE"), Map.entry('b', "MMM"), Map.entry('B', "MMMM"),
            Map.entry('d', "dd"), Map.entry('H', "HH"), Map.entry('I', "hh"), Map.entry('j', "DDD"),
            Map.entry('m', "MM"), Map.entry('M', "mm"), Map.entry('p', "a"), Map.entry('S', "ss"),
            Map.entry('y', "yy"), Map.entry('Y', "yyyy"));

    private PythonFormats() {
    }

    /// `time.strftime(format)` in the C locale.
    ///
    /// @throws IllegalArgumentException for a directive that no chat template uses
    static String strftime(ZonedDateTime time, String format) {
        StringBuilder text = new StringBuilder();
        for (int i = 0; i < format.length(); i++) {
            char c = format.charAt(i);
            if (c != '%') {
                text.append(c);
                continue;
            }
            char directive = ++i < format.length() ? format.charAt(i) : '%';
            if (directive == '%') {
                text.append('%');
            } else if (DIRECTIVES.containsKey(directive)) {
                text.append(DateTimeFormatter.ofPattern(DIRECTIVES.get(directive), Locale.US).format(time));
            } else {
                throw new IllegalArgumentException("strftime directive %" + directive + " is not supported");
            }
        }
        return text.toString();
    }

    /// `json.dumps(value, ensure_ascii=False, indent=indent)`.
    ///
    /// @param indent spaces a level, or negative for one line
    static String json(Object value, int indent) {
        StringBuilder text = new StringBuilder();
        write(text, value, indent, 0);
        return text.toString();
    }

    private static void write(StringBuilder text, Object value, int indent, int depth) {
        switch (value) {
            case null -> text.append("null");
            case Map<?, ?> map -> {
                text.append('{');
                for (Iterator<? extends Map.Entry<?, ?>> i = map.entrySet().iterator(); i.hasNext();) {
                    Map.Entry<?, ?> entry = i.next();
                    newLine(text, indent, depth + 1);
                    quote(text, String.valueOf(entry.getKey()));
                    text.append(": ");
                    write(text, entry.getValue(), indent, depth + 1);
                    separate(text, i.hasNext(), indent, depth);
                }
                text.append('}');
            }
            case List<?> list -> {
                text.append('[');
                for (Iterator<?> i = list.iterator(); i.hasNext();) {
                    newLine(text, indent, depth + 1);
                    write(text, i.next(), indent, depth + 1);
                    separate(text, i.hasNext(), indent, depth);
                }
                text.append(']');
            }
            case Number number -> text.append(number);
            case Boolean bool -> text.append(bool);
            default -> quote(text, value.toString());
        }
    }

    private static void newLine(StringBuilder text, int indent, int depth) {
        if (indent >= 0) {
            text.append('\n').repeat(' ', indent * depth);
        }
    }

    private static void separate(StringBuilder text, boolean more, int indent, int depth) {
        if (!more) {
            newLine(text, indent, depth);
        } else {
            text.append(indent < 0 ? ", " : ",");
        }
    }

    private static void quote(StringBuilder text, String string) {
        text.append('"');
        for (char c : string.toCharArray()) {
            switch (c) {
                case '"' -> text.append("\\\"");
                case '\\' -> text.append("\\\\");
                case '\n' -> text.append("\\n");
                case '\r' -> text.append("\\r");
                case '\t' -> text.append("\\t");
                case '\b' -> text.append("\\b");
                case '\f' -> text.append("\\f");
                default -> text.append(c < ' ' ? String.format("\\u%04x", (int) c) : String.valueOf(c));
            }
        }
        text.append('"');
    }
}
