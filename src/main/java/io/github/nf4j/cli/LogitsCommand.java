package io.github.nf4j.cli;

import io.github.nf4j.DType;
import io.github.nf4j.Device;
import io.github.nf4j.Stream;
import io.github.nf4j.Tensor;
import io.github.nf4j.autograd.Tape;
import io.github.nf4j.autograd.TensorPool;
import io.github.nf4j.cli.ModelOptions.QuantizeOption;
import io.github.nf4j.io.FileFormatException;
import io.github.nf4j.io.RawTensor;
import io.github.nf4j.io.Safetensors;
import io.github.nf4j.nn.LlamaModel;
import io.github.nf4j.nn.TokenBatch;
import io.github.nf4j.op.MemoryOps;
import io.github.nf4j.train.Adapters;
import io.github.nf4j.train.MemoryPlan;
import io.github.nf4j.train.PretrainedModel;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.concurrent.Callable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;

/// `nf4j logits`: what parity tests compare.
@Command(name = "logits", mixinStandardHelpOptions = true, sortOptions = false,
        description = "Writes the logits of token sequences, for comparison with other implementations.")
final class LogitsCommand implements Callable<Integer> {
    @Mixin
    private ModelOptions model;

    @Option(names = "--tokens", required = true, paramLabel = "IN.safetensors",
            description = "Has the tensor input_ids, I64 [batch, length].")
    private Path tokens;

    @Option(names = "--output", required = true, paramLabel = "OUT.safetensors",
            description = "Gets the tensor logits, F32 [batch, length, vocabulary].")
    private Path output;

    @Option(names = "--adapter", paramLabel = "DIR", description = "A LoRA adapter as PEFT writes it.")
    private Path adapter;

    @Option(names = "--quantize", defaultValue = "none", paramLabel = "nf4|none",
            description = "Whether the projections are quantized to NF4. Default: ${DEFAULT-VALUE}.")
    private QuantizeOption quantize;

    @Override
    public Integer call() throws IOException {
        try (Arena arena = Arena.ofConfined(); PretrainedModel pretrained = PretrainedModel.open(model.path);
                Device device = model.openDevice(); Stream stream = device.newStream()) {
            int vocabulary = pretrained.config().vocabularySize();
            int[][] sequences = readTokens(arena, vocabulary);
            int length = sequences[0].length;
            MemoryPlan.forInference(pretrained, quantize.quantization(), model.compute(device), length, 0,
                    (sequences.length + 1L) * length).requireFits(device.info().freeMemory());
            long row = (long) length * vocabulary;
            MemorySegment logits = arena.allocate(ValueLayout.JAVA_FLOAT, Math.multiplyExact(row, sequences.length));
            try (LlamaModel llama = pretrained.load(stream, quantize.quantization(), model.compute(device));
                    TensorPool pool = new TensorPool(stream)) {
                if (adapter != null) {
                    Adapters.load(llama, adapter);
                }
                for (int s = 0; s < sequences.length; s++) {
                    try (Tape tape = Tape.inference(pool)) {
                        MemorySegment place = logits.asSlice(s * row * Float.BYTES, row * Float.BYTES);
                        MemoryOps.copy(stream, llama.logits(tape, TokenBatch.of(List.of(sequences[s]))),
                                Tensor.ofHost(place, DType.F32, length, vocabulary));
                        stream.synchronize();
                    }
                }
            }
            long[] shape = {sequences.length, length, vocabulary};
            Safetensors.write(output, List.of(new RawTensor("logits", DType.F32, shape, logits)), Map.of());
        }
        return 0;
    }

    private int[][] readTokens(Arena arena, int vocabulary) throws IOException {
        RawTensor ids = Safetensors.open(tokens, arena).tensor("input_ids");
        if (ids.dtype() != DType.I64 || ids.shape().length != 2 || ids.elements() == 0) {
            throw new FileFormatException(tokens, "tensor 'input_ids'", ids.dtype() + " " + Arrays.toString(ids.shape())
                    + "; expected I64 [batch, length], not empty");
        }
        int length = Math.toIntExact(ids.shape()[1]);
        int[][] sequences = new int[Math.toIntExact(ids.shape()[0])][length];
        for (int s = 0; s < sequences.length; s++) {
            for (int t = 0; t < length; t++) {
                long id = ids.data().getAtIndex(ValueLayout.JAVA_LONG_UNALIGNED, (long) s * length + t);
                if (id < 0 || id >= vocabulary) {
                    throw new FileFormatException(tokens, "input_ids[" + s + "][" + t + "]", "is " + id
                            + "; the model's vocabulary has " + vocabulary + " tokens");
                }
                sequences[s][t] = (int) id;
            }
        }
        return sequences;
    }
}
