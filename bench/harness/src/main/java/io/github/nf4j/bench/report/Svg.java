package io.github.nf4j.bench.report;

import java.util.Locale;

/// Writes one picture. Coordinates are pixels from the top left.
final class Svg {
    private final StringBuilder text = new StringBuilder();

    Svg(int width, int height, String title) {
        text.append(String.format(Locale.ROOT, "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %d %d\" width=\"%d\" role=\"img\" "
                + "font-family=\"sans-serif\" font-size=\"11\">%n<title>%s</title>%n", width, height, width, escape(title)));
    }

    Svg line(double x1, double y1, double x2, double y2, String colour, double width) {
        text.append(
                String.format(Locale.ROOT, "<line x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" y2=\"%.1f\" stroke=\"%s\" stroke-width=\"%.1f\"/>%n",
                        x1, y1, x2, y2, colour, width));
        return this;
    }

    /// @param hint shown when the pointer is over it
    Svg dot(double x, double y, double radius, String colour, String hint) {
        text.append(String.format(Locale.ROOT, "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"%.1f\" fill=\"%s\" fill-opacity=\"0.8\">"
                + "<title>%s</title></circle>%n", x, y, radius, colour, escape(hint)));
        return this;
    }

    /// @param anchor start, middle or end
    Svg label(double x, double y, String anchor, String label) {
        text.append(String.format(Locale.ROOT, "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"%s\">%s</text>%n", x, y, anchor, escape(label)));
        return this;
    }

    @Override
    public String toString() {
        return text + "</svg>\n";
    }

    static String escape(String text) {
        return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace("\"", "&quot;");
    }
}
