package io.github.nf4j.bench.goals;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import io.github.nf4j.bench.goals.JvmGoal.Measure;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class GoalsTest {
    @TempDir
    private Path folder;

    @Test
    void bothKindsAreRead() throws IOException {
        Goals goals = Goals.read(file("""
                {"limits": [{"name": "a", "op": "^nf4", "peers": ["onednn"], "ratio_at_most": 1.05}],
                 "jvm": [{"name": "b", "call": "fill", "measure": "over_c_ns", "at_most": 10}]}"""));
        assertEquals(1.05, goals.limits().getFirst().ratioAtMost());
        assertEquals(Goal.Measure.TIME, goals.limits().getFirst().measure());
        assertEquals(Measure.OVER_C_NS, goals.jvm().getFirst().measure());
        assertEquals(10, goals.jvm().getFirst().atMost());
    }

    @ParameterizedTest
    @ValueSource(strings = {"{\"limits\": [{\"name\": \"x\", \"ops\": \"y\"}], \"jvm\": []}", "{\"limits\": []}", "[]", "{",
            "{\"limits\": [], \"jvm\": [{\"name\": \"x\", \"call\": \"y\", \"measure\": \"miles\", \"at_most\": 1}]}"})
    void aFileWithASlipIsRefused(String text) throws IOException {
        Path file = file(text);
        assertThrows(IOException.class, () -> Goals.read(file));
    }

    private Path file(String text) throws IOException {
        return Files.writeString(folder.resolve("goals.json"), text);
    }
}
