package io.github.nf4j.io;

import com.hubspot.jinjava.interpret.JinjavaInterpreter;
import com.hubspot.jinjava.lib.tag.ForTag;
import com.hubspot.jinjava.tree.TagNode;
import com.hubspot.jinjava.util.ObjectTruthValue;
import java.util.ArrayList;
import java.util.List;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/// Jinja's `{% for x in list if condition %}`, which Jinjava's own tag takes for a conditional expression without an
/// `else` and renders as nothing. `loop` counts the elements that remain.
final class FilteredForTag extends ForTag {
    private static final long serialVersionUID = 1L;

    private static final Pattern FILTERED = Pattern.compile("\\s*(\\w+)\\s+in\\s+(.*?)\\s+if\\s+(.*)", Pattern.DOTALL);

    @Override
    public String interpretUnchecked(TagNode tag, JinjavaInterpreter interpreter) {
        Matcher loop = FILTERED.matcher(tag.getHelpers());
        if (!loop.matches()) {
            return super.interpretUnchecked(tag, interpreter);
        }
        List<Object> kept = new ArrayList<>();
        if (interpreter.resolveELExpression(loop.group(2), tag.getLineNumber()) instanceof Iterable<?> elements) {
            for (Object element : elements) {
                try (var _ = interpreter.enterScope()) {
                    interpreter.getContext().put(loop.group(1), element);
                    if (ObjectTruthValue.evaluate(interpreter.resolveELExpression(loop.group(3),
                            tag.getLineNumber()))) {
                        kept.add(element);
                    }
                }
            }
        }
        return renderForCollection(tag, interpreter, List.of(loop.group(1)), kept);
    }
}
