package io.github.nf4j.bench.cases;

import io.github.nf4j.DType;
import io.github.nf4j.Nf4Weight;
import io.github.nf4j.Stream;
import io.github.nf4j.Tensor;
import io.github.nf4j.autograd.Tape;
import io.github.nf4j.autograd.TensorPool;
import io.github.nf4j.bench.cases.Models.Model;
import io.github.nf4j.bench.result.CaseResult.Work;
import io.github.nf4j.io.PeftAdapter;
import io.github.nf4j.io.PeftConfig;
import io.github.nf4j.io.RawTensor;
import io.github.nf4j.io.Tokenizer;
import io.github.nf4j.nn.LlamaModel;
import io.github.nf4j.nn.Quantization;
import io.github.nf4j.nn.TokenBatch;
import io.github.nf4j.train.PretrainedModel;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.function.Function;
import java.util.function.IntConsumer;
import java.util.stream.IntStream;

/// Scope `load`: what stands before the first step and after the last one. A case's work is that its input is read once, so a rate is
/// bytes of input in a second, and a floor the time in which memory is read. Files come from the system's cache, not from a disk.
final class LoadCases {
    private static final int SEED = 1;
    private static final int TEXT_BYTES = 1 << 16;
    private static final List<String> MODULES = List.of("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj");

    private LoadCases() {
    }

    /// @param layers of the model's own number, or fewer
    static List<BenchCase> of(Model model, int layers) {
        List<BenchCase> cases = new ArrayList<>();
        SyntheticModel files = new SyntheticModel(model, layers, SEED);
        Map<String, Long> dims = Map.of("layers", (long) layers);
        for (Quantization quantization : List.of(Quantization.none(), Quantization.nf4())) {
            String suffix = quantization instanceof Quantization.Nf4 ? "_nf4" : "";
            cases.add(load("load.safetensors" + suffix, model.name(), dims, files.safetensorsBytes(),
                    loading(files, "", quantization, (folder, _) -> files.writeSafetensors(folder))));
            cases.add(load("load.gguf" + suffix, model.name(), dims, files.ggufBytes(),
                    loading(files, "model.gguf", quantization, (folder, _) -> files.writeGguf(folder.resolve("model.gguf")))));
        }
        cases.add(load("load.bitsandbytes", model.name(), dims, files.bitsandbytesBytes(),
                loading(files, "", Quantization.nf4(), files::writeBitsandbytes)));
        int[] gate = model.linears().get("gate");
        for (boolean doubleQuant : new boolean[] {false, true}) {
            cases.add(quantize(doubleQuant ? "load.nf4_double" : "load.nf4", model.name() + ".gate", gate[0], gate[1], doubleQuant));
        }
        addAdapter(cases, model, files);
        addTokenizer(cases, model);
        return cases;
    }

    private static BenchCase load(String op, String shape, Map<String, Long> dims, long bytes, Function<Buffers, Subject> prepare) {
        return new BenchCase(op, shape, dims, DType.F32, new Work(0, bytes, 0), bytes, null, prepare);
    }

    /// Something done to the files of one slot.
    @FunctionalInterface
    private interface FileCall {
        void on(int slot) throws IOException;
    }

    private static IntConsumer unchecked(FileCall call) {
        return slot -> {
            try {
                call.on(slot);
            } catch (IOException e) {
                throw new UncheckedIOException(e);
            }
        };
    }

    // ---- models ------------------------------------------------------------------------------------------------------------------

    /// What writes a model.
    @FunctionalInterface
    private interface Writer {
        void write(Path folder, Stream stream) throws IOException;
    }

    /// Opening, loading and closing a model.
    ///
    /// @param name of its file in the folder; empty for the folder itself
    private static Function<Buffers, Subject> loading(SyntheticModel model, String name, Quantization quantization, Writer writer) {
        return buffers -> {
            Path[] folders = buffers.folders(folder -> writer.write(folder, buffers.stream()));
            return new Subject(unchecked(i -> {
                try (PretrainedModel files = PretrainedModel.open(folders[i].resolve(name))) {
                    files.load(buffers.stream(), quantization, DType.F32).close();
                }
            }), v -> {
                try (PretrainedModel files = PretrainedModel.open(folders[0].resolve(name));
                        LlamaModel loaded = files.load(buffers.stream(), quantization, DType.F32)) {
                    compareLogits(v, loaded, model, quantization);
                } catch (IOException e) {
                    throw new UncheckedIOException(e);
                }
            });
        };
    }

    /// Every weight has a part in the logits. The reference's model never was in a file.
    private static void compareLogits(Verifier v, LlamaModel loaded, SyntheticModel model, Quantization quantization) {
        TokenBatch batch = TokenBatch.of(List.of(new int[] {1, model.config().vocabularySize() - 1}));
        try (LlamaModel exact = LlamaModel.load(v.stream(), model.config(), model, quantization, DType.F32);
                TensorPool ours = new TensorPool(loaded.stream());
                TensorPool theirs = new TensorPool(v.stream());
                Tape got = Tape.inference(ours);
                Tape want = Tape.inference(theirs)) {
            v.compare(loaded.logits(got, batch), exact.logits(want, batch));
        }
    }

    /// A matrix in F32, with the memory that its weight takes.
    private static BenchCase quantize(String op, String shape, long n, long k, boolean doubleQuant) {
        return load(op, shape, Map.of("n", n, "k", k), n * k * Float.BYTES, buffers -> {
            Tensor[] source = buffers.random(DType.F32, n, k);
            return new Subject(i -> {
                Nf4Weight weight = Nf4Weight.quantize(buffers.stream(), source[i], Buffers.BLOCK_SIZE, doubleQuant);
                buffers.stream().synchronize();
                weight.close();
            }, v -> {
                try (Nf4Weight weight = Nf4Weight.quantize(buffers.stream(), source[0], Buffers.BLOCK_SIZE, doubleQuant)) {
                    LinearCases.compareDequantized(buffers, v, weight, v.quantized(source[0], doubleQuant));
                }
            });
        });
    }

    // ---- adapters ----------------------------------------------------------------------------------------------------------------

    private static void addAdapter(List<BenchCase> cases, Model model, SyntheticModel files) {
        PeftConfig config = PeftConfig.of(LoraCases.RANK, 2 * LoraCases.RANK, 0, MODULES, false, model.name());
        Map<String, long[]> projections = new TreeMap<>();
        files.config().parameterShapes().forEach((name, shape) -> {
            if (SyntheticModel.isProjection(name)) {
                projections.put(name.substring(0, name.length() - ".weight".length()), shape);
            }
        });
        long bytes = projections.values().stream().mapToLong(shape -> LoraCases.RANK * (shape[0] + shape[1]) * Float.BYTES).sum();
        Map<String, Long> dims = Map.of("layers", (long) files.config().layers(), "rank", (long) LoraCases.RANK);
        cases.add(load("load.adapter", model.name(), dims, bytes, buffers -> {
            PeftAdapter adapter = adapter(config, projections, files);
            Path[] folders = buffers.folders(adapter::write);
            return new Subject(unchecked(i -> {
                try (Arena arena = Arena.ofConfined()) {
                    PeftAdapter.open(folders[i], arena);
                }
            }), v -> compare(v, folders[0], adapter));
        }));
        cases.add(load("load.adapter_save", model.name(), dims, bytes, buffers -> {
            PeftAdapter adapter = adapter(config, projections, files);
            Path[] folders = buffers.folders(_ -> {
            });
            IntConsumer save = unchecked(i -> adapter.write(folders[i]));
            return new Subject(save, v -> {
                save.accept(0);
                compare(v, folders[0], adapter);
            });
        }));
    }

    private static PeftAdapter adapter(PeftConfig config, Map<String, long[]> projections, SyntheticModel values) {
        Map<String, PeftAdapter.Matrices> modules = new TreeMap<>();
        projections.forEach((path, shape) -> modules.put(path, new PeftAdapter.Matrices(
                factor(path, LoraCases.RANK, shape[1], values), factor(path, shape[0], LoraCases.RANK, values))));
        return new PeftAdapter(config, modules);
    }

    /// As many of the projection's own weights as the factor has elements.
    private static RawTensor factor(String path, long rows, long cols, SyntheticModel values) {
        MemorySegment floats = Arena.ofAuto().allocate(rows * cols * Float.BYTES, 64);
        values.fill(path + ".weight", 0, floats);
        return new RawTensor(path, DType.F32, new long[] {rows, cols}, floats);
    }

    /// Bit by bit.
    private static void compare(Verifier v, Path folder, PeftAdapter wanted) {
        try (Arena arena = Arena.ofConfined()) {
            PeftAdapter got = PeftAdapter.open(folder, arena);
            v.require(got.config().equals(wanted.config()) && got.modules().keySet().equals(wanted.modules().keySet()));
            wanted.modules().forEach((path, matrices) -> {
                v.require(got.modules().get(path).a().data().mismatch(matrices.a().data()) == -1);
                v.require(got.modules().get(path).b().data().mismatch(matrices.b().data()) == -1);
            });
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    // ---- tokenizers --------------------------------------------------------------------------------------------------------------

    private static void addTokenizer(List<BenchCase> cases, Model model) {
        SyntheticTokenizer made = new SyntheticTokenizer(model.vocabulary(), SEED);
        String text = made.text(TEXT_BYTES);
        Map<String, Long> dims = Map.of("vocabulary", (long) model.vocabulary());
        cases.add(load("load.tokenizer", model.name(), dims, made.json().length, buffers -> {
            Path[] folders = buffers.folders(made::write);
            return new Subject(unchecked(i -> Tokenizer.open(folders[i]).close()), v -> {
                try (Tokenizer tokenizer = Tokenizer.open(folders[0])) {
                    v.require(tokenizer.vocabularySize() == made.vocabulary());
                    compare(v, tokenizer, text);
                } catch (IOException e) {
                    throw new UncheckedIOException(e);
                }
            });
        }));
        cases.add(load("load.encode", model.name(), dims, TEXT_BYTES, buffers -> {
            Tokenizer tokenizer = buffers.own(open(made));
            // Unlike other buffers these stand on the heap, which a large cache's worth of them would fill.
            long affordable = Math.max(1, Runtime.getRuntime().maxMemory() / 4 / (2L * TEXT_BYTES));
            String[] copies = IntStream.range(0, (int) Math.min(buffers.slots(), affordable))
                    .mapToObj(_ -> new String(text.toCharArray())).toArray(String[]::new);
            return new Subject(i -> tokenizer.encode(copies[i % copies.length], false), v -> compare(v, tokenizer, text));
        }));
    }

    private static Tokenizer open(SyntheticTokenizer made) {
        try (TemporaryFolder folder = new TemporaryFolder()) {
            made.write(folder.path());
            return Tokenizer.open(folder.path());
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    /// The text comes back, and its words were found in the vocabulary.
    private static void compare(Verifier v, Tokenizer tokenizer, String text) {
        int[] ids = tokenizer.encode(text, false);
        v.require(tokenizer.decode(ids).equals(text));
        v.require(ids.length < text.length() / 2);
    }
}
