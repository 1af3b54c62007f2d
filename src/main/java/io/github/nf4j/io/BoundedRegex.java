package io.github.nf4j.io;

import java.util.regex.Matcher;
import java.util.regex.Pattern;

/// Regular expressions that come from a file. One of twenty characters can keep a matcher busy for a lifetime, so the work on a
/// text is bounded.
final class BoundedRegex {
    /// Characters that a match may look at. Honest patterns look at each of a module's path a few times.
    private static final int MAX_READS = 1_000_000;
    /// Matching recurses, and so takes stack, along the text.
    private static final int MAX_LENGTH = 1000;

    private BoundedRegex() {
    }

    /// A matcher of `text`.
    ///
    /// @throws IllegalArgumentException if the text is too long, or, from the matcher, if the match takes too long
    static Matcher matcher(String regex, String text) {
        if (text.length() > MAX_LENGTH) {
            throw new IllegalArgumentException("a module's path has " + text.length() + " characters; at most " + MAX_LENGTH
                    + " are matched with regular expressions");
        }
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
                throw new IllegalArgumentException("the regular expression '" + regex + "' takes too long on '" + text + "'");
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
