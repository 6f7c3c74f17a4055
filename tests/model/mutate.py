#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Weakens each memory order of the explored sources by one step, and tears each read-modify-write into a load and a store, one at a time; runs the
models that reach the operation, and says which mutants no model kills.

    mutate.py [--jobs N] [--only TEXT] [--survivors FILE] PROGRAM...

Nothing is compiled: every operation of these programs is carried out by the explorer, which knows where it was written, so it makes the mutant
(PEAL_MODEL_MUTATE in explorer.hpp). A survivor must be listed, with the reason, in survivors.txt:

    FILE | a part of the source line | MUTATION | reason

MUTATION is as printed: "success acquire" (the order it was weakened to), "failure relaxed", "torn", or "unreached" for an operation that no model
comes to. Fails on a survivor that is not listed, and on a line of the list that is not needed any more.
"""

import argparse
import concurrent.futures
import os
import re
import subprocess
import sys
import time

ROOT = os.path.abspath(os.path.join(os.path.dirname(__file__), "..", ".."))
OPERATION = re.compile(r"(?:\.|->)(load|store|exchange|compare_exchange_weak|compare_exchange_strong|fetch_add|fetch_sub|fetch_or|fetch_and)\(")
LIMIT_SECONDS = 240

LOAD = {"seq_cst": ["acquire"], "acquire": ["relaxed"]}
STORE = {"seq_cst": ["release"], "release": ["relaxed"]}
CHANGE = {"seq_cst": ["acq_rel"], "acq_rel": ["acquire", "release"], "acquire": ["relaxed"], "release": ["relaxed"]}


def project_path(path):
    """'../x/runtime/sched/idle.hpp' -> 'runtime/sched/idle.hpp'; None for files of the tests and the standard library."""
    match = re.search(r"(?:^|/)((?:runtime|include/peal)/.*)$", path)
    return os.path.normpath(match.group(1)) if match else None


def mutations(name, order, failure):
    if name == "load":
        return [("success", each) for each in LOAD.get(order, [])]
    if name == "store":
        return [("success", each) for each in STORE.get(order, [])]
    found = [("success", each) for each in CHANGE.get(order, [])] + [("torn", "")]
    if name.startswith("compare"):
        found += [("failure", each) for each in LOAD.get(failure, [])]
    return found


def reached_operations(programs):
    """{(file, line, column, name, order, failure): [(program, [models])]}"""
    reached = {}
    for program in programs:
        listing = subprocess.run([program], env={**os.environ, "PEAL_MODEL_LIST": "1"}, capture_output=True, text=True, check=True).stdout
        model = None
        for line in listing.splitlines():
            if line.startswith("model "):
                model = line[6:]
                continue
            words = line.split(" ")
            path = project_path(words[0])
            if path is None:
                continue
            key = (path, int(words[1]), int(words[2]), *words[3:6])
            by_program = reached.setdefault(key, {})
            by_program.setdefault(program, []).append(model)
    return reached


def source_lines():
    lines = {}
    for top in ("include", "runtime"):
        for folder, _, files in os.walk(os.path.join(ROOT, top)):
            for file in files:
                if file.endswith((".hpp", ".cpp")):
                    full = os.path.join(folder, file)
                    with open(full, encoding="utf-8") as source:
                        lines[os.path.relpath(full, ROOT)] = source.read().split("\n")
    return lines


def unreached_operations(lines, reached):
    """(file, line) of atomic operations in the sources that no model comes to."""
    at = {(key[0], key[1], key[3]) for key in reached}
    missing = []
    for file, text in sorted(lines.items()):
        for number, line in enumerate(text, 1):
            code = line.split("//")[0]
            for match in OPERATION.finditer(code):
                following = code[match.end():] + " ".join(text[number:number + 2])
                if "memory_order" not in following.split(";")[0]:
                    continue
                if not any((file, number - back, match.group(1)) in at for back in range(3)):
                    missing.append((file, number))
    return missing


def run_mutant(mutant):
    key, (what, order), by_program = mutant
    # The folder and the file: what leads there may be written in different ways (sched/../base).
    text = f"{'/'.join(key[0].split('/')[-2:])} {key[1]} {key[2]} {what} {order}".strip()
    for program, models in by_program.items():
        try:
            ended = subprocess.run([program, *models], env={**os.environ, "PEAL_MODEL_MUTANT": text}, capture_output=True, text=True,
                                   errors="replace", timeout=LIMIT_SECONDS, check=False)
        except subprocess.TimeoutExpired:
            return "took too long", os.path.basename(program)
        if ended.returncode == 2:
            sys.exit(ended.stderr)
        if ended.returncode != 0:
            failed = [line for line in ended.stdout.splitlines() if "FAILED" in line]
            return "killed", failed[0].split(" s  ")[-1] if failed else f"crash of {os.path.basename(program)}"
    return "survived", ""


def read_survivors(path):
    listed = []
    with open(path, encoding="utf-8") as source:
        for number, line in enumerate(source, 1):
            if not line.strip() or line.startswith("#"):
                continue
            fields = [field.strip() for field in line.split(" | ")]
            if len(fields) != 4 or not all(fields):
                sys.exit(f"{path}:{number}: FILE | part of the line | MUTATION | reason")
            listed.append((number, *fields))
    return listed


def main():
    options = argparse.ArgumentParser()
    options.add_argument("programs", nargs="+")
    options.add_argument("--jobs", type=int, default=1)
    options.add_argument("--only", default="", help="files whose path contains this")
    options.add_argument("--survivors", default=os.path.join(os.path.dirname(os.path.abspath(__file__)), "survivors.txt"))
    options = options.parse_args()

    begin = time.monotonic()
    lines = source_lines()
    reached = reached_operations(options.programs)
    listed = read_survivors(options.survivors)
    used = set()

    def reason_for(file, line, mutation):
        # A call may go on for three lines; the list names a part of any of them.
        text = " ".join(lines[file][line - 1:line + 2])
        for number, listed_file, part, listed_mutation, reason in listed:
            if listed_file == file and part in text and listed_mutation == mutation:
                used.add(number)
                return reason
        return None

    mutants = [(key, mutation, by_program) for key, by_program in sorted(reached.items()) if options.only in key[0]
               for mutation in mutations(*key[3:])]
    score = {"killed": 0, "listed": 0, "open": 0}
    with concurrent.futures.ThreadPoolExecutor(options.jobs) as pool:
        for (key, (what, order), _), (end, by) in zip(mutants, pool.map(run_mutant, mutants)):
            file, line = key[0], key[1]
            mutation = f"{what} {order}".strip()
            if end == "survived":
                reason = reason_for(file, line, mutation)
                end = "listed" if reason else "SURVIVED"
                by = reason or lines[file][line - 1].strip()
            score["killed" if end in ("killed", "took too long") else "listed" if end == "listed" else "open"] += 1
            print(f"{end:9} {file}:{line} {key[3]} {mutation}: {by}", flush=True)
    unreached = [(file, line) for file, line in unreached_operations(lines, reached) if options.only in file]
    for file, line in unreached:
        reason = reason_for(file, line, "unreached")
        score["listed" if reason else "open"] += 1
        print(f"{'listed' if reason else 'UNREACHED':9} {file}:{line}: {reason or lines[file][line - 1].strip()}")
    stale = [entry for entry in listed if entry[0] not in used and options.only in entry[1]]
    for number, file, part, mutation, _ in stale:
        print(f"NOT NEEDED {options.survivors}:{number}: {file} | {part} | {mutation}")
    print(f"{len(mutants)} mutants of {len(reached)} operations: {score['killed']} killed, {score['listed']} listed with a reason, "
          f"{score['open']} open; {len(unreached)} operations unreached; {time.monotonic() - begin:.0f} s")
    return 1 if score["open"] or stale else 0


if __name__ == "__main__":
    sys.exit(main())
