"""What machine code tells of a kernel: registers, spills, and the instructions of its main loop.

The main loop is the smallest backward branch around tensor-core instructions that also loads ahead; without any, the innermost one
with the most FFMAs. A kernel without a loop is taken as a whole. `loop` counts everything in it, cold code too; `cheapest_pass` only what no
pass can do without.
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


# loop: a Counter of classes; code: Instructions, of which `first` ... `last` are the main loop.
Kernel = collections.namedtuple("Kernel", "registers spills loop code first last")

# target: of a branch, its index in the code, or None; conditional: it may also go on.
Instruction = collections.namedtuple("Instruction", "kind name target conditional")


def demangled(names):
    text = subprocess.run(["c++filt"], input="\n".join(names), capture_output=True, text=True, check=True).stdout
    return [re.sub(r"nf4j::cuda::|nf4j::ladder::|\(anonymous namespace\)::|^void |\((?!nf4j)[^()]*\)$|\(.*\)$", "",
                   line.replace("(nf4j::cuda::Load)", "load ")) for line in text.splitlines()]


def loops(code):
    """(first, last) of every backward branch"""
    return [(x.target, i) for i, x in enumerate(code) if x.name == "BRA" and x.target is not None and x.target < i]


def main_loop(code):
    """(first, last), a whole kernel where there is no loop"""
    found = loops(code)

    def weight(loop):
        inside = [x.kind for x in code[loop[0]:loop[1] + 1]]
        tensor = any(k.startswith(TENSOR) for k in inside)
        # Not the loop of a LoRA adapter, which neither copies ahead nor looks weights up.
        ahead = any(kind in inside for kind in ("cp.async", "lds.64"))
        innermost = not any(o != loop and loop[0] <= o[0] and o[1] <= loop[1] for o in found)
        return (True, ahead, -len(inside), 0) if tensor else (False, innermost, inside.count("ffma"), len(inside))

    return max(found, key=weight, default=(0, len(code) - 1))


def ways_on(code, i, first, last):
    """Where instruction i of the loop may be followed, short of the next pass."""
    x = code[i]
    goes_on = x.conditional or x.name not in ("BRA", "EXIT", "RET")
    ways = ([i + 1] if goes_on else []) + ([x.target] if x.target is not None and i != last else [])
    return [j for j in ways if first <= j <= last]


def shortest(code, start, end, first, last):
    """The indices behind `start` up to `end` on the way with the fewest instructions; None where there is none."""
    before = {start: None}
    queue = collections.deque([start])
    while queue:
        i = queue.popleft()
        if i == end:
            way = []
            while i != start:
                way.append(i)
                i = before[i]
            return way[::-1]
        for j in ways_on(code, i, first, last):
            if j not in before:
                before[j] = i
                queue.append(j)
    return None


def cheapest_pass(kernel):
    """Counters of the cheapest way through the main loop that meets its work, and of the inner loops with tensor-core instructions on it.

    The work are tensor-core instructions, copies and wide loads; where there are none, all global loads; of several branches, that of the first.
    Left out is what a pass can go round: masks, rows that are not aligned, scales that are fetched every eighth step.
    """
    code, first, last = kernel.code, kernel.first, kernel.last

    def is_work(kinds):
        return [i for i in range(first, last + 1) if code[i].kind.startswith(kinds)]

    work = is_work((*TENSOR, "cp.async", "bulk", "ldg.128")) or is_work(("ldg",))
    end = last
    if code[last].target != first:  # no loop: to the exit behind the last work
        behind = work[-1] if work else first
        end = next((i for i in range(behind, last + 1) if code[i].name == "EXIT" and not code[i].conditional), last)
    way = [first]
    for goal in work:
        part = shortest(code, way[-1], goal, first, last)
        if part is not None and shortest(code, goal, end, first, last) is not None:
            way += part
    way += shortest(code, way[-1], end, first, last)
    inner = collections.Counter()
    for begin, back in loops(code):
        inside = [x.kind for x in code[begin:back + 1]]
        if first < begin and back < last and any(k.startswith(TENSOR) for k in inside):
            inner.update(inside)
    return collections.Counter(code[i].kind for i in way), inner


def resources(ptxas_folder):
    """{(arch, mangled name): (registers, bytes of spills)} from what ptxas printed."""
    found = {}
    for file in sorted(pathlib.Path(ptxas_folder).glob("*.ptxas")):
        for name, arch, stores, loads, registers in re.findall(
                r"Compiling entry function '(\w+)' for '(\w+)'.*?(\d+) bytes spill stores, (\d+) bytes spill loads.*?Used (\d+) registers",
                file.read_text(), re.S):
            found[arch, name] = int(registers), int(stores) + int(loads)
    return found


def parsed(listing):
    """{mangled name: Instructions} of what cuobjdump prints."""
    functions, lines = {}, None
    for line in listing:
        if match := re.match(r"\t\tFunction : (\w+)", line):
            lines = functions.setdefault(match[1], [])
        elif match := re.match(r"\s+/\*([0-9a-f]{4,})\*/\s+(@!?U?P\w+ )?([A-Za-z0-9.]+)([^;]*);", line):
            address, predicate, name, operands = int(match[1], 16), match[2], match[3], match[4]
            branches = name.startswith("BRA")
            target = re.search(r"0x([0-9a-f]+)", operands) if branches else None
            at = int(target[1], 16) if target else None
            if at == address or "@!PT" in line:
                continue  # the loop behind the end, and instructions that only take their time
            conditional = bool(predicate) or branches and (name != "BRA" or "," in operands)
            lines.append((address, "BRA" if branches else name, at, conditional))
    return {name: instructions(lines) for name, lines in functions.items()}


def instructions(lines):
    index = {address: i for i, (address, _, _, _) in enumerate(lines)}
    return [Instruction(classify(name), name, index.get(at), conditional) for _, name, at, conditional in lines]


def disassembled(cuobjdump, library, arch):
    process = subprocess.Popen([cuobjdump, "-sass", "-arch", arch, library], stdout=subprocess.PIPE, text=True)
    functions = parsed(process.stdout)
    if process.wait() != 0:
        raise SystemExit(f"{cuobjdump} cannot read {library}")
    return functions


def kernel_of(code, registers=0, spills=0):
    first, last = main_loop(code)
    return Kernel(registers, spills, collections.Counter(x.kind for x in code[first:last + 1]), code, first, last)


def kernels(cuobjdump, library, ptxas_folder, arch):
    """{kernel's name as the source has it: Kernel}"""
    found = {name: values for (a, name), values in resources(ptxas_folder).items() if a == arch}
    code = disassembled(cuobjdump, library, arch)
    names = [name for name in found if name in code]
    return {plain: kernel_of(code[name], *found[name]) for plain, name in zip(demangled(names), names)}
