package io.github.nf4j.io;

import com.fasterxml.jackson.databind.JsonNode;
import com.hubspot.jinjava.Jinjava;
import com.hubspot.jinjava.interpret.RenderResult;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;

/// A model's chat template: turns a conversation into the text that the model was trained on.
///
/// Templates are Jinja; they are rendered as transformers' `apply_chat_template` does, with its settings and functions.
public final class ChatTemplate {
    private final Path file;
    private final String template;
    private final SpecialTokens specialTokens;
    private final Jinjava jinja = ChatTemplateDialect.engine();

    private ChatTemplate(Path file, String template, SpecialTokens specialTokens) {
        this.file = file;
        this.template = template;
        this.specialTokens = specialTokens;
    }

    /// Finds the template of a model: `chat_template.jinja` or the `chat_template` of `tokenizer_config.json` in its
    /// folder, or the metadata of its GGUF file. Empty if it has none, as base models do.
    public static Optional<ChatTemplate> find(Path model) throws IOException {
        return Files.isDirectory(model) ? findInFolder(model) : findInGguf(model);
    }

    /// A template from its source.
    ///
    /// @param file          named in messages
    /// @param specialTokens variables such as `bos_token`
    static ChatTemplate of(Path file, String template, Map<String, String> specialTokens) {
        return new ChatTemplate(file, template, new SpecialTokens(specialTokens));
    }

    private static Optional<ChatTemplate> findInFolder(Path folder) throws IOException {
        SpecialTokens specialTokens = SpecialTokens.read(folder);
        Path file = FolderFiles.resolve(folder, "chat_template.jinja");
        if (Files.exists(file)) {
            MappedFile.requireFile(file);
            String template = JsonObject.decodeUtf8(file, "template", ByteBuffer.wrap(Files.readAllBytes(file)));
            return Optional.of(new ChatTemplate(file, template, specialTokens));
        }
        Path config = FolderFiles.resolve(folder, "tokenizer_config.json");
        if (!Files.exists(config)) {
            return Optional.empty();
        }
        JsonObject json = JsonObject.read(config);
        if (!json.has("chat_template")) {
            return Optional.empty();
        }
        return Optional.of(new ChatTemplate(config, templateOf(json), specialTokens));
    }

    /// The field is a string, or a list of named templates of which the one called `default` is taken.
    private static String templateOf(JsonObject config) {
        JsonNode field = config.get("chat_template");
        if (field.isTextual()) {
            return field.textValue();
        }
        for (JsonNode named : field) {
            if (named.path("name").asText().equals("default") && named.path("template").isTextual()) {
                return named.get("template").textValue();
            }
        }
        throw config.problem("chat_template", "expected a string, or a list with a template named 'default'");
    }

    private static Optional<ChatTemplate> findInGguf(Path file) throws IOException {
        try (Arena arena = Arena.ofConfined()) {
            GgufMetadata metadata = Gguf.open(file, arena).metadata();
            String key = "tokenizer.chat_template";
            return metadata.has(key)
                    ? Optional.of(new ChatTemplate(file, metadata.string(key), SpecialTokens.read(metadata)))
                    : Optional.empty();
        }
    }

    /// Renders a conversation.
    ///
    /// @param addGenerationPrompt whether the text ends with the beginning of the assistant's next turn
    /// @throws IllegalArgumentException if the template refuses the conversation, for instance because of its roles
    /// @throws FileFormatException      if the template itself does not work
    public String render(List<ChatMessage> messages, boolean addGenerationPrompt) {
        List<Map<String, Object>> turns = new ArrayList<>();
        for (ChatMessage message : messages) {
            Map<String, Object> turn = new LinkedHashMap<>(); // some templates print it, in this order
            turn.put("role", message.role());
            turn.put("content", message.content());
            turns.add(turn);
        }
        Map<String, Object> variables = new HashMap<>(specialTokens.texts());
        variables.put("messages", turns);
        variables.put("add_generation_prompt", addGenerationPrompt);
        RenderResult result = jinja.renderForResult(template, variables);
        if (!result.getErrors().isEmpty()) {
            throw ChatTemplateDialect.failure(file, result.getErrors());
        }
        return result.getOutput();
    }
}
