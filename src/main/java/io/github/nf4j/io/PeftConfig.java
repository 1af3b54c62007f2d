package io.github.nf4j.io;

import java.util.Collection;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.regex.MatchResult;
import java.util.regex.Pattern;
import java.util.stream.Stream;

/// What PEFT's `adapter_config.json` says about a LoRA adapter, with the library's rules for matching modules.
///
/// A module path is that of the model without PEFT's prefix: `model.layers.0.self_attn.q_proj`.
///
/// @param rank             r, for modules that `rankPattern` does not name
/// @param alpha            α, for modules that `alphaPattern` does not name
/// @param dropout          probability that an input of the adapter is dropped in training
/// @param targetModules    which modules have an adapter
/// @param excludeModules   which of them have none after all
/// @param rankPattern      ranks by regular expression, the first match wins
/// @param alphaPattern     alphas by regular expression
/// @param useRslora        whether the scale is α/√r instead of α/r
/// @param layersToTransform layers whose modules have an adapter; empty for all
/// @param layersPattern    names of the module list that a layer's number follows; empty for any
/// @param baseModel        name or path of the model that the adapter belongs to
public record PeftConfig(
        int rank,
        double alpha,
        double dropout,
        Modules targetModules,
        Modules excludeModules,
        Map<String, Integer> rankPattern,
        Map<String, Double> alphaPattern,
        boolean useRslora,
        List<Integer> layersToTransform,
        List<String> layersPattern,
        Optional<String> baseModel) {

    /// A set of modules.
    public sealed interface Modules {
        private static void check(Modules modules) {
            if (modules instanceof Matching(String regex)) {
                Pattern.compile(regex);
            }
        }

        /// Modules whose path is one of the names or ends with `.` and one of them.
        record Named(List<String> names) implements Modules {
            public Named {
                names = List.copyOf(names);
            }
        }

        /// Modules whose whole path matches a regular expression.
        record Matching(String regex) implements Modules {
        }

        /// Every linear layer except the output head.
        record AllLinear() implements Modules {
        }
    }

    /// An adapter with one rank and alpha for all its modules and PEFT's defaults for the rest.
    ///
    /// @param baseModel name or path of the base model, recorded in the file
    public static PeftConfig of(int rank, double alpha, double dropout, List<String> targetModules, boolean useRslora,
                                String baseModel) {
        return new PeftConfig(rank, alpha, dropout, new Modules.Named(targetModules), new Modules.Named(List.of()),
                Map.of(), Map.of(), useRslora, List.of(), List.of(), Optional.of(baseModel));
    }

    /// @throws IllegalArgumentException if a rank is below 1, a number is out of range, or a pattern is malformed
    public PeftConfig {
        require(rank >= 1, "rank", rank, "at least 1");
        require(Double.isFinite(alpha) && alpha > 0, "alpha", alpha, "a number greater than 0");
        require(dropout >= 0 && dropout < 1, "dropout", dropout, "in [0, 1)");
        rankPattern = ordered(rankPattern);
        alphaPattern = ordered(alphaPattern);
        rankPattern.forEach((pattern, value) -> require(value >= 1, "rank of '" + pattern + "'", value, "at least 1"));
        alphaPattern.forEach((pattern, value) -> require(Double.isFinite(value) && value > 0, "alpha of '" + pattern + "'",
                value, "a number greater than 0"));
        layersToTransform = List.copyOf(layersToTransform);
        layersPattern = List.copyOf(layersPattern);
        Stream.of(targetModules, excludeModules).forEach(Modules::check);
        Stream.of(rankPattern.keySet(), alphaPattern.keySet()).flatMap(Collection::stream)
                .forEach(pattern -> Pattern.compile(atTheEnd(pattern)));
        layersPattern.forEach(name -> Pattern.compile(layerBehind("", name)));
    }

    private static void require(boolean holds, String name, Object value, String expected) {
        if (!holds) {
            throw new IllegalArgumentException("LoRA " + name + " is " + value + "; expected " + expected);
        }
    }

    /// The first pattern that matches decides, so the order is kept.
    private static <T> Map<String, T> ordered(Map<String, T> map) {
        return Collections.unmodifiableMap(new LinkedHashMap<>(map));
    }

    /// Whether a linear layer has an adapter. Only linear layers are to be asked for.
    ///
    /// Follows `check_target_module_exists` of PEFT's `tuners_utils.py`.
    public boolean targets(String modulePath) {
        if (matches(excludeModules, modulePath) || !matches(targetModules, modulePath)) {
            return false;
        }
        boolean named = targetModules instanceof Modules.Named(List<String> names) && !names.contains(modulePath);
        return !named || layersToTransform.isEmpty() || layer(modulePath).map(layersToTransform::contains)
                .orElse(false);
    }

    private static boolean matches(Modules modules, String path) {
        return switch (modules) {
            case Modules.Named(List<String> names) -> names.stream()
                    .anyMatch(n -> path.equals(n) || path.endsWith("." + n));
            case Modules.Matching(String regex) -> BoundedRegex.matches(regex, path);
            case Modules.AllLinear() -> !path.equals("lm_head");
        };
    }

    private Optional<Integer> layer(String path) {
        List<String> names = layersPattern.isEmpty() ? List.of("[^.]*") : layersPattern;
        String before = layersPattern.isEmpty() ? ".*?\\." : "(?:^|.*?\\.)";
        for (String name : names) {
            Optional<MatchResult> match = BoundedRegex.lookingAt(layerBehind(before, name), path);
            if (match.isPresent()) {
                return Optional.of(Integer.valueOf(match.get().group("index")));
            }
        }
        return Optional.empty();
    }

    private static String layerBehind(String before, String name) {
        return before + name + "\\.(?<index>\\d{1,9})\\.";
    }

    private static String atTheEnd(String pattern) {
        return "(.*\\.)?(" + pattern + ")$";
    }

    /// r of a module's adapter.
    public int rank(String modulePath) {
        return byPattern(rankPattern, modulePath, rank);
    }

    /// α of a module's adapter.
    public double alpha(String modulePath) {
        return byPattern(alphaPattern, modulePath, alpha);
    }

    /// What the adapter's product is multiplied with: α/r, or α/√r if rank-stabilised.
    public double scale(String modulePath) {
        int r = rank(modulePath);
        return alpha(modulePath) / (useRslora ? Math.sqrt(r) : r);
    }

    private static <T> T byPattern(Map<String, T> patterns, String path, T otherwise) {
        for (Map.Entry<String, T> pattern : patterns.entrySet()) {
            if (BoundedRegex.lookingAt(atTheEnd(pattern.getKey()), path).isPresent()) {
                return pattern.getValue();
            }
        }
        return otherwise;
    }
}
