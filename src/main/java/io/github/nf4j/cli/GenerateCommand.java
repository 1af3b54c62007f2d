package io.github.nf4j.cli;

import io.github.nf4j.Device;
import io.github.nf4j.Stream;
import io.github.nf4j.cli.ModelOptions.QuantizeOption;
import io.github.nf4j.io.ChatMessage;
import io.github.nf4j.io.ChatTemplate;
import io.github.nf4j.io.TokenStream;
import io.github.nf4j.io.Tokenizer;
import io.github.nf4j.nn.LlamaModel;
import io.github.nf4j.train.Adapters;
import io.github.nf4j.train.Generator;
import io.github.nf4j.train.MemoryPlan;
import io.github.nf4j.train.PretrainedModel;
import io.github.nf4j.train.Sampler;
import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.io.PrintWriter;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Set;
import java.util.concurrent.Callable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Spec;

/// `nf4j generate`.
@Command(name = "generate", mixinStandardHelpOptions = true, sortOptions = false,
        description = "Lets a model continue a text, or answer in a chat, printing as it goes.")
final class GenerateCommand implements Callable<Integer> {
    @Spec
    private CommandSpec command;

    @Mixin
    private ModelOptions model;

    @Option(names = "--adapter", paramLabel = "DIR", description = "A LoRA adapter as PEFT writes it.")
    private Path adapter;

    @Option(names = "--prompt", paramLabel = "TEXT", description = "The text to continue; with --chat, the message to answer.")
    private String prompt;

    @Option(names = "--chat",
            description = "Use the model's chat template. Without --prompt, messages are read from standard input, one a line.")
    private boolean chat;

    @Option(names = "--max-tokens", defaultValue = "256", paramLabel = "N",
            description = "The most tokens of an answer. Default: ${DEFAULT-VALUE}.")
    private int maxTokens;

    @Option(names = "--temperature", defaultValue = "0", paramLabel = "T",
            description = "0 takes the most likely token always; 1 samples from the model's distribution. Default: ${DEFAULT-VALUE}.")
    private double temperature;

    @Option(names = "--top-p", defaultValue = "1", paramLabel = "P",
            description = "Sample from the most likely tokens that together have this probability. Default: ${DEFAULT-VALUE}.")
    private double topP;

    @Option(names = "--seed", defaultValue = "42", paramLabel = "N", description = "Of the sampling. Default: ${DEFAULT-VALUE}.")
    private long seed;

    @Option(names = "--quantize", defaultValue = "nf4", paramLabel = "nf4|none",
            description = "Whether the projections are quantized to NF4. Default: ${DEFAULT-VALUE}.")
    private QuantizeOption quantize;

    @Override
    public Integer call() throws IOException {
        Checks.atLeast(command, "--max-tokens", maxTokens, 1);
        Checks.require(command, chat || prompt != null, "give --prompt, --chat or both");
        Sampler sampler = Checks.usage(command, () -> new Sampler(temperature, topP));
        try (PretrainedModel pretrained = PretrainedModel.open(model.path);
                Device device = model.openDevice(); Stream stream = device.newStream()) {
            Tokenizer tokenizer = pretrained.tokenizer();
            long tokens = prompt == null ? 0 : tokenizer.encode(prompt, true).length;
            MemoryPlan.forInference(pretrained, quantize.quantization(), model.compute(device), tokens, tokens + maxTokens, 1)
                    .requireFits(device.info().freeMemory());
            try (LlamaModel llama = pretrained.load(stream, quantize.quantization(), model.compute(device))) {
                if (adapter != null) {
                    Adapters.load(llama, adapter);
                }
                Generator generator = new Generator(llama, sampler, Set.copyOf(tokenizer.eosIds()), seed);
                if (!chat) {
                    answer(generator, tokenizer, tokenizer.encode(prompt, true));
                    return 0;
                }
                ChatTemplate template = pretrained.chatTemplate().orElseThrow(() -> new IllegalStateException(
                        model.path + ": the model has no chat template; use --prompt alone"));
                converse(generator, tokenizer, template);
            }
        }
        return 0;
    }

    private void converse(Generator generator, Tokenizer tokenizer, ChatTemplate template) throws IOException {
        List<ChatMessage> messages = new ArrayList<>();
        BufferedReader input = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        for (String line = prompt != null ? prompt : input.readLine(); line != null; line = prompt != null ? null : input.readLine()) {
            messages.add(new ChatMessage("user", line));
            int[] ids = tokenizer.encode(template.render(messages, true), false);
            messages.add(new ChatMessage("assistant", answer(generator, tokenizer, ids)));
        }
    }

    /// Prints the continuation token by token and returns it.
    private String answer(Generator generator, Tokenizer tokenizer, int[] ids) {
        PrintWriter out = command.commandLine().getOut();
        TokenStream text = new TokenStream(tokenizer, true);
        List<int[]> answers = generator.generate(List.of(ids), maxTokens, (_, id) -> {
            out.print(text.next(id));
            out.flush();
        });
        out.println(text.finish());
        out.flush();
        return tokenizer.decode(answers.getFirst(), true);
    }
}
