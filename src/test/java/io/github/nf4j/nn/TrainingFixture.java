package io.github.nf4j.nn;

import com.fasterxml.jackson.databind.node.ObjectNode;
import io.github.nf4j.Backend;
import io.github.nf4j.DType;
import io.github.nf4j.Device;
import io.github.nf4j.FixtureFile;
import io.github.nf4j.Nf4State;
import io.github.nf4j.Stream;
import io.github.nf4j.Tensor;
import io.github.nf4j.io.ModelFiles;
import io.github.nf4j.io.PeftAdapter;
import io.github.nf4j.io.PeftConfig;
import io.github.nf4j.io.RawTensor;
import io.github.nf4j.io.Safetensors;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;

/// A training run of PEFT's (`fixtures/training`) as files that the command line takes: the adapter that it began with, its data
/// and the losses that came out, and for QLoRA the model as that run saw it.
public final class TrainingFixture {
    private static final List<String> PARTS = List.of("lora_A", "lora_B");

    private TrainingFixture() {
    }

    /// `java TrainingFixture FOLDER`: writes both runs, for a machine that has no tests.
    public static void main(String[] arguments) throws IOException {
        for (String name : List.of("lora", "qlora")) {
            write(name, Path.of(arguments[0]).resolve(name));
        }
    }

    /// Writes `adapter/`, `model/`, `data.jsonl` and `losses.txt`, one loss a line.
    public static void write(String name, Path folder) throws IOException {
        String fixture = "training/" + name;
        var run = FixtureFile.json(fixture + "/run.json");
        Files.createDirectories(folder.resolve("adapter"));
        List<String> losses = new ArrayList<>();
        run.get("log").forEach(step -> losses.add(step.get("loss").asText()));
        Files.write(folder.resolve("losses.txt"), losses);
        try (Arena arena = Arena.ofConfined()) {
            FixtureFile data = FixtureFile.safetensors(fixture + "/data.safetensors");
            Tensor ids = data.tensor("input_ids", arena);
            Tensor labels = data.tensor("labels", arena);
            List<String> lines = new ArrayList<>();
            for (long row = 0; row < ids.rows(); row++) {
                lines.add("{\"input_ids\": " + row(ids, row) + ", \"labels\": " + row(labels, row) + "}");
            }
            Files.write(folder.resolve("data.jsonl"), lines);
            writeAdapter(folder.resolve("adapter"), FixtureFile.safetensors(fixture + "/initial.safetensors"),
                    run.get("lora").get("r").asInt(),
                    run.get("lora").get("alpha").asDouble(), arena);
            writeModel(folder.resolve("model"), name.equals("qlora"), arena);
        }
    }

    /// What `nf4j finetune` is told beside model, data, adapter and output to do what PEFT did. A quantized checkpoint stays so.
    public static List<String> options() {
        return List.of("--quantize", "none", "--compute", "f32", "--lr", "0.01", "--weight-decay", "0.01",
                "--schedule", "cosine", "--warmup-steps", "4", "--batch-size", "2", "--grad-accum", "2", "--no-shuffle", "--steps", "20");
    }

    private static List<Long> row(Tensor tensor, long row) {
        List<Long> values = new ArrayList<>();
        for (long column = 0; column < tensor.cols(); column++) {
            values.add(tensor.segment().getAtIndex(ValueLayout.JAVA_LONG, row * tensor.ld() + column));
        }
        return values;
    }

    private static void writeAdapter(Path folder, FixtureFile initial, int rank, double alpha, Arena arena) throws IOException {
        Map<String, RawTensor[]> found = new TreeMap<>();
        for (String name : initial.names()) {
            for (int part = 0; part < 2; part++) {
                String suffix = "." + PARTS.get(part) + ".weight";
                if (name.endsWith(suffix)) {
                    Tensor tensor = initial.tensor(name, arena);
                    found.computeIfAbsent(name.substring(0, name.length() - suffix.length()), _ -> new RawTensor[2])[part] = new RawTensor(
                            name, DType.F32, new long[] {tensor.rows(), tensor.cols()}, initial.segment(name, arena));
                }
            }
        }
        Map<String, PeftAdapter.Matrices> modules = new LinkedHashMap<>();
        found.forEach((path, pair) -> modules.put(path, new PeftAdapter.Matrices(pair[0], pair[1])));
        List<String> targets = List.of("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj");
        new PeftAdapter(PeftConfig.of(rank, alpha, 0, targets, false, "llama-tied"), modules).write(folder);
    }

    /// llama-tied; for QLoRA as a checkpoint of bitsandbytes', but for what [BitsandbytesOnCpu] explains.
    private static void writeModel(Path folder, boolean quantized, Arena arena) throws IOException {
        Path base = Checkpoints.path("models/llama-tied");
        Files.createDirectories(folder);
        for (String file : List.of("config.json", "tokenizer.json", "tokenizer_config.json", "model.safetensors")) {
            Files.copy(base.resolve(file), folder.resolve(file));
        }
        if (!quantized) {
            return;
        }
        ObjectNode config = (ObjectNode) FixtureFile.json("models/llama-tied/config.json");
        config.set("quantization_config", FixtureFile.json("bnb/nf4-nested/config.json").get("quantization_config"));
        Files.writeString(folder.resolve("config.json"), config.toString());
        List<RawTensor> tensors = new ArrayList<>();
        try (Device device = Device.open(Backend.CPU); Stream stream = device.newStream()) {
            WeightSource source = new BitsandbytesOnCpu(new Checkpoints.Files(ModelFiles.open(base, arena)), stream);
            for (String name : FixtureFile.safetensors("models/llama-tied/model.safetensors").names()) {
                source.quantized(name, arena).ifPresentOrElse(state -> addPacked(tensors, name, state, arena),
                        () -> tensors.add(dense(source, name, arena)));
            }
        }
        Safetensors.write(folder.resolve("model.safetensors"), tensors, Map.of());
    }

    private static RawTensor dense(WeightSource source, String name, Arena arena) {
        long[] shape = source.shape(name);
        long rows = shape.length == 1 ? 1 : shape[0];
        MemorySegment floats = arena.allocate(ValueLayout.JAVA_FLOAT, rows * shape[shape.length - 1]);
        source.readF32Rows(name, 0, rows, floats);
        return new RawTensor(name, DType.F32, shape, floats);
    }

    private static void addPacked(List<RawTensor> tensors, String name, Nf4State state, Arena arena) {
        byte[] text = ("{\"quant_type\": \"nf4\", \"blocksize\": " + state.blockSize() + ", \"dtype\": \"float32\", \"shape\": ["
                + state.rows() + ", " + state.cols() + "], \"nested_blocksize\": 256, \"nested_dtype\": \"float32\", \"nested_offset\": "
                + state.nestedOffset() + "}").getBytes(StandardCharsets.UTF_8);
        tensors.add(packed(name, DType.U8, state.codes(), 1));
        tensors.add(packed(name + ".absmax", DType.U8, state.absmax8(), 1));
        tensors.add(packed(name + ".quant_map", DType.F32, state.quantMap(), Float.BYTES));
        tensors.add(packed(name + ".nested_absmax", DType.F32, state.nestedAbsmax(), Float.BYTES));
        tensors.add(packed(name + ".nested_quant_map", DType.F32, state.nestedMap(), Float.BYTES));
        tensors.add(packed(name + ".quant_state.bitsandbytes__nf4", DType.U8, arena.allocateFrom(ValueLayout.JAVA_BYTE, text), 1));
    }

    private static RawTensor packed(String name, DType dtype, MemorySegment data, long bytes) {
        return new RawTensor(name, dtype, new long[] {data.byteSize() / bytes}, data);
    }
}
