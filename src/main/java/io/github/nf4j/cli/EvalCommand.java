package io.github.nf4j.cli;

import com.fasterxml.jackson.databind.node.JsonNodeFactory;
import io.github.nf4j.Device;
import io.github.nf4j.Stream;
import io.github.nf4j.cli.ModelOptions.QuantizeOption;
import io.github.nf4j.io.AtomicFile;
import io.github.nf4j.nn.LlamaModel;
import io.github.nf4j.train.Adapters;
import io.github.nf4j.train.Dataset;
import io.github.nf4j.train.Evaluation;
import io.github.nf4j.train.ExactMatch;
import io.github.nf4j.train.MemoryPlan;
import io.github.nf4j.train.PretrainedModel;
import java.io.IOException;
import java.io.PrintWriter;
import java.nio.file.Path;
import java.util.concurrent.Callable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Spec;

/// `nf4j eval`.
@Command(name = "eval", mixinStandardHelpOptions = true, sortOptions = false,
        description = "Measures a model on a data file: loss and perplexity over the trained tokens, and exact match of its answers.")
final class EvalCommand implements Callable<Integer> {
    @Spec
    private CommandSpec command;

    @Mixin
    private ModelOptions model;

    @Option(names = "--data", required = true, paramLabel = "FILE.jsonl", description = "Examples, in the shapes of nf4j finetune.")
    private Path data;

    @Option(names = "--adapter", paramLabel = "DIR", description = "A LoRA adapter as PEFT writes it.")
    private Path adapter;

    @Option(names = "--exact-match", description = "Let the model answer greedily, and count the answers that are the wanted ones.")
    private boolean exactMatch;

    @Option(names = "--answers", paramLabel = "FILE.jsonl",
            description = "With --exact-match: write prompt, expected and actual answer of each example.")
    private Path answers;

    @Option(names = "--quantize", defaultValue = "nf4", paramLabel = "nf4|none",
            description = "Whether the projections are quantized to NF4. Default: ${DEFAULT-VALUE}.")
    private QuantizeOption quantize;

    @Option(names = "--batch-size", defaultValue = "8", paramLabel = "N",
            description = "Examples that go through the model together. Default: ${DEFAULT-VALUE}.")
    private int batchSize;

    @Option(names = "--max-length", defaultValue = "1024", paramLabel = "N",
            description = "Tokens of an example; longer ones lose their end. Default: ${DEFAULT-VALUE}.")
    private int maxLength;

    @Override
    public Integer call() throws IOException {
        Checks.atLeast(command, "--batch-size", batchSize, 1);
        Checks.atLeast(command, "--max-length", maxLength, 2);
        Checks.require(command, answers == null || exactMatch, "--answers needs --exact-match");
        PrintWriter out = command.commandLine().getOut();
        try (PretrainedModel pretrained = PretrainedModel.open(model.path)) {
            Dataset dataset = Dataset.read(data, pretrained.exampleEncoder(), maxLength);
            Reports.describe(out, "data", dataset, maxLength);
            try (Device device = model.openDevice(); Stream stream = device.newStream()) {
                long tokens = (long) batchSize * dataset.longest();
                MemoryPlan.forInference(pretrained, quantize.quantization(), model.compute(device), tokens,
                        exactMatch ? 2 * tokens : 0, batchSize).requireFits(device.info().freeMemory());
                try (LlamaModel llama = pretrained.load(stream, quantize.quantization(), model.compute(device))) {
                    if (adapter != null) {
                        Adapters.load(llama, adapter);
                    }
                    Evaluation evaluation = Evaluation.of(llama, dataset, batchSize);
                    out.printf("loss         %.4f over %,d tokens%nperplexity   %.4f%n", evaluation.loss(), evaluation.tokens(),
                            evaluation.perplexity());
                    if (exactMatch) {
                        ExactMatch match = ExactMatch.of(llama, pretrained.tokenizer(), dataset, batchSize);
                        out.printf("exact match  %d of %d (%.1f %%)%n", match.matches(), match.answers().size(), 100 * match.rate());
                        writeAnswers(match);
                    }
                }
            }
        }
        out.flush();
        return 0;
    }

    private void writeAnswers(ExactMatch match) throws IOException {
        if (answers == null) {
            return;
        }
        StringBuilder lines = new StringBuilder();
        for (ExactMatch.Answer answer : match.answers()) {
            lines.append(JsonNodeFactory.instance.objectNode().put("prompt", answer.prompt()).put("expected", answer.expected())
                    .put("actual", answer.actual()).put("match", answer.matches())).append('\n');
        }
        AtomicFile.write(answers, lines.toString());
    }
}
