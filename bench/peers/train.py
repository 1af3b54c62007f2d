#!/usr/bin/env python3
"""Training steps of PEFT, and of PEFT + bitsandbytes with --quantized, in this process: one line of JSON.

`nf4j-bench compare-training` runs it in turns with nf4j, and says how. The model has random weights of a real size, frozen, with
adapters of rank 16 on all seven projections of each layer. The first step is not counted: it takes memory and warms up.
"""
import argparse
import json
import sys
import time

RANK, ALPHA, LEARNING_RATE = 16, 32, 1e-4


def random_weights(torch, shape, dtype):
    """Of the standard deviation that Llama models are initialised with. Numbers repeat: to draw 10^9 of them takes longer than steps."""
    pattern = (torch.rand(min(1_048_573, shape.numel()), generator=torch.Generator().manual_seed(1)) * 2 - 1) * (0.02 * 3**0.5)
    pattern = pattern.to(dtype)
    weights = torch.empty(shape, dtype=dtype)
    flat = weights.view(-1)
    for at in range(0, flat.numel(), pattern.numel()):
        part = flat[at:at + pattern.numel()]
        part.copy_(pattern[:part.numel()])
    return weights


def load(torch, arguments, dtype):
    """The frozen model. Each matrix is made and quantized by itself, so that no dense copy of the model counts as peak memory."""
    from transformers import LlamaConfig, LlamaForCausalLM
    from transformers.models.llama.modeling_llama import LlamaRotaryEmbedding

    config = LlamaConfig(num_hidden_layers=arguments.layers, hidden_size=arguments.hidden, intermediate_size=arguments.intermediate,
                         num_attention_heads=arguments.heads, num_key_value_heads=arguments.kv_heads, head_dim=arguments.head_size,
                         vocab_size=arguments.vocabulary, tie_word_embeddings=arguments.tied, use_cache=False)
    with torch.device("meta"):
        model = LlamaForCausalLM(config)
    model.model.rotary_emb = LlamaRotaryEmbedding(config).to(arguments.device)
    for module in list(model.modules()):
        for name, child in list(module.named_children()):
            if arguments.quantized and isinstance(child, torch.nn.Linear) and name != "lm_head":
                setattr(module, name, quantized(child, random_weights(torch, child.weight.shape, torch.float32), dtype).to(arguments.device))
            elif next(child.parameters(recurse=False), None) is not None:
                weight = torch.ones(child.weight.shape, dtype=dtype) if child.weight.dim() == 1 else random_weights(torch, child.weight.shape, dtype)
                child.weight = torch.nn.Parameter(weight.to(arguments.device), requires_grad=False)
    model.tie_weights()
    return model


def quantized(linear, weight, dtype):
    import bitsandbytes as bnb

    packed = bnb.nn.Linear4bit(linear.in_features, linear.out_features, bias=False, compute_dtype=dtype, quant_type="nf4",
                               compress_statistics=True, device="meta")
    packed.weight = bnb.nn.Params4bit(weight, requires_grad=False, quant_type="nf4", compress_statistics=True)
    return packed


def train(arguments):
    import torch
    from peft import LoraConfig, get_peft_model

    if arguments.device == "cuda" and not torch.cuda.is_available():
        sys.exit("no CUDA device")
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(1)
    model = load(torch, arguments, torch.bfloat16 if arguments.base == "bf16" else torch.float32)
    model = get_peft_model(model, LoraConfig(r=RANK, lora_alpha=ALPHA, target_modules="all-linear", task_type="CAUSAL_LM"),
                           autocast_adapter_dtype=arguments.adapter == "f32")
    if arguments.checkpointed:
        model.enable_input_require_grads()
        model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    model.train()
    trained = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=LEARNING_RATE, weight_decay=0)
    ids = torch.randint(0, arguments.vocabulary, (arguments.sequences, arguments.tokens)).to(arguments.device)
    finish = torch.cuda.synchronize if arguments.device == "cuda" else lambda: None  # calls on a GPU are only queued
    steps = []
    for _ in range(arguments.steps + 1):
        begin = time.perf_counter()
        optimizer.zero_grad()
        loss = model(input_ids=ids, labels=ids).loss
        finish()
        forward = time.perf_counter()
        loss.backward()
        finish()
        backward = time.perf_counter()
        torch.nn.utils.clip_grad_norm_(trained, 1.0)
        optimizer.step()
        finish()
        end = time.perf_counter()
        steps.append({"seconds": end - begin, "forward": forward - begin, "backward": backward - forward,
                      "optimizer": end - backward, "loss": loss.item()})
    return {"peak_mb": peak_mb(torch, arguments.device), "trained": sum(p.numel() for p in trained), "steps": steps[1:]}


def peak_mb(torch, device):
    """Largest resident memory; of a GPU what is taken of its memory now, when the allocator still holds all that steps needed."""
    if device == "cuda":
        free, total = torch.cuda.mem_get_info()
        return (total - free) >> 20
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) >> 10 for line in status if line.startswith("VmHWM"))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for size in ("layers", "hidden", "intermediate", "heads", "kv-heads", "head-size", "vocabulary", "sequences", "tokens", "steps", "threads"):
        parser.add_argument(f"--{size}", type=int, required=True)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--tied", action="store_true", help="the output layer is the embedding")
    parser.add_argument("--quantized", action="store_true", help="NF4 with double quantization, by bitsandbytes")
    parser.add_argument("--base", choices=("f32", "bf16"), default="f32", help="of the base and the activations")
    parser.add_argument("--adapter", choices=("f32", "bf16"), default="f32")
    parser.add_argument("--checkpointed", action="store_true", help="compute activations again in the backward pass")
    print(json.dumps(train(parser.parse_args())))


if __name__ == "__main__":
    main()
