package io.github.nf4j.train;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.github.nf4j.Backend;
import io.github.nf4j.DType;
import io.github.nf4j.Device;
import io.github.nf4j.Stream;
import io.github.nf4j.io.PeftConfig;
import io.github.nf4j.io.Tokenizer;
import io.github.nf4j.nn.LlamaModel;
import io.github.nf4j.nn.Quantization;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Set;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.function.Executable;

/// Closing and using models, tokenizers and trainers in every wrong order.
class ModelLifetimeTest {
    private static final Path MODEL = Path.of("src/test/resources/fixtures/models/llama-tied");
    private static final Path PACKED = Path.of("src/test/resources/fixtures/bnb/nf4-nested");
    private static final List<int[]> PROMPT = List.of(new int[] {5, 6, 7});

    private static LlamaModel load(PretrainedModel files, Stream stream) {
        LlamaModel model = files.load(stream, Quantization.nf4(), DType.F32);
        Adapters.attach(model, PeftConfig.of(4, 8, 0, List.of("q_proj"), false, "model"), 1);
        return model;
    }

    private static Trainer trainer(LlamaModel model) {
        Dataset data = new Dataset(Path.of("memory"), List.of(new Example(new int[] {5, 6, 7, 8}, new int[] {-100, 6, 7, 8})), 0, 0);
        return new Trainer(model, data, Trainer.Settings.of(3, 1e-3));
    }

    private static List<int[]> generate(LlamaModel model) {
        return new Generator(model, Sampler.GREEDY, Set.of(), 1).generate(PROMPT, 4, (_, _) -> {});
    }

    @Test
    void closingTwiceDoesNothing() throws Exception {
        try (Device device = Device.open(Backend.CPU); Stream stream = device.newStream()) {
            PretrainedModel files = PretrainedModel.open(MODEL);
            LlamaModel model = load(files, stream);
            Trainer trainer = trainer(model);
            for (AutoCloseable closeable : new AutoCloseable[] {trainer, model, files.tokenizer(), files}) {
                closeable.close();
                closeable.close();
            }
        }
    }

    @Test
    void nothingIsUsedOnceClosed() throws Exception {
        try (Device device = Device.open(Backend.CPU); Stream stream = device.newStream()) {
            PretrainedModel files = PretrainedModel.open(MODEL);
            LlamaModel model = load(files, stream);
            Tokenizer tokenizer = files.tokenizer();
            files.close();
            refused("files of the model " + MODEL + " is closed", () -> files.load(stream, Quantization.nf4(), DType.F32));
            String closed = "tokenizer of " + MODEL.resolve("tokenizer.json") + " is closed";
            refused(closed, () -> tokenizer.encode("a", false));
            refused(closed, () -> tokenizer.decode(new int[] {1}));
            assertEquals(1, generate(model).size(), "the model needs its files no more");

            Trainer trainer = trainer(model);
            trainer.step();
            trainer.close();
            refused("is closed", trainer::step);
            Trainer orphan = trainer(model);
            model.close();
            refused("is closed", orphan::step);
            refused("is closed", () -> generate(model));
            orphan.close();
        } // closes: nothing that failed has left anything open
    }

    private static void refused(String message, Executable action) {
        String actual = assertThrows(IllegalStateException.class, action).getMessage();
        assertTrue(actual.contains(message), actual);
    }

    /// Both native libraries would read memory that is gone.
    @Test
    void filesAreNotUnmappedUnderALoadNorTokenizersFreedUnderACall() throws Exception {
        int users = 4;
        for (int round = 0; round < 4; round++) {
            PretrainedModel files = PretrainedModel.open(PACKED);
            int[] expected = files.tokenizer().encode("some words", false);
            CountDownLatch running = new CountDownLatch(users);
            try (ExecutorService threads = Executors.newFixedThreadPool(users)) {
                List<Future<?>> results = new ArrayList<>();
                for (int user = 0; user < users; user++) {
                    boolean loads = user == 0;
                    results.add(threads.submit(() -> {
                        try (Device device = Device.open(Backend.CPU); Stream stream = device.newStream()) {
                            running.countDown();
                            for (int call = 0; call < 40; call++) { // not for ever: one who closes waits for a gap
                                if (loads) {
                                    files.load(stream, Quantization.none(), DType.F32).close();
                                } else {
                                    assertArrayEquals(expected, files.tokenizer().encode("some words", false));
                                }
                            }
                        } catch (IllegalStateException closed) {
                            assertTrue(closed.getMessage().endsWith("is closed"), closed.getMessage());
                        }
                    }));
                }
                running.await();
                close(files);
                for (Future<?> result : results) {
                    result.get();
                }
            }
        }
    }

    /// Tries until nobody is inside.
    private static void close(PretrainedModel files) {
        while (true) {
            try {
                files.close();
                return;
            } catch (IllegalStateException inUse) {
                assertTrue(inUse.getMessage().contains("cannot be closed: it is in use"), inUse.getMessage());
                Thread.onSpinWait();
            }
        }
    }
}
