package io.github.nf4j.bench.result;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.DeserializationFeature;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.PropertyNamingStrategies;
import com.fasterxml.jackson.databind.SerializationFeature;
import com.fasterxml.jackson.databind.json.JsonMapper;
import io.github.nf4j.io.AtomicFile;
import java.io.IOException;
import java.nio.charset.CharacterCodingException;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.util.HashSet;
import java.util.Set;

/// Reads and writes [ResultFile]s.
public final class ResultFiles {
    private static final String NAME = "nf4j-bench/";
    private static final int MAJOR = 1;
    /// Fields of a newer minor version are skipped.
    private static final ObjectMapper JSON = JsonMapper.builder()
            .propertyNamingStrategy(PropertyNamingStrategies.SNAKE_CASE)
            .disable(DeserializationFeature.FAIL_ON_UNKNOWN_PROPERTIES)
            .enable(DeserializationFeature.FAIL_ON_NULL_FOR_PRIMITIVES)
            .enable(SerializationFeature.INDENT_OUTPUT)
            .build();

    private ResultFiles() {
    }

    /// A file that cannot be used, with the reason in one sentence.
    public static final class UnreadableException extends RuntimeException {
        private static final long serialVersionUID = 1;

        UnreadableException(Path file, String reason, Throwable cause) {
            super(file + ": " + reason, cause);
        }
    }

    /// @throws UnreadableException if it is missing, damaged, of another major version, or not a result file
    public static ResultFile read(Path file) {
        try {
            JsonNode tree = JSON.readTree(Files.readString(file));
            checkSchema(file, tree.path("schema"));
            ResultFile result = JSON.treeToValue(tree, ResultFile.class);
            checkContent(file, result);
            return result;
        } catch (NoSuchFileException e) {
            throw new UnreadableException(file, "no such file", e);
        } catch (JsonProcessingException e) {
            throw new UnreadableException(file, "damaged, or not a result of nf4j-bench: "
                    + e.getOriginalMessage().replaceFirst(" \\(start marker at .*", ""), e);
        } catch (CharacterCodingException e) {
            throw new UnreadableException(file, "damaged, or not a result of nf4j-bench: it is no UTF-8", e);
        } catch (IOException | NullPointerException e) {
            throw new UnreadableException(file, e.getMessage(), e);
        }
    }

    /// A run to go on with.
    ///
    /// @throws IllegalArgumentException if it was measured on another machine or with another library
    public static ResultFile resumed(Path file, Machine machine, ResultFile.Code code) {
        ResultFile start = read(file);
        if (!start.machine().fingerprint().equals(machine.fingerprint()) || !start.code().library().equals(code.library())) {
            throw new IllegalArgumentException("--resume: " + file + " was measured on " + start.machine().fingerprint() + " with library "
                    + start.code().library() + "; this is " + machine.fingerprint() + " with " + code.library());
        }
        return start;
    }

    public static void write(Path file, ResultFile result) throws IOException {
        AtomicFile.write(file, toJson(result));
    }

    static String toJson(ResultFile result) throws JsonProcessingException {
        return JSON.writeValueAsString(result) + "\n";
    }

    private static void checkSchema(Path file, JsonNode schema) {
        String text = schema.asText("");
        if (!text.startsWith(NAME)) {
            throw new UnreadableException(file, "not a result of nf4j-bench: its schema is " + schema + ", not " + ResultFile.SCHEMA, null);
        }
        String version = text.substring(NAME.length());
        if (!version.matches("\\d{1,6}\\.\\d{1,6}")) {
            throw new UnreadableException(file, "schema " + text + " has no version", null);
        }
        int major = Integer.parseInt(version.substring(0, version.indexOf('.')));
        if (major != MAJOR) {
            throw new UnreadableException(file, "schema " + text + " is " + (major > MAJOR ? "newer" : "older")
                    + " than this program, which reads " + NAME + MAJOR + ".x", null);
        }
    }

    /// What a type cannot say. Figures decide about other people's work, so nothing is guessed.
    private static void checkContent(Path file, ResultFile result) {
        require(file, result.run() != null && result.code() != null && result.machine() != null,
                "run, code and machine must be there");
        require(file, result.machine().fingerprint() != null, "machine has no fingerprint");
        Set<String> ids = new HashSet<>();
        for (CaseResult row : result.cases()) {
            require(file, row.key() != null && row.status() != null, "a case has no key or no status");
            require(file, row.key().id().equals(row.id()), "case " + row.id() + " has the key of " + row.key().id());
            require(file, ids.add(row.id()), "case " + row.id() + " stands there twice");
            if (row.isMeasured()) {
                require(file, row.timing() != null && row.stats() != null && row.rate() != null, "case " + row.id() + " has no timing");
                double[] samples = row.timing().samplesUs();
                require(file, samples != null && samples.length > 0, "case " + row.id() + " has no samples");
                for (double sample : samples) {
                    require(file, sample > 0 && Double.isFinite(sample), "case " + row.id() + " has a sample of " + sample + " us");
                }
            }
        }
    }

    private static void require(Path file, boolean holds, String otherwise) {
        if (!holds) {
            throw new UnreadableException(file, "damaged: " + otherwise, null);
        }
    }
}
