#!/usr/bin/env python3
"""A model of how long the kernels take on a GPU: `make cuda-model`. NOT a measurement.

For each pipe of a multiprocessor it divides the work by the rate: the instructions of the cheapest pass through a kernel's main loop (sass.py),
as often as the problem asks for it, by what a clock can do; the bytes by the rates of L2 and memory. The longest is the model's time: everything
else is taken to hide behind it. So it tells which pipe limits a kernel, and that no schedule of this code can beat it; latency, clocks that fall
under load, what is done outside the main loop, and what only some passes do are not in it.
"""

import argparse
import collections
import math
import pathlib
import re

import sass

HERE = pathlib.Path(__file__).parent

# Results of a clock and multiprocessor: CUDA C++ Programming Guide, "Arithmetic Instructions", for compute capabilities 8.0 and 9.0.
LANES = {"sm_80": {"fp32": 64, "integer": 64, "convert": 64, "shuffle": 32}, "sm_90a": {"fp32": 128, "integer": 64, "convert": 64, "shuffle": 32}}
ISSUE = 4            # instructions of warps
SHARED = 128         # bytes
L2 = 5120            # bytes of a clock for the whole device: A100's and H100's white papers
MMA_OF_WGMMA = 0.65  # what mma.sync reaches of wgmma's rate on compute capability 9.0, as others have measured
BYTES = {"lds": 128, "lds.64": 256, "lds.128": 512, "sts": 128, "ldmatrix": 512, "cp.async": 512,
         "ldg.64": 256, "ldg.128": 512}  # of a warp in shared memory, whose ports the L1 cache shares
LOADED = {"ldg": 32, "ldg.64": 256, "ldg.128": 512, "cp.async": 512}  # from L2; the narrow ones of products are scales, a sector or so
MMA = 4096           # operations of an mma
COLUMNS = ("tensor", "issue", "fp32", "integer", "convert", "shuffle", "shared", "L2", "memory")

# What a kernel does: passes of warps through its main loop on the busiest multiprocessor, what a pass counts, bytes from and to memory, operations
# on tensor cores that the problem asks for, and the bytes from L2 where they do not follow from the counts.
Work = collections.namedtuple("Work", "title shape passes counts memory operations l2", defaults=(None,))


class Device:
    def __init__(self, name):
        row = re.search(rf'\{{"{name}", (\d+), (\d+)\}}, ([\d.e]+), ([\d.e]+), ([\d.e]+)', (HERE.parent / "devices.h").read_text())
        self.name, self.multiprocessors = name, int(row[2])
        self.bandwidth, self.bf16, f32 = map(float, row.groups()[2:])
        self.arch = {"A100": "sm_80", "H100": "sm_90a"}[name]
        self.clock = f32 / (2 * LANES[self.arch]["fp32"] * self.multiprocessors)
        # H100's figure is what cuBLAS reaches; the pipe's own rate is twice A100's for a clock.
        self.tensor = {"sm_80": 2048, "sm_90a": 4096}[self.arch]  # operations of a clock and multiprocessor


def wgmma_columns(counts):
    return [(int(kind.split("x")[1]), count) for kind, count in counts.items() if kind.startswith("wgmma")]


def tensor_operations(counts):
    return counts["mma"] * MMA + sum(2 * 64 * columns * 16 / 4 * count for columns, count in wgmma_columns(counts))


def microseconds(device, work):
    """Of each pipe."""
    counts, lanes, wgmma = work.counts, LANES[device.arch], wgmma_columns(work.counts)
    clocks = {
        "tensor": tensor_operations(counts) / device.tensor / (MMA_OF_WGMMA if device.arch == "sm_90a" and not wgmma else 1),
        "issue": sum(counts.values()) / ISSUE,
        "fp32": counts["ffma"] * 32 / lanes["fp32"],
        "integer": counts["integer"] * 32 / lanes["integer"],
        "convert": counts["convert"] * 32 / lanes["convert"],
        "shuffle": (counts["shfl"] + counts["movmatrix"]) * 32 / lanes["shuffle"],
        "shared": (sum(BYTES[kind] * counts[kind] for kind in BYTES) + sum(columns * 32 / 4 * count for columns, count in wgmma)) / SHARED,
    }
    times = {pipe: work.passes * c / device.clock * 1e6 for pipe, c in clocks.items()}
    l2 = sum(LOADED[kind] * counts[kind] for kind in LOADED) * work.passes * device.multiprocessors if work.l2 is None else work.l2
    times["L2"] = l2 / (L2 * device.clock) * 1e6
    times["memory"] = work.memory / device.bandwidth * 1e6
    return times


def only(kernels, pattern):
    names = [name for name in kernels if re.search(pattern, name)]
    if len(names) != 1:
        raise SystemExit(f"{len(names)} kernels are called {pattern}: model.py is out of date")
    return names[0], kernels[names[0]]


def whole_pass(name, kernel, wanted):
    """Counts with `wanted` mma: inner loops that the compiler kept are on the way once, and as often again as mma are missing."""
    counts, inner = sass.cheapest_pass(kernel)
    again = (wanted - counts["mma"]) / inner["mma"] if inner["mma"] else 0
    if counts["mma"] + again * inner["mma"] != wanted:
        raise SystemExit(f"{name}: {counts['mma']} mma on the way, where {wanted} are needed: model.py is out of date")
    return collections.Counter({kind: counts[kind] + again * inner[kind] for kind in counts | inner})


# ---- products

# By architecture: kernel, whose pattern has the rows and columns of its tile, if not gemv's, and shapes (tokens, out, in). Of several tiles the
# fastest counts.
SQUARE, ONE_TOKEN, FEW_TOKENS, GEMV = [(512, 4096, 4096), (4096, 4096, 4096)], [(1, 14336, 4096)], [(64, 14336, 4096)], (8, 16)
PRODUCTS = {
    "sm_80": [
        (r"^product_bf16_kernel<load 0, load 0, Tile<(\d+), (\d+)", "BF16", SQUARE),
        (r"^product_bf16_kernel<load 0, load 2, Tile<(\d+), (\d+)", "NF4", SQUARE),
        (r"^product_bf16_kernel<load 0, load 3, Tile<(\d+), (\d+)", "NF4 dx", SQUARE),
        (r"^nf4_gemv_kernel<1>", "NF4", ONE_TOKEN),
        (r"^nf4_few_rows_kernel<Tile<(\d+), (\d+).*, false>", "NF4", FEW_TOKENS),
    ],
    "sm_90a": [
        (r"^nf4_gemv_kernel<1>", "NF4", ONE_TOKEN),
        (r"^nf4_few_rows_kernel<Tile<(\d+), (\d+).*, false>", "NF4", FEW_TOKENS),
        (r"^product_hopper_kernel<HopperTile<Tile<(\d+), (\d+).*, false>", "NF4", SQUARE),
        (r"^product_hopper_kernel<HopperTile<Tile<(\d+), (\d+).*, true>", "NF4 dx", SQUARE),
    ],
}


def product(device, title, m, n, k, tile_m, tile_n, counts, memory):
    tiles = math.ceil(m / tile_m) * math.ceil(n / tile_n)
    passes = tiles * 2 * tile_m * tile_n * k / tensor_operations(counts) / device.multiprocessors
    if tiles > device.multiprocessors:  # the last wave is not full
        passes *= math.ceil(tiles / device.multiprocessors) / (tiles / device.multiprocessors)
    return Work(f"{title}, {tile_m}x{tile_n}", f"{m}, {n}, {k}", passes, counts, memory, 2 * m * n * k)


def products(device, kernels):
    for pattern, title, shapes in PRODUCTS[device.arch]:
        matches = [(re.search(pattern, name), kernel) for name, kernel in kernels.items()]
        found = [(tuple(map(int, match.groups())) or GEMV, sass.cheapest_pass(kernel)[0]) for match, kernel in matches if match]
        found.sort(key=lambda pair: pair[0])  # of equally fast ones the smallest tile is named
        if not found:
            raise SystemExit(f"no kernel is called {pattern}: model.py is out of date")
        for m, n, k in shapes:
            memory = n * k * (2 if "BF16" in title else 0.516) + 2 * m * (n + k)
            yield min((product(device, title, m, n, k, *tile, counts, memory) for tile, counts in found),
                      key=lambda work: max(microseconds(device, work).values()))


# ---- the thin products of adapters of rank 16, with three parts of F32: tiles of 64 tokens and 256 columns for 8 warps (lora.cuh)

RANK, PARTS, WARPS = 16, 3, 8
# title, kernel, products, adapters that share the tall matrix
THIN = [
    ("LoRA u", "lora_kernel<true, false>", 1, 1),
    ("LoRA u of q, k, v", "lora_kernel<true, false>", 1, 3),
    ("LoRA du dB", "lora_kernel<true, true>", 2, 1),
    ("LoRA dA", "lora_kernel<false, true>", 1, 1),
]


def adapters(device, kernels):
    tokens, n = 4096, 4096
    for title, pattern, product_count, sharing in THIN:
        name, kernel = only(kernels, "^" + pattern)
        counts = whole_pass(name, kernel, product_count * 2 * PARTS * 64 * 256 * RANK // MMA // WARPS)
        passes = sharing * math.ceil(tokens / 64) * math.ceil(n / 256) * WARPS / device.multiprocessors
        memory = 2 * tokens * n + 4 * sharing * RANK * (tokens + n)
        yield Work(title, f"{tokens}, {n}", passes, counts, memory, 2 * sharing * product_count * tokens * n * RANK)


# ---- attention: one causal sequence, as many heads of keys as of queries, the big tiles that many tokens get (attention_tiles.h)

HEADS, TOKENS = 32, 4096
ATTENTION = [
    # kernel, template arguments (head dimension, rows of a warp, columns of a pass), products, [tokens, heads, dimension] tensors in memory
    ("attention", "attention_bf16_forward_kernel<ForwardShape<64, 32> >", (64, 32, 64), 2, 4),
    ("attention", "attention_bf16_forward_kernel<ForwardShape<128, 32> >", (128, 32, 32), 2, 4),
    ("attention dq", "attention_bf16_dq_kernel<BackwardShape<64, 32, 32> >", (64, 32, 32), 3, 5),
    ("attention dq", "attention_bf16_dq_kernel<BackwardShape<128, 32, 32> >", (128, 32, 32), 3, 5),
    ("attention dk dv", "attention_bf16_dkv_kernel<BackwardShape<64, 32, 32> >", (64, 32, 32), 4, 6),
    ("attention dk dv", "attention_bf16_dkv_kernel<BackwardShape<128, 16, 32> >", (128, 16, 32), 4, 6),
]


def attention(device, kernels):
    for title, pattern, (dim, rows, cols), product_count, tensors in ATTENTION:
        name, kernel = only(kernels, "^" + re.escape(pattern))
        counts = whole_pass(name, kernel, product_count * rows * cols * dim * 2 // MMA)
        # A warp's rows see the tiles of columns up to the diagonal: of keys, or for dk and dv, of queries from there on.
        of_warps = [math.ceil((first + rows) / cols) for first in range(0, TOKENS, rows)]
        passes = max(HEADS * sum(of_warps) / device.multiprocessors, max(of_warps))
        pairs = HEADS * TOKENS * (TOKENS + 1) / 2
        yield Work(f"{title}, {dim}", f"{TOKENS}, {HEADS} heads", passes, counts, tensors * 2 * TOKENS * HEADS * dim, 2 * product_count * dim * pairs)


# ---- kernels that memory limits, if anything is well

# kernel, title, elements, and for each: loads, if they are narrow; bytes that are loaded in the main loop, and those that come from or go to memory.
# A kernel with several loops is judged by the longest.
MLP, HIDDEN, VOCABULARY = 4096 * 11008, 4096 * 4096, 1024 * 32000
STREAMED = [
    (r"norm_forward_kernel<nf4j::bf16>", "norm, BF16", HIDDEN, 2, 4, 4),
    (r"norm_backward_kernel<nf4j::bf16>", "norm backward, BF16", HIDDEN, 4, 8, 8),
    (r"Rotation<nf4j::bf16>", "rope, BF16, pairs", HIDDEN // 2, 4, 12, 8),
    (r"SwiGluForward<nf4j::bf16>", "swiglu, BF16", MLP, 2, 4, 6),
    (r"SwiGluBackward<nf4j::bf16>", "swiglu backward, BF16", MLP, 3, 6, 10),
    (r"softmax_gradient_kernel<nf4j::bf16>", "loss, BF16", VOCABULARY, 1, 4, 6),
    (r"adamw_kernel", "AdamW, F32 states", 10 ** 7, 5, 16, 28),
]


def streamed(device, kernels):
    for pattern, title, elements, narrow, loaded, memory in STREAMED:
        name, kernel = only(kernels, pattern)
        counts = sass.cheapest_pass(kernel)[0]
        wide = 16 * counts["ldg.128"] + 8 * counts["ldg.64"]
        of_pass = 32 * (wide / loaded if wide else counts["ldg"] / narrow)
        yield Work(title, f"{elements}", elements / of_pass / device.multiprocessors, counts, elements * memory, 0, elements * loaded)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name in ("cuobjdump", "library", "ptxas"):
        parser.add_argument(f"--{name}", required=True)
    options = parser.parse_args()
    print("A model from machine code and data sheets, not a measurement.\n")
    print("| on | kernel | problem | " + " | ".join(COLUMNS) + " | model, us | of floor | limit |")
    print("|---|---|---|" + "--:|" * len(COLUMNS) + "--:|--:|---|")
    for device in (Device("A100"), Device("H100")):
        kernels = sass.kernels(options.cuobjdump, options.library, options.ptxas, device.arch)
        for family in (products, adapters, attention, streamed):
            for work in family(device, kernels):
                times = microseconds(device, work)
                limit = max(times, key=times.get)
                floor = max(times["memory"], work.operations / device.bf16 * 1e6)
                print(f"| {device.name} | {work.title} | {work.shape} | " + " | ".join(f"{times[c]:.1f}" for c in COLUMNS) +
                      f" | {times[limit]:.1f} | {times[limit] / floor:.2f} | {limit} |")


main()
