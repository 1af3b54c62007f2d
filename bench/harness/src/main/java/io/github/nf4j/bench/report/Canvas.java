package io.github.nf4j.bench.report;

/// What a [Picture] is drawn on. Coordinates are pixels from the top left; colours are written as in HTML.
public interface Canvas {
    Canvas line(double x1, double y1, double x2, double y2, String colour, double width);

    /// @param hint shown when the pointer is over it, where there is one
    Canvas dot(double x, double y, double radius, String colour, String hint);

    /// @param hint as in [#dot]
    Canvas box(double x, double y, double width, double height, String colour, String hint);

    /// @param anchor what of the text stands at x
    Canvas label(double x, double y, Anchor anchor, String text);

    /// A title within the picture, beginning at x.
    Canvas heading(double x, double y, String text);

    /// How a text lies.
    enum Anchor {
        START, MIDDLE, END
    }
}
