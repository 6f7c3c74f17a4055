#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""tree_digest and the world around it: outputs that fail, are closed, slow or a terminal; signals.

Usage: tree_digest_output_test.py PROGRAM [unittest options]. Standard library only.
"""

import os
import pty
import signal
import subprocess
import threading
import time
import unittest

from tree_support import HANG_SECONDS, PROGRAM, TreeCase, expected_digests, open_files_below, parse, run, start, write

NO_SPACE = b"tree_digest: standard output: No space left on device\n"


class Output(TreeCase):
    def test_no_space(self):
        write(self.below(b"a"), b"alpha")
        with open("/dev/full", "wb") as full:
            result = run(self.root, stdout=full)
            self.assertEqual((result.returncode, result.stderr), (1, NO_SPACE))
            result = run("--help", stdout=full)
            self.assertEqual(result.returncode, 1)

    def test_no_space_while_digesters_are_at_work(self):
        self.many_long_names(2000)
        self.sparse(b"endless", 1 << 40)
        with open("/dev/full", "wb") as full:
            result = run("--open-files", "2", self.root, stdout=full)
        self.assertEqual((result.returncode, result.stderr), (1, NO_SPACE))

    def test_closed_standard_output(self):
        write(self.below(b"a"), b"alpha")
        result = run(self.root, preexec_fn=lambda: os.close(1))
        self.assertEqual(result.returncode, 1)
        self.assertEqual(result.stderr, b"tree_digest: standard output: Bad file descriptor\n")

    def test_other_streams_closed(self):
        write(self.below(b"a"), b"alpha")

        def close_both():
            os.close(0)
            os.close(2)

        self.assert_right(run(self.root, preexec_fn=close_both))

    def test_reader_gone(self):
        self.many_long_names(500)
        reading, writing = os.pipe()
        os.close(reading)
        result = run(self.root, stdout=writing)
        os.close(writing)
        self.assertEqual((result.returncode, result.stderr), (1, b"tree_digest: standard output: Broken pipe\n"))

    def test_slow_reader(self):
        self.many_long_names(2000)
        program = start("--open-files", "3", self.root)
        self.wait_for_full_pipe(program)
        output, messages = program.communicate(timeout=HANG_SECONDS)
        self.assertEqual((program.returncode, messages), (0, b""))
        self.assertEqual(parse(output), expected_digests(self.root))


class Signals(TreeCase):
    def stop(self, program, number):
        program.send_signal(number)
        try:
            output, messages = program.communicate(timeout=HANG_SECONDS)
        except subprocess.TimeoutExpired:
            program.kill()
            program.communicate()
            self.fail("does not end on a signal")
        self.assertEqual(program.returncode, 128 + number)
        self.assertEqual(messages, b"tree_digest: stopped by signal %d\n" % number)
        return output

    def test_while_it_reads(self):
        for i in range(5):
            self.sparse(b"endless-%d" % i, 1 << 40)
        for number in (signal.SIGINT, signal.SIGTERM):
            for workers in ("1", "2"):
                with self.subTest(signal=number, workers=workers):
                    program = start("--workers", workers, self.root)
                    while open_files_below(program.pid, self.root) == 0 and program.poll() is None:
                        time.sleep(0.01)
                    self.assertEqual(self.stop(program, number), b"")

    def test_while_nobody_reads_the_output(self):
        self.many_long_names(2000)
        program = start("--open-files", "2", self.root)
        self.wait_for_full_pipe(program)
        self.stop(program, signal.SIGTERM)


class Progress(TreeCase):
    def run_on_terminal(self, both):
        """What appears on the terminal, and standard output if it goes elsewhere."""
        ours, theirs = pty.openpty()
        program = subprocess.Popen([PROGRAM, self.root], stdout=theirs if both else subprocess.PIPE, stderr=theirs)
        os.close(theirs)
        shown = []

        def read_terminal():
            try:
                while piece := os.read(ours, 65536):
                    shown.append(piece)
            except OSError:
                pass  # EIO: the other end is closed

        reading = threading.Thread(target=read_terminal)
        reading.start()
        try:
            output = program.communicate(timeout=HANG_SECONDS)[0]
        finally:
            program.kill()
        reading.join()
        os.close(ours)
        self.assertEqual(program.returncode, 0)
        return b"".join(shown), output

    def test_shown_and_cleared(self):
        # Long enough to be shown: without a peg on time, the size is doubled until it was.
        size = 500_000_000
        while True:
            self.sparse(b"big", size)
            shown, output = self.run_on_terminal(both=False)
            if b"MB/s" in shown or size > 1 << 37:
                break
            size *= 2
        self.assertRegex(shown, rb"^\r\033\[K\d+ files  \d+\.\d MB  \d+ MB/s")
        self.assertTrue(shown.endswith(b"\r\033[K"), shown)
        self.assertNotIn(b"\n", shown)
        self.assertEqual(list(parse(output)), [self.below(b"big")])

    def test_not_shown_among_the_digests(self):
        self.sparse(b"big", 500_000_000)
        shown, _ = self.run_on_terminal(both=True)
        self.assertEqual(list(parse(shown.replace(b"\r\n", b"\n"))), [self.below(b"big")])


if __name__ == "__main__":
    unittest.main()
