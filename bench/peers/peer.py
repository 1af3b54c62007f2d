#!/usr/bin/env python3
"""bitsandbytes as a peer: speaks the language of bench/native/peer.cpp, which explains it.

    peer.py bitsandbytes THREADS           what training does: dequantize the weight, then multiply; forward and dX
    peer.py bitsandbytes-packed THREADS    what inference does: a fused product with weights in an order of its own, forward alone
"""
import math
import os
import sys
import time

SHORTEST_SAMPLE_SECONDS = 1e-4
MOST_CALLS = 4096


class Refused(Exception):
    """Why a product cannot be measured."""


def layer(torch, bnb, weight, dtype, packed):
    """weight [out, in] as bitsandbytes' layer, double-quantized as QLoRA does."""
    linear = bnb.nn.Linear4bit(weight.shape[1], weight.shape[0], bias=False, compute_dtype=dtype, quant_type="nf4", compress_statistics=True)
    linear.weight = bnb.nn.Params4bit(weight, requires_grad=False, quant_type="nf4", compress_statistics=True)
    return linear.to("cpu").train(not packed)


def prepare(torch, bnb, packed, dtype, m, n, k, transposed, slots):
    """One function for each slot, all results checked: c [m, n] = a [m, k] * op(b), b stored [n, k] if transposed, else [k, n]."""
    if packed and not transposed:
        raise Refused("inference only: has no product with the other side of packed weights")
    generator = torch.Generator().manual_seed(1)
    a = (torch.rand(m, k, generator=generator) * 2 - 1).to(dtype)
    b = (torch.rand((n, k) if transposed else (k, n), generator=generator) * 2 - 1).to(dtype)
    calls = []
    for _ in range(slots):
        linear = layer(torch, bnb, b.clone(), dtype, packed)
        dense = bnb.functional.dequantize_4bit(linear.weight.data, linear.weight.quant_state).double()
        if packed:
            x = a.clone()
            with torch.no_grad():
                linear(x)  # brings the weight into the order of inference
            if not getattr(linear.weight.quant_state, "packing_format_for_cpu", False):
                raise Refused("this processor has no packed product: it needs AVX-512 with BF16")
            calls.append(torch.no_grad()(lambda linear=linear, x=x: linear(x)))
        elif transposed:
            x = a.clone().requires_grad_()
            calls.append(lambda linear=linear, x=x: linear(x))
        else:
            x = torch.zeros(m, n, dtype=dtype, requires_grad=True)
            y, dy = linear(x), a.clone()
            calls.append(lambda y=y, x=x, dy=dy: torch.autograd.grad(y, x, dy, retain_graph=True)[0])
    # Sums in double, as peer.cpp checks; the fused product rounds its factors to BF16.
    wanted = a.double() @ (dense.t() if transposed else dense)
    worst = (calls[-1]().detach().double() - wanted).abs().max().item()
    if not worst <= (1e-2 if packed or dtype == torch.bfloat16 else 1e-4) * math.sqrt(k):
        raise Refused("its product is wrong")
    return calls


class Timer:
    """Rotates through the slots; a sample is long enough for the clock."""

    def __init__(self, calls):
        self.calls, self.next, self.count = calls, 0, 1
        seconds = min(self.sample() for _ in range(5))
        self.count = min(MOST_CALLS, max(1, math.ceil(SHORTEST_SAMPLE_SECONDS / seconds)))
        self.sample_seconds = seconds * self.count

    def sample(self):
        begin = time.perf_counter()
        for _ in range(self.count):
            self.calls[self.next]()
            self.next = (self.next + 1) % len(self.calls)
        return (time.perf_counter() - begin) / self.count


def main():
    if len(sys.argv) != 3 or sys.argv[1] not in ("bitsandbytes", "bitsandbytes-packed"):
        sys.exit("usage: peer.py bitsandbytes|bitsandbytes-packed THREADS")
    os.environ["CUDA_VISIBLE_DEVICES"] = ""
    import bitsandbytes as bnb
    import torch

    torch.set_num_threads(int(sys.argv[2]))
    timer = None
    for line in sys.stdin:
        words = line.split()
        if words[0] == "version":
            answer = f"{bnb.__version__} with torch {torch.__version__}"
        elif words[0] == "gemm":
            timer = None
            dtype = torch.bfloat16 if words[1] == "bf16" else torch.float32
            m, n, k, transposed, slots = map(int, words[2:])
            try:
                timer = Timer(prepare(torch, bnb, sys.argv[1] == "bitsandbytes-packed", dtype, m, n, k, transposed == 1, slots))
                answer = f"ready {timer.sample_seconds * 1e9:.0f}"
            except (Refused, RuntimeError) as reason:
                answer = f"failed {reason}".splitlines()[0]
        elif timer is None:
            answer = f"failed cannot do: {line.strip()}"
        else:
            answer = " ".join(f"{timer.sample() * 1e6:.4f}" for _ in range(int(words[1])))
        print(answer, flush=True)


if __name__ == "__main__":
    main()
