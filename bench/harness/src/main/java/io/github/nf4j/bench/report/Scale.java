package io.github.nf4j.bench.report;

/// From values to pixels, logarithmic. What lies outside stands at the edge.
record Scale(double low, double high, double from, double to) {
    double at(double value) {
        double share = (Math.log(value) - Math.log(low)) / (Math.log(high) - Math.log(low));
        return from + Math.clamp(share, 0, 1) * (to - from);
    }
}
