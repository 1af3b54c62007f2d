package io.github.nf4j.nn;

import io.github.nf4j.DType;
import io.github.nf4j.Stream;
import io.github.nf4j.Tensor;
import io.github.nf4j.autograd.EmbeddingFunction;
import io.github.nf4j.autograd.LinearCrossEntropyFunction;
import io.github.nf4j.autograd.Parameter;
import io.github.nf4j.autograd.PooledTensor;
import io.github.nf4j.autograd.Tape;
import io.github.nf4j.autograd.TensorPool;
import io.github.nf4j.autograd.Variable;
import io.github.nf4j.op.AttentionShape;
import io.github.nf4j.op.DenseOps;
import io.github.nf4j.op.LinearWeight;
import io.github.nf4j.op.MemoryOps;
import io.github.nf4j.op.PackedSequences;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Optional;
import java.util.OptionalLong;
import java.util.function.Function;
import java.util.stream.IntStream;

/// A decoder of the Llama family (Llama, Qwen2, Mistral) with frozen weights on a device, and the adapters that are trained on
/// it. It belongs to one stream, and one thread at a time may use it.
public final class LlamaModel implements AutoCloseable {
    private final ModelConfig config;
    private final Stream stream;
    private final DType compute;
    private final WeightMemory weightMemory;
    private final List<Runnable> closers;
    private final RopeTables rope;
    private final Tensor embedding;
    private final List<DecoderLayer> layers = new ArrayList<>();
    private final RmsNorm norm;
    private final LinearWeight head;
    private final List<Linear> projections = new ArrayList<>();
    private final Pass pass = new Pass();

    private LlamaModel(Stream stream, ModelConfig config, WeightLoader loader, DType compute) {
        this.config = config;
        this.stream = stream;
        this.compute = compute;
        this.rope = new RopeTables(config);
        this.embedding = loader.matrix("model.embed_tokens.weight", config.vocabularySize(), config.hiddenSize());
        for (int layer = 0; layer < config.layers(); layer++) {
            layers.add(layer(loader, layer));
        }
        this.norm = norm(loader, "model.norm");
        this.head = LinearWeight.dense(config.tiedEmbeddings() ? embedding
                : loader.matrix("lm_head.weight", config.vocabularySize(), config.hiddenSize()), null);
        this.weightMemory = loader.memory();
        this.closers = loader.handOver();
    }

    /// Loads a model weight by weight, so that never two copies of the whole are in memory.
    ///
    /// @param stream  what the model computes on
    /// @param compute type of the activations, F32 or BF16
    /// @throws IllegalArgumentException                   if a weight is missing or contradicts the configuration
    /// @throws io.github.nf4j.OutOfDeviceMemoryException if it does not fit
    public static LlamaModel load(Stream stream, ModelConfig config, WeightSource source, Quantization quantization,
                                  DType compute) {
        if (compute != DType.F32 && compute != DType.BF16) {
            throw new IllegalArgumentException("compute type " + compute + "; expected F32 or BF16");
        }
        try (WeightLoader loader = new WeightLoader(stream, source, quantization, compute)) {
            return new LlamaModel(stream, config, loader, compute);
        }
    }

    private DecoderLayer layer(WeightLoader loader, int layer) {
        String path = "model.layers." + layer;
        AttentionShape shape = AttentionShape.of(config.heads(), config.keyValueHeads(), config.headSize())
                .withWindow(config.slidingWindows().get(layer));
        int hidden = config.hiddenSize();
        boolean bias = config.queryKeyValueBias();
        RmsNorm attentionNorm = norm(loader, path + ".input_layernorm");
        SelfAttention attention = new SelfAttention(layer, shape,
                List.of(projection(loader, path + ".self_attn.q_proj", config.querySize(), hidden, bias),
                        projection(loader, path + ".self_attn.k_proj", config.keyValueSize(), hidden, bias),
                        projection(loader, path + ".self_attn.v_proj", config.keyValueSize(), hidden, bias)),
                projection(loader, path + ".self_attn.o_proj", hidden, config.querySize(), config.outputBias()));
        RmsNorm mlpNorm = norm(loader, path + ".post_attention_layernorm");
        SwiGluMlp mlp = new SwiGluMlp(
                List.of(projection(loader, path + ".mlp.gate_proj", config.intermediateSize(), hidden, config.mlpBias()),
                        projection(loader, path + ".mlp.up_proj", config.intermediateSize(), hidden, config.mlpBias())),
                projection(loader, path + ".mlp.down_proj", hidden, config.intermediateSize(), config.mlpBias()));
        return new DecoderLayer(path, attentionNorm, attention, mlpNorm, mlp);
    }

    private RmsNorm norm(WeightLoader loader, String path) {
        return new RmsNorm(loader.vector(path + ".weight", config.hiddenSize()), (float) config.rmsNormEpsilon());
    }

    private Linear projection(WeightLoader loader, String path, long out, long in, boolean bias) {
        Linear linear = new Linear(path, projections.size(), loader.projection(path, out, in, bias));
        projections.add(linear);
        return linear;
    }

    public ModelConfig config() {
        return config;
    }

    public Stream stream() {
        return stream;
    }

    /// Type of the activations.
    public DType compute() {
        return compute;
    }

    /// What the frozen weights take.
    public WeightMemory weightMemory() {
        return weightMemory;
    }

    /// The projections q, k, v, o, gate, up, down of every layer, in the order of the computation.
    public List<Linear> projections() {
        return List.copyOf(projections);
    }

    /// Puts new adapters on projections: A random, B zero, so that the model computes what it did before.
    ///
    /// @param settings what adapter a module path gets; empty for none
    /// @param seed     of the random factors
    public void attachAdapters(Function<String, Optional<LoraSettings>> settings, long seed) {
        for (Linear projection : projections) {
            settings.apply(projection.path())
                    .ifPresent(wanted -> projection.attach(stream.device(), wanted).initialize(stream, seed));
        }
    }

    /// What is trained: A and B of every adapter, in the order of [#projections].
    public List<Parameter> parameters() {
        return projections.stream().flatMap(projection -> projection.adapter().stream())
                .flatMap(adapter -> adapter.parameters().stream()).toList();
    }

    /// Computes the loss of a batch, and where the tape records, prepares [Tape#backward].
    ///
    /// @param batch       with labels
    /// @param gradScale   what the gradient of the summed loss is multiplied by: 1 / trained tokens of the optimizer step
    /// @param dropoutSeed seed of this pass's dropout ([Seeds#dropout]); empty for none
    /// @return the sum of the losses of the batch's trained tokens
    public double loss(Tape tape, TokenBatch batch, double gradScale, OptionalLong dropoutSeed) {
        DeviceBatch memory = batchMemory(tape.pool(), batch, dropoutSeed.isPresent());
        memory.write(batch, dropoutSeed.orElse(0));
        PooledTensor losses = losses(tape, memory, gradScale);
        double sum = 0;
        for (float loss : HostCopies.read(stream, losses.tensor())) {
            sum += loss;
        }
        losses.release();
        return sum;
    }

    /// Device memory for batches whose sequences have the lengths of `form`.
    ///
    /// @param pool    whose memory it is, until the pool is reset
    /// @param dropout whether passes over them have dropout
    public DeviceBatch batchMemory(TensorPool pool, TokenBatch form, boolean dropout) {
        boolean drops = dropout && projections.stream().anyMatch(
                projection -> projection.adapter().map(adapter -> adapter.settings().dropout() > 0).orElse(false));
        return new DeviceBatch(pool, rope, form, drops ? projections.size() : 0);
    }

    /// What [#loss] does between its copies from and to the host: calls that a [io.github.nf4j.Graph] can capture.
    ///
    /// @param batch with labels
    /// @return the losses F32 [1, tokens], 0 where nothing is predicted; the caller releases them
    public PooledTensor losses(Tape tape, DeviceBatch batch, double gradScale) {
        if (batch.targets().cols() == 0) {
            throw new IllegalArgumentException("the batch has no labels");
        }
        Variable hidden = hidden(tape, batch);
        Variable normed = norm.forward(tape, hidden);
        hidden.release();
        return LinearCrossEntropyFunction.apply(tape, normed, head, batch.targets(), (float) gradScale);
    }

    /// The logits of every token of a batch.
    ///
    /// @return F32 [tokens, vocabulary]; ends with the tape
    public Tensor logits(Tape tape, TokenBatch batch) {
        DeviceBatch memory = batchMemory(tape.pool(), batch, false);
        memory.write(batch, 0);
        Variable hidden = hidden(tape, memory);
        Tensor logits = tape.pool().takeLasting(DType.F32, batch.tokens(), config.vocabularySize());
        project(tape, hidden, logits);
        return logits;
    }

    /// The residual stream behind the last layer, [tokens, hidden size].
    private Variable hidden(Tape tape, DeviceBatch batch) {
        return layers(pass.begin(tape, batch), batch.ids());
    }

    private Variable layers(Pass begun, Tensor ids) {
        Variable x = EmbeddingFunction.apply(begun.tape(), ids, embedding, compute);
        for (int i = 0; i < layers.size(); i++) { // an iterator would be an object
            x = layers.get(i).forward(begun, x);
        }
        return x;
    }

    /// Norm and output head. Consumes `hidden`.
    private void project(Tape tape, Variable hidden, Tensor logits) {
        Variable normed = norm.forward(tape, hidden);
        hidden.release();
        DenseOps.matmul(stream, false, true, 1, 0, normed.value(), ((LinearWeight.Dense) head).weight(), null, logits);
        normed.release();
    }

    private PooledTensor upload(Tape tape, int[] values) {
        PooledTensor tensor = tape.pool().take(DType.I32, 1, values.length);
        HostCopies.write(stream, values, tensor.tensor());
        return tensor;
    }

    /// An empty cache for [#decode].
    ///
    /// @param sequences how many sequences are continued together
    /// @param capacity  the most tokens that a sequence can have, prompt included
    public KvCache newCache(int sequences, int capacity) {
        return new KvCache(stream.device(), config, compute, sequences, capacity);
    }

    /// Appends tokens to the sequences of a cache: whole prompts or single tokens, as many for each as there are.
    ///
    /// @param pool   used by nothing else meanwhile
    /// @param tokens for each sequence of the cache its next tokens; empty for one that is not to go on
    /// @return F32 [sequences, vocabulary]: for each sequence the logits after its last new token. Rows of sequences that did
    ///         not go on are as they were. Overwritten by the next call.
    public Tensor decode(TensorPool pool, KvCache cache, List<int[]> tokens) {
        if (tokens.size() != cache.sequences()) {
            throw new IllegalArgumentException("tokens for " + tokens.size() + " sequences; the cache has "
                    + cache.sequences());
        }
        int[] counts = tokens.stream().mapToInt(ids -> ids.length).toArray();
        int[] first = new int[counts.length];
        Arrays.setAll(first, cache::length);
        PackedSequences sequences = cache.extend(counts);
        if (sequences.count() == 0) {
            return cache.logits();
        }
        try (Tape tape = Tape.inference(pool)) {
            Tensor table = rope.table(pool, first, counts);
            PooledTensor ids = upload(tape, tokens.stream().flatMapToInt(Arrays::stream).toArray());
            Variable hidden = layers(pass.begin(tape, sequences, table, cache), ids.tensor());
            ids.release();
            cache.commit();
            int[] going = IntStream.range(0, counts.length).filter(s -> counts[s] > 0).toArray();
            Variable last = rows(tape, hidden, lastRows(counts));
            PooledTensor logits = tape.pool().take(DType.F32, going.length, config.vocabularySize());
            project(tape, last, logits.tensor());
            for (int i = 0; i < going.length; i++) {
                MemoryOps.copy(stream, logits.tensor().rows(i, 1), cache.logits().rows(going[i], 1));
            }
        }
        return cache.logits();
    }

    /// For each sequence with new tokens the row of the last.
    private static int[] lastRows(int[] counts) {
        int[] ends = counts.clone();
        Arrays.parallelPrefix(ends, Integer::sum);
        return IntStream.range(0, counts.length).filter(s -> counts[s] > 0).map(s -> ends[s] - 1).toArray();
    }

    /// Some rows of `hidden`, which is consumed.
    private Variable rows(Tape tape, Variable hidden, int[] rows) {
        PooledTensor ids = upload(tape, rows);
        Variable chosen = EmbeddingFunction.apply(tape, ids.tensor(), hidden.value(), compute);
        ids.release();
        hidden.release();
        return chosen;
    }

    /// Frees weights and adapters.
    @Override
    public void close() {
        projections.forEach(projection -> projection.adapter().ifPresent(LoraAdapter::close));
        closers.forEach(Runnable::run);
    }
}
