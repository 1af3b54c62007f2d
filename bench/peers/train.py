#!/usr/bin/env python3
"""Training steps of nf4j beside PEFT and PEFT + bitsandbytes: tokens per second, parts of a step, peak memory.

    make interop bench-build
    build/interop/bin/python bench/peers/train.py --model smollm2-135m --tokens 256 --rounds 3 --out training.json

Every contender runs in a process of its own, in turns, forwards and backwards, on the same shapes: random weights of the model's
real size, adapters of rank 16 on all seven projections, AdamW, the same number of threads. The first step of a process is not
counted. "tuned" keeps freed blocks instead of giving them back to the system (glibc's thresholds); "checkpointed" recomputes
activations. A contender that fails is a row with its reason.
"""
import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
BENCH = os.path.join(os.path.dirname(HERE), "nf4j-bench")
SHAPES = {  # layers, hidden, intermediate, heads, key-value heads, head size, vocabulary, tied embeddings
    "smollm2-135m": (30, 576, 1536, 9, 3, 64, 49152, True),
    "tinyllama-1.1b": (22, 2048, 5632, 32, 4, 64, 32000, False),
}
TUNED = {"MALLOC_MMAP_THRESHOLD_": str(1 << 32), "MALLOC_TRIM_THRESHOLD_": str(1 << 34), "MALLOC_TOP_PAD_": str(1 << 26)}
# name: (library, quantized base, type of the base and the activations, type of the adapters, tuned, checkpointed)
CONTENDERS = {
    "nf4j LoRA f32": ("nf4j", False, "f32", "f32", False, False),
    "nf4j LoRA bf16": ("nf4j", False, "bf16", "f32", False, False),
    "nf4j QLoRA f32": ("nf4j", True, "f32", "f32", False, False),
    "nf4j QLoRA bf16": ("nf4j", True, "bf16", "f32", False, False),
}
for quantized, method in ((False, "PEFT LoRA"), (True, "PEFT + bitsandbytes QLoRA")):
    for base, adapter, label in (("f32", "f32", "f32"), ("bf16", "f32", "bf16"), ("bf16", "bf16", "all bf16")):
        for tuned in (False, True):
            name = f"{method} {label}" + (" tuned" if tuned else "")
            CONTENDERS[name] = ("peft", quantized, base, adapter, tuned, False)
    CONTENDERS[f"{method} f32 tuned checkpointed"] = ("peft", quantized, "f32", "f32", True, True)


def train_peft(arguments):
    """One PEFT contender; called in a process of its own, prints one line of JSON."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import LlamaConfig, LlamaForCausalLM

    _, quantized, base, adapter, _, checkpointed = CONTENDERS[arguments.one]
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(1)
    layers, hidden, intermediate, heads, kv_heads, head_size, vocabulary, tied = SHAPES[arguments.model]
    config = LlamaConfig(num_hidden_layers=arguments.layers or layers, hidden_size=hidden, intermediate_size=intermediate,
                         num_attention_heads=heads, num_key_value_heads=kv_heads, head_dim=head_size, vocab_size=vocabulary,
                         tie_word_embeddings=tied, use_cache=False)
    dtype = torch.bfloat16 if base == "bf16" else torch.float32
    model = LlamaForCausalLM(config).to(dtype)
    if quantized:
        import bitsandbytes as bnb
        for module in list(model.modules()):
            for name, child in list(module.named_children()):
                if isinstance(child, torch.nn.Linear) and name != "lm_head":
                    packed = bnb.nn.Linear4bit(child.in_features, child.out_features, bias=False, compute_dtype=dtype,
                                               quant_type="nf4", compress_statistics=True)
                    packed.weight = bnb.nn.Params4bit(child.weight.data, requires_grad=False, quant_type="nf4",
                                                      compress_statistics=True)
                    setattr(module, name, packed.to("cpu"))
    model = get_peft_model(model, LoraConfig(r=16, lora_alpha=32, target_modules="all-linear", task_type="CAUSAL_LM"),
                           autocast_adapter_dtype=adapter == "f32")
    if checkpointed:
        model.enable_input_require_grads()
        model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    model.train()
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-4, weight_decay=0)
    ids = torch.randint(0, vocabulary, (arguments.sequences, arguments.tokens))
    steps = []
    for _ in range(arguments.steps + 1):
        begin = time.perf_counter()
        loss = model(input_ids=ids, labels=ids).loss
        forward = time.perf_counter()
        loss.backward()
        backward = time.perf_counter()
        torch.nn.utils.clip_grad_norm_((p for p in model.parameters() if p.requires_grad), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        end = time.perf_counter()
        steps.append({"seconds": end - begin, "forward": forward - begin, "backward": backward - forward,
                      "optimizer": end - backward, "loss": loss.item()})
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    print(json.dumps({"peak_mb": peak, "steps": steps[1:]}))


def command(name, arguments):
    library, quantized, base, *_ = CONTENDERS[name]
    sizes = ["--model", arguments.model, "--sequences", str(arguments.sequences), "--tokens", str(arguments.tokens), "--steps",
             str(arguments.steps), "--threads", str(arguments.threads)]
    if arguments.layers:
        sizes += ["--layers", str(arguments.layers)]
    if library == "nf4j":
        return [BENCH, "train", "--base", "nf4" if quantized else "none", "--compute", base] + sizes
    return [sys.executable, os.path.abspath(__file__), "--one", name] + sizes


def run(name, arguments):
    """Result of one process, or the reason why there is none."""
    environment = dict(os.environ, OMP_NUM_THREADS=str(arguments.threads), HF_HUB_OFFLINE="1", NF4J_BENCH_HEAP="128m")
    environment.update(TUNED if CONTENDERS[name][4] else {})
    done = subprocess.run(command(name, arguments), env=environment, capture_output=True, text=True)
    if done.returncode != 0:
        return {"failed": (done.stderr.strip().splitlines() or ["no output"])[-1]}
    return json.loads(done.stdout.strip().splitlines()[-1])


def table(results, tokens):
    print("| contender | tokens/s | step s | forward | backward | optimizer | peak MB |\n|---|--:|--:|--:|--:|--:|--:|")
    for name, runs in results.items():
        steps = [step for one in runs for step in one.get("steps", [])]
        if not steps:
            print(f"| {name} | failed: {runs[0]['failed']} | | | | | |")
            continue
        medians = [statistics.median(step[part] for step in steps) for part in ("seconds", "forward", "backward", "optimizer")]
        print(f"| {name} | {tokens / medians[0]:.1f} | " + " | ".join(f"{value:.3f}" for value in medians)
              + f" | {max(one.get('peak_mb', 0) for one in runs)} |")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", choices=SHAPES, default="smollm2-135m")
    parser.add_argument("--layers", type=int, default=0, help="fewer layers than the model has")
    parser.add_argument("--sequences", type=int, default=1)
    parser.add_argument("--tokens", type=int, default=256)
    parser.add_argument("--steps", type=int, default=3, help="counted steps of a process")
    parser.add_argument("--rounds", type=int, default=3, help="processes of each contender")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--contenders", default="", help="only those with this in their name")
    parser.add_argument("--out", help="all steps of all processes as JSON")
    parser.add_argument("--one", choices=CONTENDERS, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        return train_peft(arguments)
    names = [name for name in CONTENDERS if arguments.contenders in name]
    if not names:
        parser.error(f"--contenders {arguments.contenders}: none of {', '.join(CONTENDERS)}")
    results = {name: [] for name in names}
    for i in range(arguments.rounds):
        for name in names if i % 2 == 0 else names[::-1]:
            results[name].append(run(name, arguments))
            print(f"round {i + 1}: {name}", file=sys.stderr)
    table(results, arguments.sequences * arguments.tokens)
    if arguments.out:
        with open(arguments.out, "w") as out:
            json.dump({"arguments": vars(arguments), "results": results}, out, indent=1)
    return 0


if __name__ == "__main__":
    sys.exit(main())
