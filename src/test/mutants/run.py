#!/usr/bin/env python3
"""Applies deliberate bugs to the sources, one at a time, and checks that the tests notice: `make mutants`.

A mutant is a paragraph of native.txt, java.txt or simt.txt:

    what the bug is
    @ the file
    - text that stands there exactly once (\\n begins a new line)
    + what stands there instead
    ! what must fail: conformance ARGUMENTS, test NAME, simt [NAME=VALUE] ARGUMENTS, simt-test NAME, faults ARGUMENTS,
      lost-device, graph-test, java CLASS or java-simt CLASS
    ? an instruction set that the machine must have for the bug to matter (optional)

The bugs never touch the working tree: they go into a copy of it under build/mutants, where each command is first seen to pass
without any. Prints `K of N mutants killed`, names each survivor, and exits with 1 if there is one.
"""

import argparse
import os
import pathlib
import random
import shlex
import shutil
import subprocess
import sys
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parents[3]
HERE = pathlib.Path(__file__).resolve().parent
TREE = ROOT / "build/mutants/tree"
TEST_TIMEOUT_SECONDS = 600  # a bug may be an endless loop


class Mutant:
    def __init__(self, paragraph, source):
        lines = paragraph.splitlines()
        fields = {line[0]: line[2:] for line in lines[1:]}
        self.name = lines[0]
        self.group = source.stem
        try:
            self.file, self.old, self.command = fields["@"], fields["-"], fields["!"]
        except KeyError as missing:
            sys.exit(f"{source}: '{self.name}' has no line that begins with {missing}")
        self.old = self.old.replace("\\n", "\n")
        self.new = fields.get("+", "")
        self.isa = fields.get("?")


def read_mutants(groups):
    mutants = []
    for group in groups:
        source = HERE / f"{group}.txt"
        paragraphs = [p for p in source.read_text().split("\n\n") if p.strip() and not p.startswith("#")]
        mutants += [Mutant(p.strip("\n"), source) for p in paragraphs]
    return mutants


def copy_tree():
    """Brings the copy up to date without touching what is unchanged, so that little is built again."""
    listed = subprocess.run(["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"], cwd=ROOT, check=True,
                            capture_output=True, text=True).stdout.split("\0")
    for name in filter(None, listed):
        source, target = ROOT / name, TREE / name
        if source.is_file() and not (target.exists() and target.read_bytes() == source.read_bytes()):
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(source, target)


def instruction_sets():
    """One set is enough for most bugs, and builds fastest; those that need another one name it."""
    flags = pathlib.Path("/proc/cpuinfo").read_text() if os.path.exists("/proc/cpuinfo") else ""
    return [isa for isa in ("avx2", "avx512_bf16", "amx_bf16") if f" {isa} " in flags]


def run(command, quiet=True):
    return subprocess.run(command, cwd=TREE, stdin=subprocess.DEVNULL,
                          stdout=subprocess.DEVNULL if quiet else None, stderr=subprocess.DEVNULL if quiet else None).returncode == 0


def passes(command):
    """Whether a test passes. One that has said FAILED, as the native ones do, is not waited for."""
    process = subprocess.Popen(command, cwd=TREE, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
                               errors="replace")
    timer = threading.Timer(TEST_TIMEOUT_SECONDS, process.kill)
    timer.start()
    with process:
        if any(line.startswith("FAILED") for line in process.stderr):
            process.kill()
    timer.cancel()
    return process.returncode == 0


def make(isas, *targets):
    return ["make", "-s", f"-j{os.cpu_count()}", "CXXFLAGS=-O1", "WARNINGS=", "ISAS=" + " ".join(["generic", *isas]), *targets]


def steps(command, isas):
    """The commands that build what `command` tests, and the one that tests it."""
    kind, _, rest = command.partition(" ")
    if kind == "conformance":
        return [make(isas, "native", "build/native/test/conformance")], ["build/native/test/conformance", *shlex.split(rest)]
    if kind == "test":
        return [make(isas, "native", f"build/native/test/{rest}")], [f"build/native/test/{rest}"]
    if kind == "simt":
        words = shlex.split(rest)
        environment = [word for word in words if "=" in word]
        return ([make(isas, "native", "simt", "build/native/test/conformance")],
                ["env", *environment, "build/native/test/conformance", "--backend", "simt", *words[len(environment):]])
    if kind == "simt-test":
        return [make(isas, "native", "simt", f"build/native/test/simt/{rest}")], [f"build/native/test/simt/{rest}"]
    if kind == "faults":
        return ([make(isas, "native", "simt", "build/native/test/conformance", "build/native/test/libinterpose.so")],
                ["env", "LD_PRELOAD=build/native/test/libinterpose.so", "build/native/test/conformance",
                 "--backend", "simt", "--small", "--faults", *shlex.split(rest)])
    if kind == "lost-device":
        return [make(isas, "native", "simt", "build/native/test/lost_device_test")], ["build/native/test/lost_device_test"]
    if kind == "graph-test":
        return [make(isas, "native", "simt", "build/native/test/graph_test")], ["build/native/test/graph_test", "simt"]
    if kind in ("java", "java-simt"):
        jdk = subprocess.run(["bin/find-jdk"], cwd=TREE, check=True, capture_output=True, text=True).stdout.strip()
        maven = ["env", f"JAVA_HOME={jdk}", "mvn", "-B", "-ntp", "-q", "-o"]
        libraries = ["native", "simt"] if kind == "java-simt" else ["native"]
        return ([make(isas, *libraries), [*maven, "test-compile"]], [*maven, f"-Dtest={rest}", "test"])
    sys.exit(f"unknown command '{command}'")


def require_places(mutants):
    for mutant in mutants:
        count = (ROOT / mutant.file).read_text().count(mutant.old)
        if count != 1:
            sys.exit(f"'{mutant.name}': its text stands {count} times in {mutant.file}: {mutant.old}")


def killed(mutant, isas):
    """Whether the tests notice. A mutant that does not compile is a mistake in the list."""
    path = TREE / mutant.file
    text = path.read_text()
    try:
        path.write_text(text.replace(mutant.old, mutant.new))
        build, test = steps(mutant.command, isas)
        for command in build:
            if not run(command):
                run(command, quiet=False)
                sys.exit(f"'{mutant.name}' does not compile")
        return not passes(test)
    finally:
        path.write_text(text)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--groups", default="native,java,simt", help="which lists, separated by commas")
    parser.add_argument("--sample", type=int, help="only so many, another choice for each commit")
    parser.add_argument("--only", help="those whose name contains this")
    parser.add_argument("--check", action="store_true", help="only see that each one's text stands in its file exactly once")
    options = parser.parse_args()
    groups = [group for group in options.groups.split(",") if (HERE / f"{group}.txt").exists()]
    isas = instruction_sets()
    mutants = [m for m in read_mutants(groups) if not options.only or options.only in m.name]
    require_places(mutants)
    if options.check:
        return
    skipped = [m for m in mutants if m.isa and m.isa not in isas]
    mutants = [m for m in mutants if m not in skipped]
    if options.sample and options.sample < len(mutants):
        commit = subprocess.run(["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True).stdout.strip()
        mutants = random.Random(commit).sample(mutants, options.sample)
    if not mutants:
        sys.exit("no mutant to run")
    copy_tree()
    for command in dict.fromkeys(m.command for m in mutants):
        build, test = steps(command, isas)
        if not all(run(c) or run(c, quiet=False) for c in build) or not (passes(test) or run(test, quiet=False)):
            sys.exit(f"`{command}` fails without any bug; repair that first")
    survivors = []
    for number, mutant in enumerate(mutants, 1):
        start = time.monotonic()
        dead = killed(mutant, isas)
        print(f"{number}/{len(mutants)} {'killed  ' if dead else 'SURVIVED'} {mutant.name} ({time.monotonic() - start:.0f} s)", flush=True)
        if not dead:
            survivors.append(mutant)
    for mutant in skipped:
        print(f"skipped: {mutant.name}: this machine lacks {mutant.isa}")
    for mutant in survivors:
        print(f"survivor: {mutant.name} ({mutant.file}; {mutant.command} passes)")
    print(f"{len(mutants) - len(survivors)} of {len(mutants)} mutants killed")
    sys.exit(bool(survivors))


main()
