package io.github.nf4j.io;

import java.nio.file.Path;

/// A file says something that is wrong, contradictory, or that nf4j does not implement.
///
/// The message is `<file>: <place>: <problem>`. The place is the field, tensor or byte offset that the problem was
/// found at. What the message quotes of the file is cut where it is long, and cannot control the terminal that shows it.
public final class FileFormatException extends RuntimeException {
    private static final long serialVersionUID = 1L;
    private static final int MAX_SHOWN = 4000;

    private final transient Path file;
    private final String place;

    public FileFormatException(Path file, String place, String problem) {
        this(file, place, problem, null);
    }

    public FileFormatException(Path file, String place, String problem, Throwable cause) {
        super(file + ": " + shown(place) + ": " + shown(String.valueOf(problem)), cause);
        this.file = file;
        this.place = place;
    }

    private static String shown(String text) {
        String cut = text.length() > MAX_SHOWN ? text.substring(0, MAX_SHOWN) + "…" : text;
        return cut.replaceAll("[\\p{Cc}&&[^\\n\\t]]", "\uFFFD");
    }

    /// The file that the problem is in.
    public Path file() {
        return file;
    }

    /// The field, tensor or byte offset that the problem was found at.
    public String place() {
        return place;
    }
}
