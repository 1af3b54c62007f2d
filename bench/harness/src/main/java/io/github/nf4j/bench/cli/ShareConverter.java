package io.github.nf4j.bench.cli;

import java.util.regex.Matcher;
import java.util.regex.Pattern;
import picocli.CommandLine.ITypeConverter;
import picocli.CommandLine.TypeConversionException;

/// `5%` or `0.05`.
final class ShareConverter implements ITypeConverter<Double> {
    private static final Pattern FORMAT = Pattern.compile("(\\d{1,6}(?:\\.\\d{1,6})?) ?(%?)");

    @Override
    public Double convert(String text) {
        Matcher matcher = FORMAT.matcher(text);
        double value = matcher.matches() ? Double.parseDouble(matcher.group(1)) / (matcher.group(2).isEmpty() ? 1 : 100) : 0;
        if (value <= 0) {
            throw new TypeConversionException("'" + text + "' is no share; expected one like 5% or 0.05");
        }
        return value;
    }
}
