#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""No `mfence` in what was built: it costs several times as much as a locked instruction, which orders the same.

    no_full_fence.py OBJDUMP BINARY...
    no_full_fence.py OBJDUMP --prove COMPILER...    a fence that is there is found

std::atomic_thread_fence(seq_cst) becomes one with clang; a seq_cst store or a read-modify-write never does.
"""

import os
import re
import subprocess
import sys
import tempfile

INSTRUCTION = re.compile(r"^\s*[0-9a-f]+:\s+(\S.*)$", re.MULTILINE)


def fences(objdump, binary):
    """How many there are, of how many instructions; and in which functions."""
    listing = subprocess.run([objdump, "-d", "--no-show-raw-insn", "--demangle", binary], check=True, capture_output=True, text=True).stdout
    function, found, count = "?", [], 0
    for line in listing.splitlines():
        if line.endswith(">:"):
            function = line.split("<", 1)[1][:-2]
        elif instruction := INSTRUCTION.match(line):
            count += 1
            if instruction[1].split()[0] == "mfence":
                found.append(function)
    return found, count


def prove(objdump, compiler):
    with tempfile.TemporaryDirectory() as folder:
        source, binary = os.path.join(folder, "fence.cpp"), os.path.join(folder, "fence.o")
        with open(source, "w") as out:
            out.write('void fenced() { asm volatile("mfence" ::: "memory"); }\n')
        subprocess.run([*compiler, "-c", source, "-o", binary], check=True)
        found, _ = fences(objdump, binary)
        return found == ["fenced()"]


def main():
    objdump, *rest = sys.argv[1:]
    if rest[0] == "--prove":
        if not prove(objdump, rest[1:]):
            sys.exit("a fence was compiled and not found")
        return
    failed = False
    for binary in rest:
        found, count = fences(objdump, binary)
        print("%s: %d instructions, %d mfence" % (os.path.basename(binary), count, len(found)))
        for function in found:
            print("    in " + function)
        failed = failed or found or count < 1000
    if failed:
        sys.exit("there is a full fence (or nothing was disassembled)")


main()
