#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Runs a fuzz target for a time: first on the seeds, then on what it makes of them.

    run.py PROGRAM SEEDS FINDINGS     PEAL_FUZZ_SECONDS: how long, 5 if it is not set

What makes the target fail is written into the folder FINDINGS, and its path is printed. What is new and does not fail is dropped.
"""

import os
import subprocess
import sys
import tempfile


def main():
    program, seeds, findings = sys.argv[1:]
    seconds = int(os.environ.get("PEAL_FUZZ_SECONDS") or 5)
    if seconds <= 0:
        sys.exit("PEAL_FUZZ_SECONDS must be 1 or more: 0 would mean for ever")
    if not os.listdir(seeds):
        sys.exit(f"no seeds in {seeds}")
    os.makedirs(findings, exist_ok=True)
    before = set(os.listdir(findings))
    prefix = os.path.join(findings, os.path.basename(program) + "-")
    watch = "halt_on_error=1:print_stacktrace=1"  # else UBSan tells, and the target goes on
    environment = {**os.environ, "UBSAN_OPTIONS": ":".join(filter(None, [watch, os.environ.get("UBSAN_OPTIONS")]))}
    with tempfile.TemporaryDirectory() as made:
        status = subprocess.run([program, made, seeds, f"-max_total_time={seconds}", f"-artifact_prefix={prefix}", "-max_len=2000", "-timeout=20",
                                 "-rss_limit_mb=2048", "-print_final_stats=1"], check=False, env=environment).returncode
    if status == 0:
        return 0
    for name in sorted(set(os.listdir(findings)) - before):
        print(f"reproducer: {os.path.join(findings, name)}\nagain:      {program} {os.path.join(findings, name)}")
    return 1  # never the status of libFuzzer: its 77 means "skipped" to Meson


if __name__ == "__main__":
    sys.exit(main())
