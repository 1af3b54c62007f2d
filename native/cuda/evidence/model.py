#!/usr/bin/env python3
"""A model of how long the products take on a GPU: `make cuda-model`. NOT a measurement.

For each pipe of a multiprocessor it divides the work by the rate: the instructions of a kernel's main loop (sass.py), as often as the
product's tensor-core instructions ask for, by what a clock can do; the bytes by the rates of L2 and memory. The longest is the model's time:
everything else is taken to hide behind it. So it tells which pipe limits a kernel, and that no schedule can beat it; latency, clocks that fall under
load, and anything outside the main loop are not in it.
"""

import argparse
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
BYTES = {"lds": 128, "lds.64": 256, "lds.128": 512, "sts": 128, "ldmatrix": 512, "cp.async": 512}  # of a warp in shared memory
LOADED = {"ldg": 32, "ldg.64": 256, "ldg.128": 512, "cp.async": 512}  # from L2; the narrow ones are scales, a sector or so

# Kernel and its rows and columns of y by shape: the pattern takes them from the kernel's template arguments.
MODELLED = [
    ("sm_80", r"product_bf16_kernel<load 0, load 0, Tile<(\d+), (\d+)", "BF16", [(512, 4096, 4096), (4096, 4096, 4096)]),
    ("sm_80", r"product_bf16_kernel<load 0, load 2, Tile<(\d+), (\d+)", "NF4", [(512, 4096, 4096), (4096, 4096, 4096)]),
    ("sm_80", r"product_bf16_kernel<load 0, load 3, Tile<(\d+), (\d+)", "NF4 dx", [(512, 4096, 4096), (4096, 4096, 4096)]),
    ("sm_80", r"nf4_few_rows_kernel<Tile<(\d+), (\d+).*, false>", "NF4", [(1, 14336, 4096), (64, 14336, 4096)]),
    ("sm_90a", r"nf4_few_rows_kernel<Tile<(\d+), (\d+).*, false>", "NF4", [(1, 14336, 4096), (64, 14336, 4096)]),
    ("sm_90a", r"product_hopper_kernel<HopperTile<Tile<(\d+), (\d+).*, false>", "NF4", [(512, 4096, 4096), (4096, 4096, 4096)]),
    ("sm_90a", r"product_hopper_kernel<HopperTile<Tile<(\d+), (\d+).*, true>", "NF4 dx", [(512, 4096, 4096), (4096, 4096, 4096)]),
]


class Device:
    def __init__(self, name):
        row = re.search(rf'\{{"{name}", (\d+), (\d+)\}}, ([\d.e]+), ([\d.e]+), ([\d.e]+)', (HERE.parent / "devices.h").read_text())
        self.name, self.multiprocessors = name, int(row[2])
        self.bandwidth, self.bf16, f32 = map(float, row.groups()[2:])
        self.arch = {"A100": "sm_80", "H100": "sm_90a"}[name]
        self.clock = f32 / (2 * LANES[self.arch]["fp32"] * self.multiprocessors)
        # H100's figure is what cuBLAS reaches; the pipe's own rate is twice A100's for a clock.
        self.tensor = {"sm_80": 2048, "sm_90a": 4096}[self.arch]  # operations of a clock and multiprocessor


def wgmma_columns(loop):
    return [(int(kind.split("x")[1]), count) for kind, count in loop.items() if kind.startswith("wgmma")]


def pipes(device, kernel, m, n, k, tile_m, tile_n, weight_bytes):
    """Microseconds of each pipe."""
    loop = kernel.loop
    wgmma = wgmma_columns(loop)
    operations = loop["mma"] * 4096 + sum(2 * 64 * columns * 16 / 4 * count for columns, count in wgmma)
    tiles = math.ceil(m / tile_m) * math.ceil(n / tile_n)
    rounds = tiles * 2 * tile_m * tile_n * k / operations / device.multiprocessors  # of a warp through the loop, on each multiprocessor
    if tiles > device.multiprocessors:  # the last wave is not full
        rounds *= math.ceil(tiles / device.multiprocessors) / (tiles / device.multiprocessors)
    lanes = LANES[device.arch]
    clocks = {
        "tensor": operations / device.tensor / (MMA_OF_WGMMA if device.arch == "sm_90a" and not wgmma else 1),
        "issue": sum(loop.values()) / ISSUE,
        "fp32": loop["ffma"] * 32 / lanes["fp32"],
        "integer": loop["integer"] * 32 / lanes["integer"],
        "convert": loop["convert"] * 32 / lanes["convert"],
        "shuffle": (loop["shfl"] + loop["movmatrix"]) * 32 / lanes["shuffle"],
        "shared": (sum(BYTES[kind] * loop[kind] for kind in BYTES) + sum(columns * 32 / 4 * count for columns, count in wgmma)) / SHARED,
    }
    times = {pipe: rounds * c / device.clock * 1e6 for pipe, c in clocks.items()}
    from_l2 = sum(LOADED[kind] * loop[kind] for kind in LOADED) * rounds * device.multiprocessors
    times["L2"] = from_l2 / (L2 * device.clock) * 1e6
    times["memory"] = (weight_bytes + 2 * m * (n + k)) / device.bandwidth * 1e6
    return times


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name in ("cuobjdump", "library", "ptxas"):
        parser.add_argument(f"--{name}", required=True)
    options = parser.parse_args()
    print("A model from machine code and data sheets, not a measurement: no GPU has run this.\n")
    columns = ("tensor", "issue", "fp32", "integer", "convert", "shuffle", "shared", "L2", "memory")
    print("| on | kernel | tokens, out, in | " + " | ".join(columns) + " | model, us | of floor | limit |")
    print("|---|---|---|" + "--:|" * len(columns) + "--:|--:|---|")
    compiled = {arch: sass.kernels(options.cuobjdump, options.library, options.ptxas, arch) for arch in LANES}
    devices = {device.arch: device for device in map(Device, ("A100", "H100"))}
    for arch, pattern, title, shapes in MODELLED:
        found = [(re.match(pattern, name), kernel) for name, kernel in compiled[arch].items() if re.match(pattern, name)]
        if not found:
            raise SystemExit(f"no kernel is called {pattern}: model.py is out of date")
        for m, n, k in shapes:
            bytes_of_weight = 2 if "BF16" in title else 0.516
            candidates = []
            for match, kernel in found:
                tile_m, tile_n = int(match[1]), int(match[2])
                times = pipes(devices[arch], kernel, m, n, k, tile_m, tile_n, n * k * bytes_of_weight)
                candidates.append((max(times.values()), tile_m, tile_n, times))
            time, tile_m, tile_n, times = min(candidates)
            device = devices[arch]
            floor = max(times["memory"], 2 * m * n * k / device.bf16 * 1e6)
            print(f"| {device.name} | {title}, {tile_m}x{tile_n} | {m}, {n}, {k} | " + " | ".join(f"{times[c]:.1f}" for c in columns) +
                  f" | {time:.1f} | {time / floor:.2f} | {max(times, key=times.get)} |")


main()
