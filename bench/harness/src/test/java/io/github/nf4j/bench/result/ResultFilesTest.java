package io.github.nf4j.bench.result;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.networknt.schema.InputFormat;
import com.networknt.schema.JsonSchemaFactory;
import com.networknt.schema.SpecVersion;
import io.github.nf4j.bench.result.CaseResult.Status;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Set;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

class ResultFilesTest {
    private static final Path SCHEMA = Path.of(System.getProperty("nf4j.root"), "bench/schema/nf4j-bench-1.0.json");

    @TempDir
    private Path folder;

    @Test
    void whatIsWrittenIsReadAgainAndFitsTheSchema() throws IOException {
        ResultFile written = Samples.file("box", Samples.row("a", 1, 2, 3), Samples.row("b", Status.VOID, "wrong"));
        ResultFile read = ResultFiles.read(store(written));
        assertEquals(written.machine(), read.machine());
        assertEquals(written.code(), read.code());
        assertEquals(written.floors(), read.floors());
        assertEquals(written.cases().get(1), read.cases().get(1));
        assertArrayEquals(new double[] {1, 2, 3}, read.cases().get(0).timing().samplesUs());
        assertEquals(Set.of(), violations(Files.readString(store(written))));
    }

    @Test
    void rowsOfTrainingStepsFitTheSchema() throws IOException {
        Path file = store(Samples.file("box", Samples.steps(300, Samples.stepPeer("other", 400))));
        CaseResult row = ResultFiles.read(file).cases().getFirst();
        assertEquals(300, row.step().peakMb());
        assertEquals(400, row.peers().getFirst().step().peakMb());
        assertEquals(Set.of(), violations(Files.readString(file)));
        assertTrue(violations(Files.readString(file).replace("\"losses\"", "\"gains\"")).size() > 0);
    }

    @Test
    void theSchemaRefusesWhatIsNoResult() throws IOException {
        String json = Files.readString(store(Samples.file("box", Samples.row("a", 1, 2, 3))));
        assertTrue(violations(json.replace("\"OK\"", "\"GOOD\"")).size() > 0);
        assertTrue(violations(json.replace("nf4j-bench/1.0", "nf4j-bench/2.0")).size() > 0);
        assertTrue(violations(json.replace("\"fingerprint\"", "\"finger\"")).size() > 0);
    }

    @Test
    void aNewerMinorVersionIsReadWithoutItsNewFields() throws IOException {
        String json = Files.readString(store(Samples.file("box", Samples.row("a", 1, 2, 3))));
        Path newer = text(json.replace("nf4j-bench/1.0", "nf4j-bench/1.7").replaceFirst("\"fingerprint\"", "\"moon\": 1, \"fingerprint\""));
        assertEquals(1, ResultFiles.read(newer).cases().size());
    }

    @ParameterizedTest
    @CsvSource({"nf4j-bench/2.0, newer than this program", "nf4j-bench/0.9, older than this program", "nf4j-bench/x, has no version",
            "other/1.0, not a result"})
    void otherVersionsAreRefusedByName(String schema, String reason) throws IOException {
        String json = Files.readString(store(Samples.file("box", Samples.row("a", 1, 2, 3))));
        refused(text(json.replace("nf4j-bench/1.0", schema)), reason);
    }

    @ParameterizedTest
    @ValueSource(doubles = {0, 0.1, 0.5, 0.9, 0.999})
    void aFileCutShortIsRefused(double kept) throws IOException {
        String json = Files.readString(store(Samples.file("box", Samples.row("a", 1, 2, 3)))).strip();
        refused(text(json.substring(0, (int) (json.length() * kept))), "");
    }

    @Test
    void damagedContentIsRefused() throws IOException {
        String json = Files.readString(store(Samples.file("box", Samples.row("a", 1, 2, 3))));
        refused(text(json.replace("[ 1.0, 2.0, 3.0 ]", "[ 1.0, -2.0, 3.0 ]")), "sample of -2.0");
        refused(text(json.replace("[ 1.0, 2.0, 3.0 ]", "[ ]")), "no samples");
        refused(text(json.replace("\"op\" : \"a\"", "\"op\" : \"b\"")), "has the key of b/");
        refused(text(json.replace("\"fingerprint\" : \"box\"", "\"fingerprint\" : null")), "no fingerprint");
        refused(text("[]"), "not a result");
        refused(text("{\"schema\": \"nf4j-bench/1.0\"}"), "");
        refused(store(Samples.file("box", Samples.row("a", 1), Samples.row("a", 1))), "stands there twice");
        refused(folder.resolve("none.json"), "no such file");
        refused(Files.write(folder.resolve("binary.json"), new byte[] {(byte) 0xff, (byte) 0xfe, 0}), "no UTF-8");
        refused(folder, "");
    }

    private void refused(Path file, String reason) {
        String message = assertThrows(ResultFiles.UnreadableException.class, () -> ResultFiles.read(file)).getMessage();
        assertTrue(message.contains(reason) && message.contains(file.toString()), message);
    }

    private Path store(ResultFile result) throws IOException {
        Path file = folder.resolve("result.json");
        ResultFiles.write(file, result);
        return file;
    }

    private Path text(String content) throws IOException {
        return Files.writeString(folder.resolve("edited.json"), content);
    }

    static Set<?> violations(String json) throws IOException {
        return JsonSchemaFactory.getInstance(SpecVersion.VersionFlag.V202012).getSchema(Files.readString(SCHEMA))
                .validate(json, InputFormat.JSON);
    }
}
