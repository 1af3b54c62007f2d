package io.github.nf4j.bench.cli;

import java.util.List;
import java.util.Locale;
import picocli.CommandLine.ITypeConverter;
import picocli.CommandLine.TypeConversionException;

/// One of several names, in any case.
record NameConverter<E extends Enum<E>>(List<E> choices) implements ITypeConverter<E> {
    @Override
    public E convert(String text) {
        return choices.stream().filter(choice -> choice.name().equalsIgnoreCase(text)).findFirst()
                .orElseThrow(() -> new TypeConversionException("there is no '" + text + "'; " + Names.nearest(text.toLowerCase(Locale.ROOT),
                        choices.stream().map(choice -> choice.name().toLowerCase(Locale.ROOT)).toList())));
    }
}
