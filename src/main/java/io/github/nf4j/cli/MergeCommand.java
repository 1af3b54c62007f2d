package io.github.nf4j.cli;

import io.github.nf4j.Backend;
import io.github.nf4j.DType;
import io.github.nf4j.Device;
import io.github.nf4j.Stream;
import io.github.nf4j.cli.ModelOptions.QuantizeOption;
import io.github.nf4j.nn.LlamaModel;
import io.github.nf4j.train.Adapters;
import io.github.nf4j.train.MemoryPlan;
import io.github.nf4j.train.MergedModel;
import io.github.nf4j.train.PretrainedModel;
import java.io.IOException;
import java.io.PrintWriter;
import java.nio.file.Path;
import java.util.concurrent.Callable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Spec;

/// `nf4j merge`.
@Command(name = "merge", mixinStandardHelpOptions = true, sortOptions = false,
        description = "Adds an adapter to its model's weights and writes the sum as a Hugging Face folder, which needs no adapter any more.")
final class MergeCommand implements Callable<Integer> {
    private static final long SHARD_BYTES = 2L << 30;

    @Spec
    private CommandSpec command;

    @Option(names = "--model", required = true, paramLabel = "DIR|FILE.gguf", description = "The model that the adapter was trained on.")
    private Path path;

    @Option(names = "--adapter", required = true, paramLabel = "DIR", description = "A LoRA adapter as PEFT writes it.")
    private Path adapter;

    @Option(names = "--output", required = true, paramLabel = "DIR", description = "Gets the merged model. Must be empty or not exist.")
    private Path output;

    @Option(names = "--quantize", defaultValue = "nf4", paramLabel = "nf4|none",
            description = "What the adapter was trained over, as in nf4j finetune: with nf4, it is added to the weights as they come out of "
                    + "quantization. Default: ${DEFAULT-VALUE}.")
    private QuantizeOption quantize;

    @Option(names = "--dtype", paramLabel = "f32|f16|bf16", description = "Type of the merged weights. Default: that of the model.")
    private DTypeOption dtype;

    private enum DTypeOption {
        F32, F16, BF16
    }

    @Override
    public Integer call() throws IOException {
        MergedModel.checkUnused(output);
        PrintWriter out = command.commandLine().getOut();
        try (PretrainedModel pretrained = PretrainedModel.open(path);
                Device device = Device.open(Backend.CPU); Stream stream = device.newStream()) {
            DType type = dtype == null ? pretrained.config().dtype() : DType.valueOf(dtype.name());
            MemoryPlan.forInference(pretrained, quantize.quantization(), DType.F32, 0, 0, 0)
                    .requireFits(device.info().freeMemory() - SHARD_BYTES);
            try (LlamaModel model = pretrained.load(stream, quantize.quantization(), DType.F32)) {
                Adapters.load(model, adapter);
                MergedModel.write(pretrained, model, type, SHARD_BYTES, output);
            }
            out.printf("merged       %,d parameters in %s, %s%n", pretrained.parameters(), type,
                    MemoryPlan.text(pretrained.parameters() * type.bytes()));
        }
        out.printf("model        %s (Hugging Face format)%n", output);
        out.printf("use it       bin/nf4j generate --model %s --quantize none --prompt \"...\"%n", output);
        out.flush();
        return 0;
    }
}
