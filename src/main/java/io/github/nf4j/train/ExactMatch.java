package io.github.nf4j.train;

import io.github.nf4j.io.Tokenizer;
import io.github.nf4j.nn.LlamaModel;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Set;

/// How often a model's greedy answer is the wanted one, letter by letter (white space around it aside).
///
/// @param answers for each example, in the order of the data
public record ExactMatch(List<Answer> answers) {
    /// The answer to one example.
    ///
    /// @param prompt   what the model was given, special tokens included
    /// @param expected the example's last trained run, up to its end-of-text token
    /// @param actual   what the model made of the prompt
    public record Answer(String prompt, String expected, String actual) {
        public boolean matches() {
            return expected.equals(actual);
        }
    }

    public ExactMatch {
        answers = List.copyOf(answers);
    }

    public long matches() {
        return answers.stream().filter(Answer::matches).count();
    }

    /// Share of the examples that match.
    public double rate() {
        return (double) matches() / answers.size();
    }

    /// Lets a model answer the examples of a data set.
    ///
    /// @param batchSize examples that are answered together
    public static ExactMatch of(LlamaModel model, Tokenizer tokenizer, Dataset data, int batchSize) {
        Set<Integer> stopIds = Set.copyOf(tokenizer.eosIds());
        Generator generator = new Generator(model, Sampler.GREEDY, stopIds, 0);
        List<Answer> answers = new ArrayList<>();
        for (List<Example> examples : Batches.pass(data.examples(), batchSize)) {
            List<int[]> prompts = examples.stream().map(e -> Arrays.copyOf(e.ids(), e.answerStart())).toList();
            List<int[]> expected = examples.stream().map(e -> untilStop(e.answer(), stopIds)).toList();
            // Room for the same text in other tokens; what is longer does not match anyway.
            int maxTokens = 16 + 2 * expected.stream().mapToInt(ids -> ids.length).max().orElse(0);
            List<int[]> actual = generator.generate(prompts, maxTokens, (_, _) -> {});
            for (int i = 0; i < examples.size(); i++) {
                answers.add(new Answer(tokenizer.decode(prompts.get(i)), tokenizer.decode(expected.get(i), true).strip(),
                        tokenizer.decode(actual.get(i), true).strip()));
            }
        }
        return new ExactMatch(answers);
    }

    private static int[] untilStop(int[] ids, Set<Integer> stopIds) {
        int end = 0;
        while (end < ids.length && !stopIds.contains(ids[end])) {
            end++;
        }
        return Arrays.copyOf(ids, end);
    }
}
