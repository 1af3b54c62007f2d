package io.github.nf4j;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/// Runs the programs of README.md as it says.
class ReadmeTest {
    private static final Path LIBRARY = Path.of(System.getProperty("nf4j.library.path")).toAbsolutePath();

    @TempDir
    private Path folder;

    private static String program(String language, int index) throws IOException {
        Matcher matcher = Pattern.compile("```" + language + "\n(.*?)```", Pattern.DOTALL).matcher(Files.readString(Path.of("README.md")));
        for (int i = 0; i <= index; i++) {
            assertTrue(matcher.find(), "README.md has fewer programs in " + language);
        }
        return matcher.group(1);
    }

    private String java(int index, Object... arguments) throws IOException, InterruptedException {
        Path source = Files.writeString(folder.resolve("Example.java"), program("java", index));
        List<Object> command = new ArrayList<>(JavaProcess.command());
        command.add(source);
        command.addAll(List.of(arguments));
        return run(command.toArray());
    }

    private String run(Object... command) throws IOException, InterruptedException {
        Path output = folder.resolve("output.txt");
        Process process = new ProcessBuilder(List.of(command).stream().map(Object::toString).toList())
                .redirectErrorStream(true).redirectOutput(output.toFile()).start();
        int exitCode = process.waitFor();
        String text = Files.readString(output);
        assertEquals(0, exitCode, text);
        return text;
    }

    @Test
    void trainsFromJava() throws IOException, InterruptedException {
        Path data = Files.writeString(folder.resolve("data.jsonl"), "{\"prompt\": \"one\", \"completion\": \" two\"}\n");
        Path adapter = folder.resolve("adapter");
        String text = java(0, Path.of("src/test/resources/fixtures/models/llama-tied"), data, adapter);
        Matcher loss = Pattern.compile("loss=([0-9.]+)").matcher(text);
        List<Double> losses = loss.results().map(result -> Double.parseDouble(result.group(1))).toList();
        assertEquals(20, losses.size(), text);
        assertTrue(losses.getLast() < losses.getFirst() - 0.5, text);
        assertTrue(Files.exists(adapter.resolve("adapter_model.safetensors")));
    }

    @Test
    void multipliesFromJava() throws IOException, InterruptedException {
        assertTrue(java(1).lines().anyMatch("128.0"::equals), "128 products of 0.5 and 2");
    }

    @Test
    void multipliesFromC() throws IOException, InterruptedException {
        Path source = Files.writeString(folder.resolve("example.c"), program("c", 0));
        Path program = folder.resolve("a.out");
        run("cc", "-std=c11", "-Wall", "-Wextra", "-Wpedantic", "-Werror", source, "-Inative/include", "-L" + LIBRARY, "-lnf4j",
                "-Wl,-rpath," + LIBRARY, "-o", program);
        List<Double> y = run(program).lines().map(Double::valueOf).toList();
        double[] exact = {2, 10, -3, -2}; // with the weights before quantization
        assertEquals(exact.length, y.size());
        for (int i = 0; i < exact.length; i++) {
            assertEquals(exact[i], y.get(i), 0.8, "y[" + i + "]");
        }
    }
}
