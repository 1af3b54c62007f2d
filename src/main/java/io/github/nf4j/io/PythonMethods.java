package io.github.nf4j.io;

import java.beans.FeatureDescriptor;
import java.util.Arrays;
import java.util.Collections;
import java.util.Iterator;
import java.util.List;
import java.util.Locale;
import java.util.regex.Pattern;
import jinjava.javax.el.ELContext;
import jinjava.javax.el.ELResolver;

/// Python's string methods, as far as chat templates call them. Everything else is left to the next resolver.
final class PythonMethods extends ELResolver {
    @Override
    public Object invoke(ELContext context, Object base, Object method, Class<?>[] types, Object[] arguments) {
        if (!(base instanceof CharSequence)) {
            return null;
        }
        Object result = call(base.toString(), method.toString(), arguments);
        context.setPropertyResolved(result != null);
        return result;
    }

    /// Null if there is no such method.
    private static Object call(String s, String method, Object[] arguments) {
        return switch (method) {
            case "strip" -> strip(s, set(arguments));
            case "lstrip" -> lstrip(s, set(arguments));
            case "rstrip" -> rstrip(s, set(arguments));
            case "startswith" -> s.startsWith(text(arguments, 0));
            case "endswith" -> s.endsWith(text(arguments, 0));
            case "upper" -> s.toUpperCase(Locale.ROOT);
            case "lower" -> s.toLowerCase(Locale.ROOT);
            case "capitalize" -> s.isEmpty() ? s : s.substring(0, 1).toUpperCase(Locale.ROOT)
                    + s.substring(1).toLowerCase(Locale.ROOT);
            case "title" -> title(s);
            case "replace" -> s.replace(text(arguments, 0), text(arguments, 1));
            case "split" -> split(s, arguments);
            case "find" -> (long) s.indexOf(text(arguments, 0));
            default -> null;
        };
    }

    private static String text(Object[] arguments, int index) {
        if (arguments.length <= index) {
            throw new IllegalArgumentException("a string method is called with " + arguments.length + " arguments");
        }
        return String.valueOf(arguments[index]);
    }

    /// The characters to strip; null is white space.
    private static String set(Object[] arguments) {
        return arguments.length == 0 || arguments[0] == null ? null : arguments[0].toString();
    }

    /// @param set the characters to strip; null is white space
    static String strip(String s, String set) {
        return lstrip(rstrip(s, set), set);
    }

    private static boolean stripped(int c, String set) {
        return set == null ? Character.isWhitespace(c) || Character.isSpaceChar(c) || c == 0x85 : set.indexOf(c) >= 0;
    }

    private static String lstrip(String s, String set) {
        int begin = 0;
        while (begin < s.length() && stripped(s.codePointAt(begin), set)) {
            begin += Character.charCount(s.codePointAt(begin));
        }
        return s.substring(begin);
    }

    private static String rstrip(String s, String set) {
        int end = s.length();
        while (end > 0 && stripped(s.codePointBefore(end), set)) {
            end -= Character.charCount(s.codePointBefore(end));
        }
        return s.substring(0, end);
    }

    private static String title(String s) {
        StringBuilder result = new StringBuilder();
        boolean inWord = false;
        for (int c : s.codePoints().toArray()) {
            result.appendCodePoint(inWord ? Character.toLowerCase(c) : Character.toTitleCase(c));
            inWord = Character.isLetter(c);
        }
        return result.toString();
    }

    private static List<String> split(String s, Object[] arguments) {
        if (arguments.length == 0 || arguments[0] == null) {
            String stripped = s.strip();
            return stripped.isEmpty() ? List.of() : Arrays.asList(stripped.split("\\s+"));
        }
        int limit = arguments.length > 1 ? ((Number) arguments[1]).intValue() + 1 : -1;
        return Arrays.asList(s.split(Pattern.quote(text(arguments, 0)), limit <= 0 ? -1 : limit));
    }

    /// `s[i]`, from the end if `i` is negative.
    @Override
    public Object getValue(ELContext context, Object base, Object property) {
        // Jinjava hands the index over as text
        if (!(base instanceof CharSequence text) || !property.toString().matches("-?\\d{1,9}")) {
            return null;
        }
        int index = Integer.parseInt(property.toString());
        int length = Character.codePointCount(text, 0, text.length());
        int position = index < 0 ? length + index : index;
        if (position < 0 || position >= length) {
            return null; // undefined, as in Jinja
        }
        context.setPropertyResolved(true);
        return Character.toString(text.codePoints().skip(position).findFirst().orElseThrow());
    }

    @Override
    public Class<?> getType(ELContext context, Object base, Object property) {
        return null;
    }

    @Override
    public void setValue(ELContext context, Object base, Object property, Object value) {
        // resolves nothing
    }

    @Override
    public boolean isReadOnly(ELContext context, Object base, Object property) {
        return true;
    }

    @Override
    public Iterator<FeatureDescriptor> getFeatureDescriptors(ELContext context, Object base) {
        return Collections.emptyIterator();
    }

    @Override
    public Class<?> getCommonPropertyType(ELContext context, Object base) {
        return Object.class;
    }
}
