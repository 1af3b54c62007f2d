#!/usr/bin/env python3
"""Compares every kernel with native/cuda/evidence/budget.txt: `make cuda-budget`; `UPDATE=1` writes the file anew.

A line has architecture, registers, bytes of spills, threads of a block, bytes of shared memory, blocks that fit an SM, and the kernel;
for two architectures also the instructions of its main loop, by class (sass.py). Threads and shared memory are the host's choice: they
come from the launches of the tests on simt, so a kernel that no test launches is found as well.

What fails: a spill, a kernel without a line and the reverse, and with the compiler of the file's first line, any other figure. Another
compiler may take as many registers as it needs, as long as nothing spills.

Only the lines of the architectures that are compiled are compared; to write the file takes all of them.
"""

import argparse
import collections
import pathlib
import re
import subprocess
import sys

import sass

BUDGET = pathlib.Path(__file__).with_name("budget.txt")
LOOPS = ("sm_80", "sm_90a")

# Of an SM: threads, blocks, bytes of shared memory. CUDA C++ Programming Guide, "Compute Capabilities"; 65536 registers everywhere.
SM = {"sm_80": (2048, 32, 164 << 10), "sm_86": (1536, 16, 100 << 10), "sm_89": (1536, 24, 100 << 10), "sm_90a": (2048, 32, 228 << 10)}
RESERVED_SHARED = 1 << 10  # of each block


def occupancy(arch, registers, threads, shared):
    """Blocks that an SM holds at once: registers are given by 256 to a warp."""
    most_threads, most_blocks, most_shared = SM[arch]
    registers_of_block = -(-registers // 8) * 8 * 32 * (threads // 32)
    return min(most_threads // threads, most_blocks, 65536 // registers_of_block, most_shared // (shared + RESERVED_SHARED))


def launches(file):
    """{kernel: (threads, most bytes of shared memory)}"""
    found, symbols = {}, {}
    for library, offset, threads, shared in (line.split() for line in pathlib.Path(file).read_text().splitlines()):
        if library not in symbols:
            lines = subprocess.run(["nm", library], capture_output=True, text=True, check=True).stdout.splitlines()
            symbols[library] = {int(words[0], 16): words[2] for words in map(str.split, lines) if len(words) == 3}
        name = symbols[library].get(int(offset, 16))
        if name:
            old = found.get(name, (0, 0))
            found[name] = max(old[0], int(threads)), max(old[1], int(shared))
    return dict(zip(sass.demangled(list(found)), found.values()))


def measured(options, archs):
    sizes = launches(options.launches)
    lines, wrong = {}, []
    for arch in archs:
        for name, kernel in sass.kernels(options.cuobjdump, options.library, options.ptxas, arch).items():
            threads, shared = sizes.get(name, (0, 0))
            if threads == 0:
                wrong.append(f"{name}: no test on simt launches it")
                continue
            figures = {"registers": kernel.registers, "spills": kernel.spills, "threads": threads, "shared": shared,
                       "blocks": occupancy(arch, kernel.registers, threads, shared)}
            if arch in LOOPS:
                figures |= {kind: kernel.loop[kind] for kind in sorted(kernel.loop)}
            lines[arch, name] = figures
    return lines, sorted(set(wrong))


def written(lines, compiler):
    text = [f"# {compiler}", "# architecture, registers, spills, threads, shared bytes, blocks of an SM, kernel | its main loop"]
    for (arch, name), f in sorted(lines.items()):
        loop = " ".join(f"{count} {kind}" for kind, count in list(f.items())[5:])
        text.append(f"{arch:7}{f['registers']:4}{f['spills']:5}{f['threads']:5}{f['shared']:7}{f['blocks']:3}  {name}" + (f" | {loop}" if loop else ""))
    return "\n".join(text) + "\n"


def read_budget():
    compiler, lines = "", {}
    for line in BUDGET.read_text().splitlines():
        if line.startswith("#"):
            compiler = compiler or line[2:]
            continue
        head, _, loop = line.partition(" | ")
        arch, *figures, name = head.split(maxsplit=6)
        words = loop.split()
        lines[arch, name] = dict(zip(("registers", "spills", "threads", "shared", "blocks"), map(int, figures))) | \
            {kind: int(count) for count, kind in zip(words[::2], words[1::2])}
    return compiler, lines


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name in ("cuobjdump", "nvcc", "library", "ptxas", "launches"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--archs", nargs="+", required=True, help="as CUDA_ARCHS: 80 90a")
    parser.add_argument("--update", action="store_true")
    options = parser.parse_args()
    version = subprocess.run([options.nvcc, "--version"], capture_output=True, text=True, check=True).stdout
    compiler = "nvcc " + re.search(r"V([\d.]+)", version)[1]
    archs = [f"sm_{arch}" for arch in options.archs]
    if options.update and set(archs) != set(SM):
        sys.exit(f"the budget has {' '.join(SM)}: make cuda-budget UPDATE=1 compiles them all")
    found, wrong = measured(options, archs)
    if options.update:
        BUDGET.write_text(written(found, compiler))
        sys.exit("\n".join(wrong) or 0)
    known_compiler, budget = read_budget()
    for key in sorted(found.keys() | {key for key in budget if key[0] in archs}):
        now, then = found.get(key), budget.get(key)
        if now is None or then is None:
            wrong.append(f"{' '.join(key)}: {'not compiled, but in' if now is None else 'not in'} the budget")
        elif compiler == known_compiler and now != then:
            zero = collections.Counter()
            changes = [f"{k} {(then or zero).get(k, 0)} -> {now.get(k, 0)}" for k in (then | now) if then.get(k, 0) != now.get(k, 0)]
            wrong.append(f"{' '.join(key)}: {', '.join(changes)}")
        elif now["spills"] > then["spills"]:
            wrong.append(f"{' '.join(key)}: {now['spills']} bytes of spills")
    if wrong:
        print("\n".join(wrong))
        sys.exit("the kernels are not those of native/cuda/evidence/budget.txt. When that is meant: make cuda-budget UPDATE=1")
    print(f"{len(found)} kernels for {', '.join(archs)} as in the budget ({compiler}); {sum(f['spills'] for f in found.values())} bytes of spills")


main()
