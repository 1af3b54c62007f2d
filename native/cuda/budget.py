#!/usr/bin/env python3
"""Compares what ptxas says of every kernel with native/cuda/budget.txt: `make cuda-budget`, after `make cuda`.

A line is: architecture, registers, bytes of spills, kernel. More registers than the line allows, a spill that it does not have, a
kernel without a line or a line without a kernel fail; `make cuda-budget UPDATE=1` writes the file anew.
"""

import pathlib
import re
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
BUDGET = HERE / "budget.txt"


def demangled(names):
    text = subprocess.run(["c++filt"], input="\n".join(names), capture_output=True, text=True, check=True).stdout
    return [re.sub(r"nf4j::cuda::|\(anonymous namespace\)::|^void |\((?!nf4j)[^()]*\)$|\(.*\)$", "", line.replace("(nf4j::cuda::Load)", "load "))
            for line in text.splitlines()]


def measured(folder):
    found = {}
    for file in sorted(pathlib.Path(folder).glob("*.ptxas")):
        kernels = re.findall(r"Compiling entry function '(\w+)' for '(\w+)'.*?(\d+) bytes spill stores, (\d+) bytes spill loads.*?"
                             r"Used (\d+) registers", file.read_text(), re.S)
        for name, (_, arch, stores, loads, registers) in zip(demangled([k[0] for k in kernels]), kernels):
            found[arch, name] = int(registers), int(stores) + int(loads)
    return found


def read_budget():
    lines = (line.split(maxsplit=3) for line in BUDGET.read_text().splitlines() if line and not line.startswith("#"))
    return {(arch, name): (int(registers), int(spills)) for arch, registers, spills, name in lines}


def main():
    found = measured(sys.argv[1])
    if not found:
        sys.exit("nothing was compiled: make cuda")
    if "--update" in sys.argv:
        lines = [f"{arch:8}{registers:4}{spills:5}  {name}" for (arch, name), (registers, spills) in sorted(found.items())]
        BUDGET.write_text("# architecture, registers, bytes of spills, kernel: make cuda-budget UPDATE=1\n" + "\n".join(lines) + "\n")
        return
    budget = read_budget()
    archs = {arch for arch, _ in found}
    wrong = [f"{a} {n}: {found[a, n]} registers and spills, the budget has {budget.get((a, n))}" for a, n in sorted(found)
             if (a, n) not in budget or found[a, n][0] > budget[a, n][0] or found[a, n][1] > budget[a, n][1]]
    wrong += [f"{a} {n}: in the budget, but not compiled" for a, n in sorted(budget) if a in archs and (a, n) not in found]
    print("\n".join(wrong) or f"{len(found)} kernels within their budget, spills: {sum(s for _, s in found.values())} bytes")
    sys.exit(bool(wrong))


main()
