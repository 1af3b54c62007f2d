package io.github.nf4j.train;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import io.github.nf4j.io.ChatMessage;
import io.github.nf4j.io.ChatTemplate;
import io.github.nf4j.io.Tokenizer;
import io.github.nf4j.nn.TokenBatch;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Optional;
import java.util.Set;
import java.util.TreeSet;

/// Turns one JSON object of a data file into an [Example]. The object's shape is told by its fields, others are ignored:
///
/// - `{"messages": [{"role", "content"}, ...]}`: rendered by the chat template; the assistant's turns are trained.
/// - `{"prompt", "completion"}`: the completion and the end-of-text token are trained.
/// - `{"text"}`: everything and the end-of-text token are trained.
/// - `{"input_ids", "labels"}`: as given; a label is the token itself or -100, which masks it.
///
/// What is trained is found as a difference of tokens: the prompt is tokenized alone and with the answer, and training begins at
/// the first token that differs. A token that spans the boundary belongs to the answer.
public final class ExampleEncoder {
    private static final Set<String> SHAPES = Set.of("messages", "prompt", "text", "input_ids");

    private final Tokenizer tokenizer;
    private final Optional<ChatTemplate> template;
    private final int vocabularySize;

    /// @param template       empty for a model without one, whose data cannot have the `messages` shape
    /// @param vocabularySize rows of the model's embedding: ids must be below
    public ExampleEncoder(Tokenizer tokenizer, Optional<ChatTemplate> template, int vocabularySize) {
        this.tokenizer = tokenizer;
        this.template = template;
        this.vocabularySize = vocabularySize;
    }

    /// @throws IllegalArgumentException naming the field that is wrong
    Example encode(ObjectNode object) {
        Set<String> found = new TreeSet<>(SHAPES);
        found.removeIf(field -> !object.has(field));
        if (found.size() != 1) {
            throw new IllegalArgumentException((found.isEmpty() ? "none" : "more than one") + " of the fields messages, prompt, text and "
                    + "input_ids " + (found.isEmpty() ? "is there" : "is there: " + String.join(", ", found))
                    + "; expected {\"messages\"}, {\"prompt\", \"completion\"}, {\"text\"} or {\"input_ids\", \"labels\"}");
        }
        Example example = switch (found.iterator().next()) {
            case "messages" -> chat(messages(object));
            case "prompt" -> completion(string(object, "prompt"), string(object, "completion"));
            case "text" -> text(string(object, "text"));
            default -> tokenized(object);
        };
        checkIds(example.ids());
        return example;
    }

    private Example chat(List<ChatMessage> messages) {
        ChatTemplate chat = template.orElseThrow(() -> new IllegalArgumentException(
                "messages: the model has no chat template; use {\"prompt\", \"completion\"} instead"));
        String whole = chat.render(messages, false);
        int[] ids = tokenizer.encode(whole, false);
        int[] labels = masked(ids.length);
        for (int turn = 0; turn < messages.size(); turn++) {
            if (messages.get(turn).role().equals("assistant")) {
                int begin = boundary(chat.render(messages.subList(0, turn), true), whole, ids, turn);
                int end = boundary(chat.render(messages.subList(0, turn + 1), false), whole, ids, turn);
                System.arraycopy(ids, begin, labels, begin, end - begin);
            }
        }
        return new Example(ids, labels);
    }

    /// Number of the conversation's first tokens that are those of its rendering up to a turn.
    private int boundary(String prefix, String whole, int[] ids, int turn) {
        if (!whole.startsWith(prefix)) {
            throw new IllegalArgumentException("messages[" + turn + "]: the chat template renders the conversation up to here "
                    + "differently when more turns follow, so the answer's tokens cannot be told; give each answer an object of its own");
        }
        return commonPrefix(tokenizer.encode(prefix, false), ids);
    }

    private Example completion(String prompt, String completion) {
        int[] ids = withEndOfText(tokenizer.encode(prompt + completion, true));
        int begin = commonPrefix(tokenizer.encode(prompt, true), ids);
        int[] labels = masked(ids.length);
        System.arraycopy(ids, begin, labels, begin, ids.length - begin);
        return new Example(ids, labels);
    }

    private Example text(String text) {
        int[] ids = withEndOfText(tokenizer.encode(text, true));
        return new Example(ids, ids.clone());
    }

    private int[] withEndOfText(int[] ids) {
        if (tokenizer.eosIds().isEmpty()) {
            throw new IllegalArgumentException("the model's tokenizer names no eos_token, which ends the trained text");
        }
        int end = tokenizer.eosIds().getFirst();
        if (ids.length > 0 && ids[ids.length - 1] == end) {
            return ids;
        }
        int[] ended = Arrays.copyOf(ids, ids.length + 1);
        ended[ids.length] = end;
        return ended;
    }

    private static Example tokenized(ObjectNode object) {
        int[] ids = integers(object, "input_ids");
        int[] labels = integers(object, "labels");
        if (labels.length != ids.length) {
            throw new IllegalArgumentException("labels has " + labels.length + " entries, input_ids has " + ids.length);
        }
        for (int t = 0; t < labels.length; t++) {
            if (labels[t] != TokenBatch.MASKED && labels[t] != ids[t]) {
                throw new IllegalArgumentException("labels[" + t + "] is " + labels[t] + "; expected -100 or " + ids[t]
                        + ", which is input_ids[" + t + "] (labels are not shifted)");
            }
        }
        return new Example(ids, labels);
    }

    private void checkIds(int[] ids) {
        for (int t = 0; t < ids.length; t++) {
            if (ids[t] < 0 || ids[t] >= vocabularySize) {
                throw new IllegalArgumentException("input_ids[" + t + "] is " + ids[t] + "; the model's vocabulary has "
                        + vocabularySize + " tokens");
            }
        }
    }

    private static int[] masked(int length) {
        int[] labels = new int[length];
        Arrays.fill(labels, TokenBatch.MASKED);
        return labels;
    }

    private static int commonPrefix(int[] a, int[] b) {
        int mismatch = Arrays.mismatch(a, b);
        return mismatch < 0 ? a.length : mismatch;
    }

    private static List<ChatMessage> messages(ObjectNode object) {
        JsonNode array = object.get("messages");
        if (!array.isArray() || array.isEmpty()) {
            throw new IllegalArgumentException("messages: expected a list of {\"role\", \"content\"}, found " + shown(array));
        }
        List<ChatMessage> messages = new ArrayList<>();
        for (JsonNode message : array) {
            if (!message.path("role").isTextual() || !message.path("content").isTextual()) {
                throw new IllegalArgumentException("messages[" + messages.size() + "]: expected the strings role and content, found "
                        + shown(message));
            }
            messages.add(new ChatMessage(message.get("role").textValue(), message.get("content").textValue()));
        }
        return messages;
    }

    private static String string(ObjectNode object, String field) {
        if (!object.path(field).isTextual()) {
            throw new IllegalArgumentException(field + ": expected a string, found " + shown(object.path(field)));
        }
        return object.get(field).textValue();
    }

    private static int[] integers(ObjectNode object, String field) {
        JsonNode array = object.path(field);
        if (!array.isArray()) {
            throw new IllegalArgumentException(field + ": expected a list of integers, found " + shown(array));
        }
        int[] values = new int[array.size()];
        for (int i = 0; i < values.length; i++) {
            JsonNode value = array.get(i);
            if (!value.isIntegralNumber() || !value.canConvertToInt()) {
                throw new IllegalArgumentException(field + "[" + i + "] is " + value + "; expected an integer");
            }
            values[i] = value.intValue();
        }
        return values;
    }

    /// A value for a message, cut where it is long.
    private static String shown(JsonNode value) {
        String text = value.isMissingNode() ? "nothing" : value.toString();
        return text.length() > 80 ? text.substring(0, 80) + "…" : text;
    }
}
