package io.github.nf4j.train;

import io.github.nf4j.Tensor;
import io.github.nf4j.autograd.TensorPool;
import io.github.nf4j.nn.KvCache;
import io.github.nf4j.nn.LlamaModel;
import java.lang.foreign.Arena;
import java.lang.foreign.ValueLayout;
import java.util.ArrayList;
import java.util.List;
import java.util.Set;
import java.util.SplittableRandom;

/// Continues prompts, several at a time, with keys and values cached.
///
/// @param model     one thread at a time may use it
/// @param sampler   how tokens are chosen
/// @param stopIds   tokens that end a continuation
/// @param seed      of the random choices; a prompt's are independent of the other prompts
public record Generator(LlamaModel model, Sampler sampler, Set<Integer> stopIds, long seed) {
    private static final long GOLDEN = 0x9E3779B97F4A7C15L;
    private static final int[] NOTHING = {};

    /// What wants each token as soon as it is chosen.
    @FunctionalInterface
    public interface Listener {
        void token(int prompt, int id);
    }

    /// Continues prompts until a stop token, `maxTokens` tokens, or the model's largest position.
    ///
    /// @param prompts token ids, at least one each
    /// @return for each prompt its continuation, without the stop token
    /// @throws IllegalArgumentException if a prompt is empty or longer than the model's positions
    public List<int[]> generate(List<int[]> prompts, int maxTokens, Listener listener) {
        int positions = model.config().maxPositions();
        for (int[] prompt : prompts) {
            if (prompt.length == 0 || prompt.length >= positions) {
                throw new IllegalArgumentException("a prompt has " + prompt.length + " tokens; expected at least 1 and fewer than the "
                        + positions + " positions of the model");
            }
        }
        int longest = prompts.stream().mapToInt(prompt -> prompt.length).max().orElse(0);
        List<List<Integer>> answers = new ArrayList<>();
        List<SplittableRandom> randoms = new ArrayList<>();
        for (int s = 0; s < prompts.size(); s++) {
            answers.add(new ArrayList<>());
            randoms.add(new SplittableRandom(seed + GOLDEN * s));
        }
        try (TensorPool pool = new TensorPool(model.stream());
                KvCache cache = model.newCache(prompts.size(), Math.min(longest + maxTokens, positions))) {
            List<int[]> next = prompts;
            while (next.stream().anyMatch(tokens -> tokens.length > 0)) {
                Tensor logits = model.decode(pool, cache, next);
                List<int[]> chosen = new ArrayList<>();
                for (int s = 0; s < prompts.size(); s++) {
                    boolean going = next.get(s).length > 0 && answers.get(s).size() < maxTokens;
                    int id = going ? sampler.next(row(logits, s), randoms.get(s)) : -1;
                    boolean ends = !going || stopIds.contains(id);
                    if (!ends) {
                        answers.get(s).add(id);
                        listener.token(s, id);
                    }
                    boolean room = cache.length(s) < cache.capacity() && answers.get(s).size() < maxTokens;
                    chosen.add(ends || !room ? NOTHING : new int[] {id});
                }
                next = chosen;
            }
        }
        return answers.stream().map(answer -> answer.stream().mapToInt(Integer::intValue).toArray()).toList();
    }

    private float[] row(Tensor logits, int row) {
        try (Arena arena = Arena.ofConfined()) {
            return HostTensors.read(model.stream(), logits.rows(row, 1), arena).toArray(ValueLayout.JAVA_FLOAT);
        }
    }
}
