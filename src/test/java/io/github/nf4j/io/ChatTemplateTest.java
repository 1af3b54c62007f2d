package io.github.nf4j.io;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.ZoneOffset;
import java.time.ZonedDateTime;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.stream.Stream;
import java.util.stream.StreamSupport;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.MethodSource;

class ChatTemplateTest {
    private static final List<ChatMessage> HELLO = List.of(new ChatMessage("user", "Hello"));

    @TempDir
    Path folder;

    /// What transformers rendered, or that it refused.
    static Stream<Arguments> cases() throws IOException {
        JsonNode file = JsonObject.MAPPER.readTree(Files.readString(Fixtures.path("chat/cases.json")));
        return StreamSupport.stream(file.get("cases").spliterator(), false).map(c -> {
            String name = c.get("template").asText();
            return Arguments.of(name, file.get("templates").get(name).asText(), c);
        });
    }

    @ParameterizedTest(name = "{0} {index}")
    @MethodSource("cases")
    void rendersAsTransformersDoes(String name, String source, JsonNode expected) {
        ChatTemplate template = ChatTemplate.of(Path.of(name), source, Map.of("bos_token", "<s>", "eos_token", "</s>"));
        boolean prompt = expected.get("add_generation_prompt").asBoolean();
        if (expected.has("error")) {
            String message = assertThrows(IllegalArgumentException.class, () -> template.render(messages(expected), prompt))
                    .getMessage();
            assertTrue(message.contains(expected.get("error").asText()), message);
        } else {
            assertEquals(expected.get("expected").asText(), template.render(messages(expected), prompt));
        }
    }

    private static List<ChatMessage> messages(JsonNode json) {
        List<ChatMessage> messages = new ArrayList<>();
        json.get("messages")
                .forEach(m -> messages.add(new ChatMessage(m.get("role").asText(), m.get("content").asText())));
        return messages;
    }

    @Test
    void findsTheTemplateWhereverItIs() throws IOException {
        assertTrue(ChatTemplate.find(folder).isEmpty());
        Files.writeString(folder.resolve("tokenizer_config.json"), "{\"eos_token\": \"</s>\"}");
        assertTrue(ChatTemplate.find(folder).isEmpty());
        Files.writeString(folder.resolve("tokenizer_config.json"),
                "{\"chat_template\": \"{{ messages[0].content }}{{ eos_token }}\", \"eos_token\": {\"content\": \"</s>\"}}");
        assertEquals("Hello</s>", ChatTemplate.find(folder).orElseThrow().render(HELLO, true));
        Files.writeString(folder.resolve("tokenizer_config.json"),
                "{\"chat_template\": [{\"name\": \"tool_use\", \"template\": \"x\"},"
                        + "{\"name\": \"default\", \"template\": \"list\"}]}");
        assertEquals("list", ChatTemplate.find(folder).orElseThrow().render(HELLO, true));
        Files.writeString(folder.resolve("chat_template.jinja"), "file");
        assertEquals("file", ChatTemplate.find(folder).orElseThrow().render(HELLO, true));
        Path gguf = new GgufWriter().string("general.architecture", "llama")
                .string("tokenizer.chat_template", "{{ bos_token }}!")
                .strings("tokenizer.ggml.tokens", List.of("a", "<s>")).u32("tokenizer.ggml.bos_token_id", 1)
                .write(folder.resolve("model.gguf"));
        assertEquals("<s>!", ChatTemplate.find(gguf).orElseThrow().render(HELLO, true));
    }

    @Test
    void doesNotRunWhatAMessageSays() {
        ChatTemplate template = ChatTemplate.of(Path.of("t"), "{{ messages[0].content }}", Map.of());
        String text = "{{ 1 + 1 }}{% set x = 1 %}{# c #}";
        assertEquals(text, template.render(List.of(new ChatMessage("user", text)), false));
    }

    @Test
    void namesTheFileOfATemplateThatDoesNotWork() {
        ChatTemplate template = ChatTemplate.of(Path.of("broken.jinja"), "{% for m in messages %}{{ m.content }}",
                Map.of());
        String message = assertThrows(FileFormatException.class, () -> template.render(HELLO, false)).getMessage();
        assertTrue(message.contains("broken.jinja"), message);
    }

    @ParameterizedTest
    @ValueSource(strings = {
            "{% for i in range(1000) %}{% for j in range(1000) %}{{ 'a sentence of forty characters, or nearly' }}{% endfor %}{% endfor %}",
            "{% set ns = namespace(x='ab') %}{% for i in range(40) %}{% set ns.x = ns.x ~ ns.x %}{% endfor %}",
            "{% set ns = namespace(x=[1]) %}{% for i in range(40) %}{% set ns.x = ns.x + ns.x %}{% endfor %}"})
    void takesNoMoreMemoryThanAConversation(String template) {
        ChatTemplate hostile = ChatTemplate.of(Path.of("hostile.jinja"), template, Map.of());
        String message = assertThrows(FileFormatException.class, () -> hostile.render(HELLO, false)).getMessage();
        assertTrue(message.contains("hostile.jinja") && message.contains("TooBig"), message);
    }

    @Test
    void knowsTheDate() {
        ChatTemplate template = ChatTemplate.of(Path.of("t"),
                "{% if strftime_now is defined %}{{ strftime_now('%Y') }}{% endif %}", Map.of());
        assertEquals(String.valueOf(ZonedDateTime.now().getYear()), template.render(HELLO, false));
        ZonedDateTime time = ZonedDateTime.of(2024, 3, 5, 14, 7, 9, 0, ZoneOffset.UTC);
        assertEquals("05 Mar 2024, Tuesday March Tue 14:07:09 02 PM 065 24 03 %",
                PythonFormats.strftime(time, "%d %b %Y, %A %B %a %H:%M:%S %I %p %j %y %m %%"));
        assertThrows(IllegalArgumentException.class, () -> PythonFormats.strftime(time, "%Q"));
    }
}
