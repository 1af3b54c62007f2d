package io.github.nf4j.bench.report;

import java.awt.BasicStroke;
import java.awt.Color;
import java.awt.Font;
import java.awt.Graphics2D;
import java.awt.RenderingHints;
import java.awt.geom.Ellipse2D;
import java.awt.geom.Line2D;
import java.awt.geom.Rectangle2D;
import java.awt.image.BufferedImage;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import javax.imageio.ImageIO;

/// Needs no display.
final class Png implements Canvas {
    private static final int SCALE = 2;
    private static final Color TEXT = Color.decode("#222222");
    private static final int DOT_ALPHA = 204; // 80 %

    private final BufferedImage image;
    private final Graphics2D graphics;

    Png(int width, int height) {
        image = new BufferedImage(SCALE * width, SCALE * height, BufferedImage.TYPE_INT_RGB);
        graphics = image.createGraphics();
        graphics.scale(SCALE, SCALE);
        graphics.setRenderingHint(RenderingHints.KEY_ANTIALIASING, RenderingHints.VALUE_ANTIALIAS_ON);
        graphics.setRenderingHint(RenderingHints.KEY_TEXT_ANTIALIASING, RenderingHints.VALUE_TEXT_ANTIALIAS_ON);
        graphics.setColor(Color.WHITE);
        graphics.fillRect(0, 0, width, height);
    }

    @Override
    public Canvas line(double x1, double y1, double x2, double y2, String colour, double width) {
        graphics.setColor(Color.decode(colour));
        graphics.setStroke(new BasicStroke((float) width));
        graphics.draw(new Line2D.Double(x1, y1, x2, y2));
        return this;
    }

    @Override
    public Canvas dot(double x, double y, double radius, String colour, String hint) {
        Color opaque = Color.decode(colour);
        graphics.setColor(new Color(opaque.getRed(), opaque.getGreen(), opaque.getBlue(), DOT_ALPHA));
        graphics.fill(new Ellipse2D.Double(x - radius, y - radius, 2 * radius, 2 * radius));
        return this;
    }

    @Override
    public Canvas box(double x, double y, double width, double height, String colour, String hint) {
        graphics.setColor(Color.decode(colour));
        graphics.fill(new Rectangle2D.Double(x, y, width, height));
        return this;
    }

    @Override
    public Canvas label(double x, double y, Anchor anchor, String text) {
        write(x, y, anchor, text, new Font(Font.SANS_SERIF, Font.PLAIN, 11));
        return this;
    }

    @Override
    public Canvas heading(double x, double y, String text) {
        write(x, y, Anchor.START, text, new Font(Font.SANS_SERIF, Font.BOLD, 14));
        return this;
    }

    private void write(double x, double y, Anchor anchor, String text, Font font) {
        graphics.setFont(font);
        graphics.setColor(TEXT);
        double width = font.getStringBounds(text, graphics.getFontRenderContext()).getWidth();
        double left = switch (anchor) {
            case START -> x;
            case MIDDLE -> x - width / 2;
            case END -> x - width;
        };
        graphics.drawString(text, (float) left, (float) y);
    }

    byte[] bytes() throws IOException {
        graphics.dispose();
        ByteArrayOutputStream out = new ByteArrayOutputStream();
        ImageIO.write(image, "png", out);
        return out.toByteArray();
    }
}
