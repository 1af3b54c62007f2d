package io.github.nf4j.bench.train;

import io.github.nf4j.Backend;
import io.github.nf4j.DType;
import io.github.nf4j.bench.cases.Models.Model;
import io.github.nf4j.bench.run.Checkout;
import io.github.nf4j.bench.run.Launch;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;

/// One way to train: nf4j, PEFT, or PEFT with bitsandbytes.
///
/// @param ours         nf4j, else PEFT
/// @param quantized    NF4 base
/// @param base         type of the frozen weights, where they are not quantized, and of the activations
/// @param adapter      type of the adapters
/// @param tuned        an allocator that keeps freed blocks, and MKL's fast kernels on processors of every vendor
/// @param checkpointed activations are computed again in the backward pass
public record TrainingContender(boolean ours, boolean quantized, DType base, DType adapter, boolean tuned, boolean checkpointed) {
    /// glibc gives blocks of more than 32 MiB back to the system when they are freed, and takes zeroed pages for the next ones.
    private static final Map<String, String> KEEPING_ALLOCATOR = Map.of("MALLOC_MMAP_MAX_", "0", "MALLOC_TRIM_THRESHOLD_",
            Long.toString(1L << 40), "MALLOC_TOP_PAD_", Integer.toString(1 << 26));

    /// All, ours first.
    public static List<TrainingContender> all() {
        List<TrainingContender> all = new ArrayList<>();
        for (boolean quantized : new boolean[] {false, true}) {
            for (DType base : new DType[] {DType.F32, DType.BF16}) {
                all.add(new TrainingContender(true, quantized, base, DType.F32, false, false));
            }
        }
        for (boolean quantized : new boolean[] {false, true}) {
            for (boolean tuned : new boolean[] {false, true}) {
                all.add(new TrainingContender(false, quantized, DType.F32, DType.F32, tuned, false));
                all.add(new TrainingContender(false, quantized, DType.BF16, DType.F32, tuned, false));
                all.add(new TrainingContender(false, quantized, DType.BF16, DType.BF16, tuned, false));
            }
            all.add(new TrainingContender(false, quantized, DType.F32, DType.F32, true, true));
        }
        return List.copyOf(all);
    }

    /// Such as `nf4j-qlora-f32` or `peft-lora-all-bf16-tuned`. `peft-qlora` is PEFT with bitsandbytes.
    public String name() {
        return (ours ? "nf4j" : "peft") + (quantized ? "-qlora-" : "-lora-") + (adapter == DType.BF16 ? "all-" : "") + text(base)
                + (tuned ? "-tuned" : "") + (checkpointed ? "-checkpointed" : "");
    }

    /// Why it cannot be started, or null.
    String problem(Checkout checkout, TrainingPlan plan) {
        if (plan.missing() != null) {
            return plan.missing();
        }
        return ours || Files.isExecutable(python(checkout)) ? null : "not installed: run make interop";
    }

    private static Path python(Checkout checkout) {
        return checkout.root().resolve("build/interop/bin/python");
    }

    Launch launch(Checkout checkout, TrainingPlan plan) {
        List<String> command = new ArrayList<>();
        Map<String, String> environment = new HashMap<>(Map.of("OMP_NUM_THREADS", Integer.toString(plan.threads())));
        if (ours) {
            command.addAll(
                    List.of(checkout.root().resolve("bench/nf4j-bench").toString(), "train", "--model", plan.model().name(), "--base",
                            quantized ? "nf4" : "none", "--compute", text(base), "--backend", text(plan.backend())));
            environment.put("NF4J_BENCH_HEAP", "128m");
        } else {
            command.addAll(
                    List.of(python(checkout).toString(), checkout.root().resolve("bench/peers/train.py").toString(), "--base", text(base),
                            "--adapter", text(adapter)));
            command.addAll(sizes(plan.model()));
            boolean cuda = plan.backend() == Backend.CUDA;
            command.addAll(List.of("--device", cuda ? "cuda" : "cpu"));
            if (quantized) {
                command.add("--quantized");
            }
            if (checkpointed) {
                command.add("--checkpointed");
            }
            environment.put("HF_HUB_OFFLINE", "1");
            if (!cuda) {
                environment.put("CUDA_VISIBLE_DEVICES", "");
            }
        }
        command.addAll(List.of("--layers", Integer.toString(plan.layers()), "--sequences", Integer.toString(plan.sequences()), "--tokens",
                Integer.toString(plan.tokens()), "--steps", Integer.toString(plan.steps()), "--threads", Integer.toString(plan.threads())));
        if (tuned) {
            environment.putAll(KEEPING_ALLOCATOR);
            environment.put("LD_PRELOAD", checkout.driver("libany_vendor.so").toString());
        }
        return new Launch(command, environment);
    }

    private static List<String> sizes(Model model) {
        List<String> sizes = new ArrayList<>(List.of("--hidden", Integer.toString(model.hidden()), "--intermediate",
                Integer.toString(model.intermediate()), "--heads", Integer.toString(model.heads()), "--kv-heads",
                Integer.toString(model.kvHeads()), "--head-size", Integer.toString(model.headDim()), "--vocabulary",
                Integer.toString(model.vocabulary())));
        if (model.tiedEmbeddings()) {
            sizes.add("--tied");
        }
        return sizes;
    }

    static String text(Enum<?> value) {
        return value.name().toLowerCase(Locale.ROOT);
    }
}
