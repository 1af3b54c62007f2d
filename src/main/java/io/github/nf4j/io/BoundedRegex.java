package io.github.nf4j.io;

import java.util.Optional;
import java.util.function.Supplier;
import java.util.regex.MatchResult;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/// Regular expressions that come from a file. One of twenty characters can keep a matcher busy for a lifetime, so the work on a
/// text is bounded, and when it takes more stack than there is, that is an error as any other.
final class BoundedRegex {
    /// Characters that a match may look at. Honest patterns look at each of a module's path a few times.
    private static final int MAX_READS = 1_000_000;

    private BoundedRegex() {
    }

    /// Whether the whole text matches.
    ///
    /// @throws IllegalArgumentException here and below if the expression is malformed, or takes too long or too much stack
    static boolean matches(String regex, String text) {
        return withinStack(regex, () -> matcher(regex, text).matches());
    }

    /// The match that begins where the text does.
    static Optional<MatchResult> lookingAt(String regex, String text) {
        return withinStack(regex, () -> {
            Matcher matcher = matcher(regex, text);
            return matcher.lookingAt() ? Optional.of(matcher.toMatchResult()) : Optional.empty();
        });
    }

    /// Java matches by recursion, along the expression and along the text.
    private static <T> T withinStack(String regex, Supplier<T> work) {
        try {
            return work.get();
        } catch (StackOverflowError e) {
            throw new IllegalArgumentException("a regular expression takes too much stack on a path: " + regex, e);
        }
    }

    private static Matcher matcher(String regex, String text) {
        return Pattern.compile(regex).matcher(new Counted(regex, text));
    }

    private static final class Counted implements CharSequence {
        private final String regex;
        private final String text;
        private int reads;

        Counted(String regex, String text) {
            this.regex = regex;
            this.text = text;
        }

        @Override
        public char charAt(int index) {
            if (++reads > MAX_READS) {
                throw new IllegalArgumentException("a regular expression takes too long on '" + text + "': " + regex);
            }
            return text.charAt(index);
        }

        @Override
        public int length() {
            return text.length();
        }

        @Override
        public CharSequence subSequence(int start, int end) {
            return text.subSequence(start, end);
        }

        @Override
        public String toString() {
            return text;
        }
    }
}
