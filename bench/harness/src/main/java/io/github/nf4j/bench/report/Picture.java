package io.github.nf4j.bench.report;

import io.github.nf4j.io.AtomicFile;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.file.Path;
import java.util.function.Consumer;

/// A picture that can be had as SVG, for pages, and as PNG, for places that show nothing else.
///
/// @param title what it shows, for those who do not see it
public record Picture(String title, int width, int height, Consumer<Canvas> drawing) {
    public String svg() {
        Svg svg = new Svg(width, height, title);
        drawing.accept(svg);
        return svg.toString();
    }

    /// Writes a PNG of twice as many pixels in each direction, for sharp screens.
    public void writePng(Path file) throws IOException {
        Png png = new Png(width, height);
        drawing.accept(png);
        byte[] image = png.bytes();
        AtomicFile.write(file, channel -> {
            for (ByteBuffer bytes = ByteBuffer.wrap(image); bytes.hasRemaining();) {
                channel.write(bytes);
            }
        });
    }
}
