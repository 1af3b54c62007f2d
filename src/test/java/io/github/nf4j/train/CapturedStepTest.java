package io.github.nf4j.train;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.abort;

import io.github.nf4j.Backend;
import io.github.nf4j.BackendUnavailableException;
import io.github.nf4j.DType;
import io.github.nf4j.Device;
import io.github.nf4j.Stream;
import io.github.nf4j.Tensor;
import io.github.nf4j.autograd.Tape;
import io.github.nf4j.autograd.TensorPool;
import io.github.nf4j.io.ModelFiles;
import io.github.nf4j.io.PeftConfig;
import io.github.nf4j.nn.LlamaModel;
import io.github.nf4j.nn.Quantization;
import io.github.nf4j.nn.Seeds;
import io.github.nf4j.nn.TokenBatch;
import io.github.nf4j.op.CallTrace;
import io.github.nf4j.optim.AdamW;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.ValueLayout;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.OptionalLong;
import java.util.SplittableRandom;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/// A training step as a graph, on simt: the bits of the calls that it was captured from, and how many calls it takes.
class CapturedStepTest {
    private static final Path MODEL = Path.of("src/test/resources/fixtures/models/llama-tied");
    private static final int VOCABULARY = 384;
    private static final long SEED = 11;
    private static final double MAX_NORM = 0.01;

    /// Two sequences of 5 and 9 tokens whose first ones are masked.
    private static TokenBatch batch(int step) {
        return batch(step, 2, 5, 9);
    }

    private static TokenBatch batch(int step, int masked, int first, int second) {
        SplittableRandom random = new SplittableRandom(step);
        List<int[]> sequences = List.of(random.ints(first, 3, VOCABULARY).toArray(), random.ints(second, 3, VOCABULARY).toArray());
        List<int[]> labels = sequences.stream().map(int[]::clone).toList();
        labels.forEach(row -> Arrays.fill(row, 0, masked, TokenBatch.MASKED));
        return TokenBatch.of(sequences, labels);
    }

    private static double rate(int step) {
        return 5e-3 / (1 + step);
    }

    /// A tiny quantized model with adapters that drop, and its optimizer.
    private static final class Session implements AutoCloseable {
        private final Device device;
        private final Stream stream;
        private final LlamaModel model;
        private final AdamW optimizer;

        Session(Backend backend, DType compute, int stateBits) throws IOException {
            device = open(backend);
            stream = device.newStream();
            try (Arena arena = Arena.ofConfined()) {
                ModelFiles files = ModelFiles.open(MODEL, arena);
                model = LlamaModel.load(stream, files.config(), new FileWeights(files), Quantization.nf4(), compute);
            }
            int rank = stateBits == 8 ? 64 : 4; // small matrices keep 32 bits
            Adapters.attach(model, PeftConfig.of(rank, 8, 0.25, List.of("q_proj", "down_proj"), false, "model"), 3);
            optimizer = new AdamW(stream, model.parameters(), new AdamW.Settings(0.9, 0.999, 1e-8, 0.01, stateBits));
        }

        private static Device open(Backend backend) {
            try {
                return Device.open(backend);
            } catch (BackendUnavailableException e) {
                return abort(e.getMessage());
            }
        }

        /// One step by single calls.
        CapturedStep.Result step(TensorPool pool, int step) {
            TokenBatch batch = batch(step);
            optimizer.zeroGrad();
            double sum;
            try (Tape tape = Tape.recording(pool)) {
                sum = model.loss(tape, batch, 1.0 / batch.trainedTokens(), OptionalLong.of(Seeds.dropout(SEED, step, 0)));
                tape.backward();
            }
            return new CapturedStep.Result(sum / batch.trainedTokens(), optimizer.step(rate(step), MAX_NORM));
        }

        /// The bits of adapters and moments.
        byte[] state() {
            List<Tensor> tensors = new ArrayList<>();
            optimizer.states().forEach(state -> tensors.addAll(List.of(state.parameter().value(), state.m(), state.v())));
            int size = tensors.stream().mapToInt(tensor -> (int) tensor.segment().byteSize()).sum();
            byte[] bytes = new byte[size];
            int at = 0;
            for (Tensor tensor : tensors) {
                byte[] part = tensor.segment().toArray(ValueLayout.JAVA_BYTE);
                System.arraycopy(part, 0, bytes, at, part.length);
                at += part.length;
            }
            return bytes;
        }

        @Override
        public void close() {
            optimizer.close();
            model.close();
            stream.close();
            device.close();
        }
    }

    @ParameterizedTest
    @CsvSource({"F32, 32", "BF16, 8"})
    void replayedStepsHaveTheBitsOfSingleCalls(DType compute, int stateBits) throws IOException {
        try (Session single = new Session(Backend.SIMT, compute, stateBits);
                Session captured = new Session(Backend.SIMT, compute, stateBits);
                TensorPool pool = new TensorPool(single.stream);
                CapturedStep graph = new CapturedStep(captured.model, captured.optimizer, batch(99), MAX_NORM)) {
            byte[] before = captured.state();
            assertArrayEquals(single.state(), before, "capturing has changed something");
            for (int step = 0; step < 5; step++) {
                CapturedStep.Result expected = single.step(pool, step);
                CapturedStep.Result result = graph.run(batch(step), Seeds.dropout(SEED, step, 0), rate(step));
                assertEquals(expected, result, "step " + step);
                assertTrue(result.loss() > 1 && result.gradNorm() > MAX_NORM, "a step that clips: " + result);
                assertArrayEquals(single.state(), captured.state(), "step " + step);
                assertFalse(Arrays.equals(before, captured.state()), "step " + step + " changed nothing");
                before = captured.state();
            }
        }
    }

    /// Java's part of a step: its inputs to the device, one launch, two results back.
    @Test
    void aStepIsOneLaunchAndItsCopies() throws IOException {
        try (Session session = new Session(Backend.SIMT, DType.F32, 32)) {
            List<String> single;
            try (TensorPool pool = new TensorPool(session.stream); CallTrace trace = CallTrace.of(session.stream)) {
                session.step(pool, 0);
                single = trace.entries().stream().map(CallTrace.Entry::operation).toList();
            }
            assertTrue(single.size() > 60, single::toString);
            try (CapturedStep step = new CapturedStep(session.model, session.optimizer, batch(0), MAX_NORM);
                    CallTrace trace = CallTrace.of(session.stream)) {
                step.run(batch(1), 1, 1e-3);
                List<String> copy = List.of("memory.copy", "stream.synchronize");
                List<String> expected = new ArrayList<>();
                for (int input = 0; input < 3; input++) { // tokens, targets, seeds
                    expected.addAll(copy);
                }
                expected.addAll(List.of("optim.adamw_step", "graph.launch"));
                expected.addAll(copy); // losses
                expected.addAll(copy); // norm
                assertEquals(expected, trace.entries().stream().map(CallTrace.Entry::operation).toList());
            }
        }
    }

    @Test
    void otherFormsAndOtherBackendsAreRefused() throws IOException {
        try (Session session = new Session(Backend.SIMT, DType.F32, 32)) {
            try (CapturedStep step = new CapturedStep(session.model, session.optimizer, batch(0), MAX_NORM)) {
                byte[] before = session.state();
                assertThrows(IllegalArgumentException.class, () -> step.run(batch(1, 2, 4, 10), 1, 1e-3), "other lengths");
                assertThrows(IllegalArgumentException.class, () -> step.run(batch(1, 3, 5, 9), 1, 1e-3), "fewer trained tokens");
                assertArrayEquals(before, session.state());
                assertThrows(IllegalStateException.class, session.optimizer::close);
            }
        }
        try (Session session = new Session(Backend.CPU, DType.F32, 32)) {
            assertThrows(UnsupportedOperationException.class,
                    () -> new CapturedStep(session.model, session.optimizer, batch(0), MAX_NORM));
        }
    }
}
