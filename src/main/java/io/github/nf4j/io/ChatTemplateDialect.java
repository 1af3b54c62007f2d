package io.github.nf4j.io;

import com.hubspot.jinjava.Jinjava;
import com.hubspot.jinjava.JinjavaConfig;
import com.hubspot.jinjava.LegacyOverrides;
import com.hubspot.jinjava.el.JinjavaInterpreterResolver;
import com.hubspot.jinjava.interpret.JinjavaInterpreter;
import com.hubspot.jinjava.interpret.TemplateError;
import com.hubspot.jinjava.lib.exptest.ExpTest;
import com.hubspot.jinjava.lib.filter.Filter;
import com.hubspot.jinjava.lib.fn.ELFunctionDefinition;
import com.hubspot.jinjava.lib.tag.Tag;
import com.hubspot.jinjava.tree.Node;
import com.hubspot.jinjava.tree.TagNode;
import java.nio.file.Path;
import java.time.ZonedDateTime;
import java.util.List;
import java.util.Map;
import jinjava.javax.el.CompositeELResolver;

/// Makes Jinjava render as transformers' Jinja environment does: trimmed and left-stripped blocks, loop controls,
/// `tojson` without HTML escapes, `raise_exception`, `strftime_now`, `{% generation %}` blocks and Python's string
/// methods.
final class ChatTemplateDialect {
    /// Of what a template writes, and of each string that it puts together: more than the longest conversation.
    private static final int MOST_BYTES = 16 << 20;
    private static final int MOST_ELEMENTS = 1 << 20;

    private ChatTemplateDialect() {
    }

    static Jinjava engine() {
        CompositeELResolver resolver = new CompositeELResolver();
        resolver.add(new PythonMethods());
        resolver.add(JinjavaInterpreterResolver.DEFAULT_RESOLVER_READ_ONLY);
        Jinjava jinja = new Jinjava(JinjavaConfig.newBuilder()
                .withTrimBlocks(true)
                .withLstripBlocks(true)
                .withLegacyOverrides(LegacyOverrides.Builder.from(LegacyOverrides.ALL)
                        .withWhitespaceRequiredWithinTokens(false).build())
                // off, or braces in a message would be run as a template
                .withNestedInterpretationEnabled(false)
                .withElResolver(resolver)
                // a template comes with a model's files and must not be able to take all memory
                .withMaxOutputSize(MOST_BYTES)
                .withMaxStringLength(MOST_BYTES)
                .withMaxListSize(MOST_ELEMENTS)
                .withMaxMapSize(MOST_ELEMENTS)
                .build());
        jinja.getGlobalContext().registerFilter(new ToJson());
        jinja.getGlobalContext().registerFilter(new Trim());
        jinja.getGlobalContext().registerTag(new GenerationTag());
        jinja.getGlobalContext().registerTag(new FilteredForTag());
        jinja.getGlobalContext().registerExpTest(new IsIterable());
        for (ELFunctionDefinition function : List.of(
                new ELFunctionDefinition("", "raise_exception", ChatTemplateDialect.class, "raiseException",
                        String.class),
                new ELFunctionDefinition("", "strftime_now", ChatTemplateDialect.class, "strftimeNow", String.class))) {
            jinja.getGlobalContext().registerFunction(function);
            // templates ask whether the function `is defined`, which looks at variables
            jinja.getGlobalContext().put(function.getLocalName(), function.getLocalName());
        }
        return jinja;
    }

    /// What a template threw: its own refusal, or an error in it.
    static RuntimeException failure(Path file, List<TemplateError> errors) {
        for (TemplateError error : errors) {
            for (Throwable cause = error.getException(); cause != null; cause = cause.getCause()) {
                if (cause instanceof Refusal) {
                    return new IllegalArgumentException("the chat template of " + file + " refuses the conversation: "
                            + cause.getMessage());
                }
            }
        }
        TemplateError first = errors.getFirst();
        return new FileFormatException(file, "chat template, line " + first.getLineno(), first.getMessage(),
                first.getException());
    }

    /// A template called `raise_exception`.
    private static final class Refusal extends RuntimeException {
        private static final long serialVersionUID = 1L;

        Refusal(String message) {
            super(message);
        }
    }

    /// Called by templates.
    public static Object raiseException(String message) {
        throw new Refusal(message);
    }

    /// Called by templates.
    public static String strftimeNow(String format) {
        return PythonFormats.strftime(ZonedDateTime.now(), format);
    }

    /// transformers' `tojson`: `json.dumps(value, ensure_ascii=False, indent=…)`, where Jinja's own escapes HTML.
    private static final class ToJson implements Filter {
        @Override
        public String getName() {
            return "tojson";
        }

        @Override
        public Object filter(Object value, JinjavaInterpreter interpreter, Object[] arguments,
                             Map<String, Object> named) {
            return PythonFormats.json(value, named.get("indent") instanceof Number indent ? indent.intValue() : -1);
        }

        @Override
        public Object filter(Object value, JinjavaInterpreter interpreter, String... arguments) {
            return PythonFormats.json(value, -1);
        }
    }

    /// Python's `str.strip`, which knows more white space than Jinjava's filter.
    private static final class Trim implements Filter {
        @Override
        public String getName() {
            return "trim";
        }

        @Override
        public Object filter(Object value, JinjavaInterpreter interpreter, String... arguments) {
            return value == null ? null
                    : PythonMethods.strip(value.toString(), arguments.length == 0 ? null : arguments[0]);
        }
    }

    /// In Python a string is iterable, too.
    private static final class IsIterable implements ExpTest {
        @Override
        public String getName() {
            return "iterable";
        }

        @Override
        public boolean evaluate(Object value, JinjavaInterpreter interpreter, Object... arguments) {
            return value instanceof CharSequence || value instanceof Iterable || value instanceof Map;
        }
    }

    /// `{% generation %}…{% endgeneration %}` marks what the assistant says and renders as its content.
    private static final class GenerationTag implements Tag {
        private static final long serialVersionUID = 1L;

        @Override
        public String getName() {
            return "generation";
        }

        @Override
        public String interpret(TagNode tag, JinjavaInterpreter interpreter) {
            StringBuilder text = new StringBuilder();
            for (Node child : tag.getChildren()) {
                text.append(child.render(interpreter));
            }
            return text.toString();
        }
    }
}
