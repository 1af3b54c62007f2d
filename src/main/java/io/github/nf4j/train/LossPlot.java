package io.github.nf4j.train;

import java.awt.BasicStroke;
import java.awt.Color;
import java.io.IOException;
import java.util.ArrayList;
import java.util.List;
import org.knowm.xchart.BitmapEncoder;
import org.knowm.xchart.BitmapEncoder.BitmapFormat;
import org.knowm.xchart.XYChart;
import org.knowm.xchart.XYChartBuilder;
import org.knowm.xchart.XYSeries;
import org.knowm.xchart.style.Styler.LegendPosition;
import org.knowm.xchart.style.markers.SeriesMarkers;

/// Draws the loss over the optimizer steps: every step, its moving average, and the evaluations. Needs no display.
final class LossPlot {
    private static final Color STEP = new Color(0xB8CBE0);
    private static final Color AVERAGE = new Color(0x1F5FA8);
    private static final Color EVALUATION = new Color(0xC8501E);

    /// A loss after a number of steps.
    record Point(int step, double loss) {
    }

    private LossPlot() {
    }

    /// A PNG image of 960 by 540 pixels.
    ///
    /// @param steps       not empty
    /// @param evaluations may be empty
    static byte[] png(List<Point> steps, List<Point> evaluations) throws IOException {
        XYChart chart = new XYChartBuilder().width(960).height(540).title("Training loss").xAxisTitle("optimizer step")
                .yAxisTitle("cross-entropy per trained token").build();
        chart.getStyler().setLegendPosition(LegendPosition.InsideNE).setChartBackgroundColor(Color.WHITE);
        add(chart, "step", steps, STEP, 1.2f);
        int window = Math.max(1, steps.size() / 20);
        if (window > 1) {
            add(chart, "average of " + window + " steps", movingAverage(steps, window), AVERAGE, 2.4f);
        }
        if (!evaluations.isEmpty()) {
            add(chart, "held-out", evaluations, EVALUATION, 2f).setMarker(SeriesMarkers.CIRCLE).setMarkerColor(EVALUATION);
        }
        return BitmapEncoder.getBitmapBytes(chart, BitmapFormat.PNG);
    }

    private static XYSeries add(XYChart chart, String name, List<Point> points, Color color, float width) {
        XYSeries series = chart.addSeries(name, points.stream().mapToDouble(Point::step).toArray(),
                points.stream().mapToDouble(Point::loss).toArray());
        series.setMarker(SeriesMarkers.NONE).setLineColor(color).setLineStyle(new BasicStroke(width));
        return series;
    }

    private static List<Point> movingAverage(List<Point> points, int window) {
        List<Point> averages = new ArrayList<>(points.size());
        double sum = 0;
        for (int i = 0; i < points.size(); i++) {
            sum += points.get(i).loss() - (i >= window ? points.get(i - window).loss() : 0);
            averages.add(new Point(points.get(i).step(), sum / Math.min(i + 1, window)));
        }
        return averages;
    }
}
