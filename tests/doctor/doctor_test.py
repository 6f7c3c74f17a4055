#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""peal doctor: both forms of its report, with and without io_uring.

usage: doctor_test.py PROGRAM
"""

import ctypes
import errno
import json
import os
import struct
import subprocess
import sys
import unittest

PROGRAM = sys.argv.pop(1)
IO_URING_SETUP = 425
PR_SET_NO_NEW_PRIVS, PR_SET_SECCOMP, SECCOMP_MODE_FILTER = 38, 22, 2


def forbid_rings():
    """In the child: io_uring_setup() fails with EPERM, as in containers."""
    filter_lines = [(0x20, 0, 0, 0), (0x15, 0, 1, IO_URING_SETUP), (0x06, 0, 0, 0x00050000 | errno.EPERM), (0x06, 0, 0, 0x7FFF0000)]
    code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *line) for line in filter_lines))
    program = struct.pack("HxxxxxxP", len(filter_lines), ctypes.addressof(code))
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 or libc.prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, program, 0, 0) != 0:
        os._exit(99)


def run(*arguments, driver="", before=None):
    environment = {**os.environ, "PEAL_DRIVER": driver}
    return subprocess.run([PROGRAM, *arguments], env=environment, preexec_fn=before, capture_output=True, text=True, timeout=60)


class Doctor(unittest.TestCase):
    def test_both_forms_say_the_same(self):
        text, coded = run("doctor"), run("doctor", "--json")
        report = json.loads(coded.stdout)
        self.assertEqual(text.returncode, coded.returncode)
        self.assertIn(report["kernel"], text.stdout)
        self.assertEqual(report["driver"] == "uring", coded.returncode == 0)
        for each in report["findings"]:
            self.assertIn(("yes  " if each["there"] else "NO   ") + each["name"], text.stdout)
        for each in report["settings"]:
            self.assertIn(each["name"], text.stdout)
            self.assertNotEqual(each["value"], "")

    def test_an_environment_that_wants_epoll(self):
        ended = run("doctor", "--json", driver="epoll")
        self.assertEqual(json.loads(ended.stdout)["driver"], "epoll")
        self.assertEqual(ended.returncode, 1)

    def test_an_environment_that_says_nonsense(self):
        ended = run("doctor", "--json", driver="kqueue")
        report = json.loads(ended.stdout)
        self.assertEqual((ended.returncode, report["driver"]), (2, ""))
        self.assertIn("PEAL_DRIVER=kqueue", report["refusal"])

    def test_rings_that_a_filter_forbids(self):
        ended = run("doctor", "--json", before=forbid_rings)
        report = json.loads(ended.stdout)
        self.assertEqual((ended.returncode, report["driver"]), (1, "epoll"))
        self.assertIn("seccomp", report["refusal"])
        self.assertIn({"io_uring": False}, [{each["name"]: each["there"]} for each in report["findings"]])

    def test_arguments_that_it_does_not_know(self):
        for arguments in [(), ("docter",), ("doctor", "--xml"), ("doctor", "--json", "more")]:
            ended = run(*arguments)
            self.assertEqual(ended.returncode, 2)
            self.assertIn("usage: peal doctor", ended.stderr)


if __name__ == "__main__":
    unittest.main(verbosity=1)
