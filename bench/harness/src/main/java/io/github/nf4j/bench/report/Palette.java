package io.github.nf4j.bench.report;

import java.util.List;

/// Colours of the pictures.
public final class Palette {
    public static final String BLACK = "#222222";
    public static final String GREY = "#bbbbbb";
    /// Of grids.
    public static final String PALE = "#e8e8e8";
    static final String BLUE = "#2266aa";
    static final String GREEN = "#228833";
    static final String RED = "#cc3311";
    static final String AMBER = "#cc9900";
    /// For series, told apart by people with any kind of sight (Okabe and Ito's, and four more).
    private static final List<String> SERIES = List.of("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#222222",
            "#999999", "#8c564b", "#5d3a9b", "#808000", "#1b7f79");

    private Palette() {
    }

    /// The colour of a series by its number; they repeat after twelve.
    public static String series(int number) {
        return SERIES.get(number % SERIES.size());
    }
}
