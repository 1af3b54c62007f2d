"""Runs nf4j beside transformers, PEFT and bitsandbytes on the same files, and compares logits: `make interop`.

The other tests compare with stored outputs of these libraries; this one meets whatever version is installed.
"""

import json
import pathlib
import subprocess
import sys
import tempfile

import bitsandbytes.functional as bnb
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM
from transformers.utils import logging

ROOT = pathlib.Path(__file__).resolve().parents[3]
MODELS = ROOT / "src/test/resources/fixtures/models"
PROJECTIONS = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
TOLERANCE = 1e-4  # of the largest logit
BLOCK = 64
failures = 0


def nf4j(*arguments):
    subprocess.run([ROOT / "bin/nf4j", *map(str, arguments)], check=True, stdout=subprocess.DEVNULL)


def base(name):
    return AutoModelForCausalLM.from_pretrained(MODELS / name, dtype=torch.float32).eval()


def torch_logits(model, ids):
    with torch.no_grad():
        return model(input_ids=ids).logits


def nf4j_logits(name, ids, folder, *options):
    save_file({"input_ids": ids}, folder / "tokens.safetensors")
    nf4j("logits", "--model", MODELS / name, "--tokens", folder / "tokens.safetensors", "--output", folder / "logits.safetensors", *options)
    return load_file(folder / "logits.safetensors")["logits"]


def compare(what, expected, actual, other=None):
    """`other` is what the logits would be if the thing under test were missing: it must be far away."""
    global failures
    largest = expected.abs().max()
    error = ((expected - actual).abs().max() / largest).item()
    effect = None if other is None else ((expected - other).abs().max() / largest).item()
    ok = error <= TOLERANCE and (effect is None or effect > 100 * TOLERANCE)
    failures += not ok
    print(f"{'ok  ' if ok else 'FAIL'} {what}: largest difference {error:.1e} of the largest logit"
          + ("" if effect is None else f" (without it {effect:.1e})"), flush=True)


def adapter_of_nf4j(name, ids, folder, *options):
    """PEFT loads what nf4j trained."""
    data = folder / "data.jsonl"
    data.write_text("".join(json.dumps({"input_ids": row, "labels": row}) + "\n" for row in ids.tolist()))
    adapter = folder / "from-nf4j"
    nf4j("finetune", "--model", MODELS / name, "--data", data, "--output", adapter, "--quantize", "none", "--steps", 8, "--lr", "1e-2", *options)
    plain = torch_logits(base(name), ids)
    expected = torch_logits(PeftModel.from_pretrained(base(name), adapter).eval(), ids)
    compare(f"{name}: adapter trained by nf4j {' '.join(map(str, options))}, in PEFT", expected,
            nf4j_logits(name, ids, folder, "--adapter", adapter), plain)


def adapter_of_peft(name, ids, folder, **settings):
    """nf4j loads what PEFT wrote."""
    torch.manual_seed(1)
    config = LoraConfig(r=8, lora_alpha=16, target_modules=PROJECTIONS, init_lora_weights=False, task_type="CAUSAL_LM", **settings)
    model = get_peft_model(base(name), config).eval()
    adapter = folder / "from-peft"
    model.save_pretrained(adapter)
    compare(f"{name}: adapter written by PEFT {settings}, in nf4j", torch_logits(model, ids),
            nf4j_logits(name, ids, folder, "--adapter", adapter), torch_logits(base(name), ids))


def quantized(name, ids, folder):
    """`--quantize nf4` computes with the weights that bitsandbytes' codes and scales stand for.

    The codes are looked up here: dequantize_4bit of bitsandbytes 0.50 takes the wrong scales on the CPU for some shapes.
    """
    model = base(name)
    for path, module in model.named_modules():
        if path.rsplit(".", 1)[-1] in PROJECTIONS:
            packed, state = bnb.quantize_4bit(module.weight.data, blocksize=BLOCK, compress_statistics=True, quant_type="nf4")
            absmax = bnb.dequantize_blockwise(state.absmax, state.state2) + state.offset
            codes = torch.stack([packed.flatten() >> 4, packed.flatten() & 15], dim=1).flatten()[:module.weight.numel()].long()
            scales = absmax.repeat_interleave(BLOCK)[:codes.numel()]
            module.weight.data = (state.code[codes] * scales).reshape(module.weight.shape)
    compare(f"{name}: NF4 with double quantization, beside bitsandbytes", torch_logits(model, ids),
            nf4j_logits(name, ids, folder, "--quantize", "nf4"), torch_logits(base(name), ids))


def merged(name, ids, folder):
    """transformers runs a model that nf4j merged with an adapter over an NF4 base."""
    data = folder / "data.jsonl"
    data.write_text("".join(json.dumps({"input_ids": row, "labels": row}) + "\n" for row in ids.tolist()))
    adapter, output = folder / "adapter", folder / "merged"
    nf4j("finetune", "--model", MODELS / name, "--data", data, "--output", adapter, "--steps", 8, "--lr", "1e-2")
    nf4j("merge", "--model", MODELS / name, "--adapter", adapter, "--output", output, "--dtype", "f32")
    model = AutoModelForCausalLM.from_pretrained(output, dtype=torch.float32).eval()
    compare(f"{name}: merged by nf4j, in transformers", torch_logits(model, ids),
            nf4j_logits(name, ids, folder, "--adapter", adapter, "--quantize", "nf4"), torch_logits(base(name), ids))


def main():
    logging.disable_progress_bar()
    torch.manual_seed(0)
    for name in sorted(path.name for path in MODELS.iterdir()):
        vocabulary = json.loads((MODELS / name / "config.json").read_text())["vocab_size"]
        ids = torch.randint(3, vocabulary, (3, 29))
        for check in (
                lambda folder: compare(f"{name}: logits", torch_logits(base(name), ids), nf4j_logits(name, ids, folder)),
                lambda folder: adapter_of_nf4j(name, ids, folder),
                lambda folder: adapter_of_nf4j(name, ids, folder, "--rslora", "--target-modules", "q_proj,down_proj", "--rank", 4),
                lambda folder: adapter_of_peft(name, ids, folder),
                lambda folder: adapter_of_peft(name, ids, folder, use_rslora=True, rank_pattern={"q_proj": 4}, layers_to_transform=[0]),
                lambda folder: quantized(name, ids, folder),
                lambda folder: merged(name, ids, folder)):
            with tempfile.TemporaryDirectory() as folder:
                check(pathlib.Path(folder))
    print(f"{failures} failures")
    sys.exit(failures > 0)


main()
