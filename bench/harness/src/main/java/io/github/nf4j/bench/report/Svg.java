package io.github.nf4j.bench.report;

import java.util.Locale;

final class Svg implements Canvas {
    private final StringBuilder text = new StringBuilder();

    Svg(int width, int height, String title) {
        text.append(String.format(Locale.ROOT, "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %d %d\" width=\"%d\" role=\"img\" "
                + "font-family=\"sans-serif\" font-size=\"11\">%n<title>%s</title>%n", width, height, width, escape(title)));
    }

    @Override
    public Canvas line(double x1, double y1, double x2, double y2, String colour, double width) {
        text.append(
                String.format(Locale.ROOT, "<line x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" y2=\"%.1f\" stroke=\"%s\" stroke-width=\"%.1f\"/>%n",
                        x1, y1, x2, y2, colour, width));
        return this;
    }

    @Override
    public Canvas dot(double x, double y, double radius, String colour, String hint) {
        text.append(String.format(Locale.ROOT, "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"%.1f\" fill=\"%s\" fill-opacity=\"0.8\">"
                + "<title>%s</title></circle>%n", x, y, radius, colour, escape(hint)));
        return this;
    }

    @Override
    public Canvas box(double x, double y, double width, double height, String colour, String hint) {
        text.append(String.format(Locale.ROOT,
                "<rect x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\" fill=\"%s\"><title>%s</title></rect>%n",
                x, y, width, height, colour, escape(hint)));
        return this;
    }

    @Override
    public Canvas label(double x, double y, Anchor anchor, String label) {
        text.append(String.format(Locale.ROOT, "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"%s\">%s</text>%n", x, y,
                anchor.name().toLowerCase(Locale.ROOT), escape(label)));
        return this;
    }

    @Override
    public Canvas heading(double x, double y, String label) {
        text.append(String.format(Locale.ROOT, "<text x=\"%.1f\" y=\"%.1f\" font-size=\"14\" font-weight=\"bold\">%s</text>%n", x, y,
                escape(label)));
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
