package io.github.nf4j.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assumptions.abort;

import com.fasterxml.jackson.databind.ObjectMapper;
import io.github.nf4j.Backend;
import io.github.nf4j.BackendUnavailableException;
import io.github.nf4j.Device;
import io.github.nf4j.nn.TrainingFixture;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/// The losses of PEFT's training runs, through the command line.
class FinetuneFixtureTest {
    private static final int STEPS = 20;

    @TempDir
    private Path folder;

    @ParameterizedTest
    @CsvSource({"cpu, lora", "cpu, qlora", "simt, qlora"})
    void lossesAreThoseOfPeft(String backend, String name) throws IOException {
        try {
            Device.open(Backend.valueOf(backend.toUpperCase(Locale.ROOT))).close();
        } catch (BackendUnavailableException e) {
            abort(e.getMessage());
        }
        TrainingFixture.write(name, folder);
        List<Object> arguments = new ArrayList<>(List.of("finetune", "--backend", backend, "--model", folder.resolve("model"),
                "--init-adapter", folder.resolve("adapter"), "--data", folder.resolve("data.jsonl"), "--output", folder.resolve("run")));
        arguments.addAll(TrainingFixture.options());
        arguments.addAll(List.of("--optim", name.equals("lora") ? "paged_adamw" : "adamw"));
        CommandLineRun.output(arguments.toArray());
        List<String> expected = Files.readAllLines(folder.resolve("losses.txt"));
        List<String> metrics = Files.readAllLines(folder.resolve("run/metrics.jsonl"));
        assertEquals(STEPS, metrics.size());
        for (int step = 0; step < STEPS; step++) {
            double loss = new ObjectMapper().readTree(metrics.get(step)).get("loss").asDouble();
            assertEquals(Double.parseDouble(expected.get(step)), loss, 5e-3, "loss of step " + step);
        }
    }
}
