"""What machine code tells of a kernel: registers, spills, and the instructions of its main loop.

The main loop is the smallest backward branch around tensor-core instructions that also loads ahead; without any, the innermost one
with the most FFMAs. A kernel without a loop is taken as a whole. Cold code that the compiler left inside the loop is counted too.
"""

import collections
import pathlib
import re
import subprocess

# What an instruction keeps busy: the first pattern that matches its name. Everything also takes an issue slot.
CLASSES = [
    ("wgmma", r"HGMMA"), ("mma", r"HMMA"), ("ldmatrix", r"LDSM"), ("movmatrix", r"MOVM"),
    ("bulk", r"UBLKCP|UTMALDG"), ("cp.async", r"LDGSTS"),
    ("ldg.128", r"LDG.*\.128"), ("ldg.64", r"LDG.*\.64"), ("ldg", r"LDG|LD\.E"), ("stg", r"STG|ST\.E|RED|ATOM"),
    ("lds.128", r"LDS.*\.128"), ("lds.64", r"LDS.*\.64"), ("lds", r"LDS"), ("sts", r"STS|STSM"),
    ("local", r"LDL|STL"), ("shfl", r"SHFL|VOTE|REDUX"),
    ("ffma", r"FFMA|FMUL|FADD|FMNMX|FSEL|FSETP|HFMA2|HADD2|HMUL2"), ("convert", r"F2F|F2I|I2F|F2FP|MUFU"),
    ("branch", r"BRA|BSSY|BSYNC|EXIT|CALL|RET"), ("barrier", r"BAR|DEPBAR|WARPSYNC|SYNCS|WARPGROUP"),
]
TENSOR = ("wgmma", "mma")


def classify(name):
    for kind, pattern in CLASSES:
        if re.match(pattern, name):
            shape = re.search(r"\d+x\d+x\d+", name)
            return f"{kind}.{shape[0]}" if kind == "wgmma" else kind
    return "integer"  # and moves, logic, addresses


Kernel = collections.namedtuple("Kernel", "registers spills loop instructions")  # loop: a Counter of classes


def demangled(names):
    text = subprocess.run(["c++filt"], input="\n".join(names), capture_output=True, text=True, check=True).stdout
    return [re.sub(r"nf4j::cuda::|nf4j::ladder::|\(anonymous namespace\)::|^void |\((?!nf4j)[^()]*\)$|\(.*\)$", "",
                   line.replace("(nf4j::cuda::Load)", "load ")) for line in text.splitlines()]


def main_loop(code):
    """code: (address, name, branch target or None) in order. The classes of the main loop's instructions."""
    kinds = [classify(name) for _, name, _ in code]
    index = {address: i for i, (address, _, _) in enumerate(code)}
    loops = [(index[target], i) for i, (address, name, target) in enumerate(code)
             if name == "BRA" and target is not None and target < address and target in index]

    def weight(loop):
        inside = kinds[loop[0]:loop[1] + 1]
        tensor = any(k.startswith(TENSOR) for k in inside)
        ahead = "cp.async" in inside or "ldg.128" in inside  # not the loop of a LoRA adapter
        innermost = not any(o != loop and loop[0] <= o[0] and o[1] <= loop[1] for o in loops)
        return (True, ahead, -len(inside), 0) if tensor else (False, innermost, inside.count("ffma"), len(inside))

    first, last = max(loops, key=weight, default=(0, len(code) - 1))
    return collections.Counter(kinds[first:last + 1])


def resources(ptxas_folder):
    """{(arch, mangled name): (registers, bytes of spills)} from what ptxas printed."""
    found = {}
    for file in sorted(pathlib.Path(ptxas_folder).glob("*.ptxas")):
        for name, arch, stores, loads, registers in re.findall(
                r"Compiling entry function '(\w+)' for '(\w+)'.*?(\d+) bytes spill stores, (\d+) bytes spill loads.*?Used (\d+) registers",
                file.read_text(), re.S):
            found[arch, name] = int(registers), int(stores) + int(loads)
    return found


def disassembled(cuobjdump, library, arch):
    """{mangled name: code}"""
    process = subprocess.Popen([cuobjdump, "-sass", "-arch", arch, library], stdout=subprocess.PIPE, text=True)
    functions, code = {}, None
    for line in process.stdout:
        if match := re.match(r"\t\tFunction : (\w+)", line):
            code = functions.setdefault(match[1], [])
        elif match := re.match(r"\s+/\*([0-9a-f]{4,})\*/\s+(?:@!?U?P\w+ )?([A-Za-z0-9.]+)([^;]*);", line):
            address, name, operands = int(match[1], 16), match[2], match[3]
            target = re.search(r"0x([0-9a-f]+)", operands) if name.startswith("BRA") else None
            at = int(target[1], 16) if target else None
            if at == address or "@!PT" in line:
                continue  # the loop behind the end, and instructions that only take their time
            code.append((address, "BRA" if name.startswith("BRA") else name, at))
    if process.wait() != 0:
        raise SystemExit(f"{cuobjdump} cannot read {library}")
    return functions


def kernels(cuobjdump, library, ptxas_folder, arch):
    """{kernel's name as the source has it: Kernel}"""
    found = {name: values for (a, name), values in resources(ptxas_folder).items() if a == arch}
    code = disassembled(cuobjdump, library, arch)
    names = [name for name in found if name in code]
    return {plain: Kernel(*found[name], main_loop(code[name]), len(code[name])) for plain, name in zip(demangled(names), names)}
