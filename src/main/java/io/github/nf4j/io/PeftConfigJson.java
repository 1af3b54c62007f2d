package io.github.nf4j.io;

import com.fasterxml.jackson.databind.JsonNode;
import io.github.nf4j.io.PeftConfig.Modules;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.TreeMap;

/// `adapter_config.json` to and from [PeftConfig].
final class PeftConfigJson {
    /// Keys that [#read] understands, and keys that say nothing about the computation of a saved adapter. Any other key
    /// may change it and is refused, unless its value is one that switches a feature off.
    private static final Set<String> KNOWN = Set.of(
            "peft_type", "task_type", "bias", "r", "lora_alpha", "lora_dropout", "target_modules", "exclude_modules",
            "rank_pattern", "alpha_pattern", "use_rslora", "layers_to_transform", "layers_pattern",
            "base_model_name_or_path", "init_lora_weights",
            "auto_mapping", "corda_config", "ensure_weight_tying", "eva_config", "inference_mode", "loftq_config",
            "lora_ga_config", "megatron_core", "peft_version", "qalora_group_size", "revision");

    /// Initialisations that leave the base weights alone. Others subtract from them what they put into the adapter.
    private static final Set<String> INITIALISATIONS = Set.of("true", "false", "gaussian", "eva", "orthogonal");

    private PeftConfigJson() {
    }

    static PeftConfig read(JsonObject json) {
        if (!json.string("peft_type").equals("LORA")) {
            throw json.problem("peft_type", "'" + json.string("peft_type") + "' is not supported; expected LORA");
        }
        if (!json.string("task_type", "CAUSAL_LM").equals("CAUSAL_LM")) {
            throw json.problem("task_type", "'" + json.string("task_type") + "' is not supported; expected CAUSAL_LM");
        }
        json.node().properties().forEach(entry -> {
            if (!KNOWN.contains(entry.getKey()) && !isOff(entry.getValue())) {
                throw json.problem(entry.getKey(), entry.getValue() + " is not supported");
            }
        });
        if (json.has("init_lora_weights") && !INITIALISATIONS.contains(json.get("init_lora_weights").asText())) {
            throw json.problem("init_lora_weights", json.get("init_lora_weights")
                    + " changes the base weights and is not supported; convert the adapter to a plain one");
        }
        if (!json.string("bias", "none").equals("none")) {
            throw json.problem("bias", "'" + json.string("bias") + "' is not supported; expected none");
        }
        try {
            return new PeftConfig(json.integer("r", 1, 1 << 16, 8), json.positive("lora_alpha", 8),
                    json.number("lora_dropout", 0), targetModules(json), excludeModules(json), rankPattern(json),
                    alphaPattern(json), json.bool("use_rslora", false), json.integers("layers_to_transform", 1 << 16),
                    layersPattern(json), Optional.ofNullable(json.string("base_model_name_or_path", null)));
        } catch (IllegalArgumentException e) {
            throw new FileFormatException(json.file(), "adapter configuration", e.getMessage(), e);
        }
    }

    private static boolean isOff(JsonNode value) {
        return value.isNull() || value.isContainerNode() && value.isEmpty()
                || value.isBoolean() && !value.booleanValue();
    }

    private static Modules targetModules(JsonObject json) {
        if (!json.has("target_modules")) {
            throw json.problem("target_modules",
                    "missing; expected a list of names, a regular expression or all-linear");
        }
        return modules(json, "target_modules");
    }

    private static Modules excludeModules(JsonObject json) {
        return json.has("exclude_modules") ? modules(json, "exclude_modules") : new Modules.Named(List.of());
    }

    private static Modules modules(JsonObject json, String key) {
        if (!json.get(key).isTextual()) {
            return new Modules.Named(json.strings(key));
        }
        String text = json.string(key);
        return key.equals("target_modules") && text.toLowerCase(Locale.ROOT).equals("all-linear")
                ? new Modules.AllLinear() : new Modules.Matching(text);
    }

    private static Map<String, Integer> rankPattern(JsonObject json) {
        Map<String, Integer> pattern = new LinkedHashMap<>();
        if (json.has("rank_pattern")) {
            JsonObject object = json.object("rank_pattern");
            object.node().fieldNames().forEachRemaining(key -> pattern.put(key, object.integer(key, 1, 1 << 16)));
        }
        return pattern;
    }

    private static Map<String, Double> alphaPattern(JsonObject json) {
        Map<String, Double> pattern = new LinkedHashMap<>();
        if (json.has("alpha_pattern")) {
            JsonObject object = json.object("alpha_pattern");
            object.node().fieldNames().forEachRemaining(key -> pattern.put(key, object.positive(key)));
        }
        return pattern;
    }

    private static List<String> layersPattern(JsonObject json) {
        if (!json.has("layers_pattern")) {
            return List.of();
        }
        return json.get("layers_pattern").isTextual() ? List.of(json.string("layers_pattern"))
                : json.strings("layers_pattern");
    }

    /// As PEFT writes it, sorted and indented by two, but with few keys: releases before 0.13 refuse a key that they do
    /// not know.
    static String write(PeftConfig config) {
        Map<String, Object> keys = new TreeMap<>();
        keys.put("base_model_name_or_path", config.baseModel().orElse(null));
        keys.put("bias", "none");
        keys.put("fan_in_fan_out", false);
        keys.put("inference_mode", true);
        keys.put("init_lora_weights", true);
        keys.put("lora_alpha", plain(config.alpha()));
        keys.put("lora_dropout", config.dropout());
        keys.put("modules_to_save", null);
        keys.put("peft_type", "LORA");
        keys.put("r", config.rank());
        keys.put("target_modules", plain(config.targetModules()));
        keys.put("task_type", "CAUSAL_LM");
        if (config.useRslora()) {
            keys.put("use_rslora", true);
        }
        if (!config.rankPattern().isEmpty()) {
            keys.put("rank_pattern", config.rankPattern());
        }
        if (!config.alphaPattern().isEmpty()) {
            Map<String, Object> alphas = new LinkedHashMap<>();
            config.alphaPattern().forEach((pattern, alpha) -> alphas.put(pattern, plain(alpha)));
            keys.put("alpha_pattern", alphas);
        }
        if (!config.excludeModules().equals(new Modules.Named(List.of()))) {
            keys.put("exclude_modules", plain(config.excludeModules()));
        }
        if (!config.layersToTransform().isEmpty()) {
            keys.put("layers_to_transform", config.layersToTransform());
        }
        if (!config.layersPattern().isEmpty()) {
            keys.put("layers_pattern", config.layersPattern());
        }
        return PythonFormats.json(keys, 2) + "\n";
    }

    private static Object plain(Modules modules) {
        return switch (modules) {
            case Modules.Named(List<String> names) -> names;
            case Modules.Matching(String regex) -> regex;
            case Modules.AllLinear() -> "all-linear";
        };
    }

    /// Whole numbers are written as integers: PEFT declares `lora_alpha` as one.
    private static Object plain(double number) {
        return number == Math.rint(number) && Math.abs(number) < 1e15 ? (Object) (long) number : (Object) number;
    }
}
