package io.github.nf4j.io;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.github.nf4j.DType;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/// Symbolic links in the folders of models and adapters.
class FolderFilesTest {
    @TempDir
    Path folder;

    /// Opens everything that a folder has, of a model or of an adapter.
    private static void open(Path folder) throws IOException {
        if (Files.exists(folder.resolve("adapter_config.json"))) {
            PeftAdapter.open(folder, Arena.ofAuto());
            return;
        }
        ModelFiles.open(folder, Arena.ofAuto()).validate();
        Tokenizer.open(folder).close();
        ChatTemplate.find(folder).orElseThrow();
    }

    private static Path copy(String fixture, Path to) throws IOException {
        Files.createDirectories(to);
        try (Stream<Path> files = Files.list(Fixtures.path(fixture))) {
            for (Path file : (Iterable<Path>) files::iterator) {
                Files.copy(file, to.resolve(file.getFileName()));
            }
        }
        return to;
    }

    /// Moves a file to another place and leaves a link to it.
    private static void link(Path file, Path to) throws IOException {
        Files.createDirectories(to.getParent());
        Files.createSymbolicLink(file, file.getParent().relativize(Files.move(file, to)));
    }

    /// As huggingface_hub lays it out: files are links to blobs, which are named by their hashes.
    private Path snapshot(String fixture) throws IOException {
        Path cache = folder.resolve("hub/models--nobody--model");
        Path snapshot = copy(fixture, cache.resolve("snapshots/0123abcd"));
        try (Stream<Path> files = Files.list(snapshot)) {
            for (Path file : files.toList()) {
                link(file, cache.resolve("blobs/" + Integer.toHexString(file.hashCode())));
            }
        }
        return snapshot;
    }

    @ParameterizedTest
    @ValueSource(strings = {"models/llama-tied", "models/llama-sharded", "peft/plain"})
    void readsASnapshotOfAHuggingFaceCache(String fixture) throws IOException {
        Path snapshot = snapshot(fixture);
        assertTrue(Files.isSymbolicLink(snapshot.resolve(fixture.startsWith("peft") ? "adapter_config.json" : "config.json")));
        open(snapshot);
    }

    /// As older versions of huggingface_hub filled a folder that they were given.
    @Test
    void readsLinksFromElsewhereIntoAHuggingFaceCache() throws IOException {
        Path snapshot = snapshot("models/llama-tied");
        Path model = Files.createDirectories(folder.resolve("model"));
        try (Stream<Path> files = Files.list(snapshot)) {
            for (Path file : (Iterable<Path>) files::iterator) {
                Files.createSymbolicLink(model.resolve(file.getFileName()), file.toRealPath());
            }
        }
        open(model);
    }

    @Test
    void readsLinksInsideTheFolderAndToIt() throws IOException {
        Path model = copy("models/llama-sharded", folder.resolve("elsewhere/model"));
        Path shard = model.resolve("model-00002-of-00004.safetensors");
        link(shard, model.resolve("files/second"));
        open(model);
        open(Files.createSymbolicLink(folder.resolve("model"), model));
    }

    @ParameterizedTest
    @ValueSource(strings = {"config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json", "chat_template.jinja",
            "model.safetensors.index.json", "model-00003-of-00004.safetensors"})
    void refusesLinksOutOfAModel(String name) throws IOException {
        Path model = copy("models/llama-sharded", folder.resolve("model"));
        link(model.resolve(name), folder.resolve("elsewhere/file"));
        Refusal.expect(model.resolve(name), "leads out of the folder, to " + folder.toRealPath().resolve("elsewhere/file"),
                () -> open(model));
    }

    @Test
    void refusesALinkToTheWeights() throws IOException {
        Path model = copy("models/llama-tied", folder.resolve("model"));
        link(model.resolve("model.safetensors"), folder.resolve("elsewhere/file"));
        Refusal.expect(model.resolve("model.safetensors"), "leads out of the folder", () -> open(model));
    }

    @ParameterizedTest
    @ValueSource(strings = {"adapter_config.json", "adapter_model.safetensors"})
    void refusesLinksOutOfAnAdapter(String name) throws IOException {
        Path adapter = copy("peft/plain", folder.resolve("adapter"));
        link(adapter.resolve(name), folder.resolve("elsewhere/file"));
        Refusal.expect(adapter.resolve(name), "leads out of the folder", () -> open(adapter));
    }

    /// The way out is the second of two links.
    @Test
    void followsLinksToTheEnd() throws IOException {
        Path model = copy("models/llama-tied", folder.resolve("model"));
        link(model.resolve("config.json"), folder.resolve("elsewhere/file"));
        Files.move(model.resolve("config.json"), model.resolve("inside"));
        Files.createSymbolicLink(model.resolve("config.json"), Path.of("inside"));
        Refusal.expect(model.resolve("config.json"), "leads out of the folder", () -> open(model));
    }

    /// The layout of a cache, but its blobs are a link to another folder.
    @Test
    void refusesACacheWithoutBlobsOfItsOwn() throws IOException {
        Path snapshot = snapshot("models/llama-tied");
        Path blobs = folder.resolve("hub/models--nobody--model/blobs");
        Files.createSymbolicLink(blobs, Files.move(blobs, folder.resolve("elsewhere")));
        Refusal.expect(snapshot.resolve("config.json"), "leads out of the folder", () -> open(snapshot));
    }

    @Test
    void refusesLinksToNothing() throws IOException {
        Path model = copy("models/llama-tied", folder.resolve("model"));
        Path generation = model.resolve("generation_config.json");
        Files.delete(generation);
        Files.createSymbolicLink(generation, Path.of("../../blobs/0123"));
        Refusal.expect(generation, "leads to ../../blobs/0123, which is not there", () -> open(model));
    }

    /// It has no end.
    @Test
    void refusesALinkToADevice() throws IOException {
        Path model = copy("models/llama-tied", folder.resolve("model"));
        Path template = model.resolve("chat_template.jinja");
        Files.delete(template);
        Files.createSymbolicLink(template, Path.of("/dev/zero"));
        Refusal.expect(template, "leads out of the folder, to /dev/zero", () -> open(model));
    }

    @Test
    void refusesAFolderInTheFilesPlace() throws IOException {
        Path model = copy("models/llama-tied", folder.resolve("model"));
        Files.delete(model.resolve("chat_template.jinja"));
        Files.createDirectory(model.resolve("chat_template.jinja"));
        assertTrue(assertThrows(NoSuchFileException.class, () -> open(model)).getMessage().contains("is a folder, not a file"));
    }

    /// A merged model is made to be given away.
    @Test
    void copiesNothingFromOutsideIntoAMergedModel() throws IOException {
        Path model = copy("models/llama-tied", folder.resolve("model"));
        Path secret = Files.writeString(folder.resolve("secret"), "secret");
        Files.createSymbolicLink(model.resolve("notes.txt"), secret);
        Path merged = Files.createDirectory(folder.resolve("merged"));
        Refusal.expect(model.resolve("notes.txt"), "leads out of the folder",
                () -> ModelFolder.describe(model, HuggingFaceConfig.read(model), DType.F32, merged));
        assertFalse(Files.exists(merged.resolve("notes.txt")));
    }

    @Test
    void copiesWhatTheLinksOfACacheLeadTo() throws IOException {
        Path snapshot = snapshot("models/llama-tied");
        Path merged = Files.createDirectory(folder.resolve("merged"));
        ModelFolder.describe(snapshot, HuggingFaceConfig.read(snapshot), DType.F32, merged);
        assertFalse(Files.isSymbolicLink(merged.resolve("tokenizer.json")));
        assertEquals(-1, Files.mismatch(snapshot.resolve("tokenizer.json"), merged.resolve("tokenizer.json")));
    }
}
