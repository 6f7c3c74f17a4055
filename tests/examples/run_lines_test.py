# SPDX-License-Identifier: MIT
"""run_lines: what is run for each line, how many at a time, and what is left when it ends."""

import os
import signal
import subprocess
import sys
import tempfile
import time
import unittest

HANG = 60
PROGRAM = sys.argv.pop(1)


def run(words, lines, **more):
    return subprocess.run([PROGRAM, *words], input=lines, capture_output=True, timeout=HANG, text=True, **more)


def is_running(pid):
    try:
        with open("/proc/%d/stat" % pid, encoding="ascii") as status:
            return status.read().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


class RunLines(unittest.TestCase):
    def test_each_line_is_the_last_argument_as_it_is(self):
        result = run(["printf", "%s|%s\\n", "first"], "one\ntwo words\n$HOME *\n-x\n\nlast")
        self.assertEqual((result.returncode, result.stderr), (0, ""))
        self.assertEqual(sorted(result.stdout.splitlines()), sorted(
            ["%s: first|%s" % (line, line) for line in ("one", "two words", "$HOME *", "-x", "", "last")]))

    def test_failures_are_told_and_cost_nobody_else(self):
        result = run(["sh", "-c", 'case $0 in exit*) exit 3;; kill) kill -9 $$;; *) echo to errors >&2;; esac'], "good\nexit\nkill\n")
        self.assertEqual(result.returncode, 1)
        self.assertEqual(sorted(result.stdout.splitlines()),
                         ["exit: exited with 3", "good: to errors", "kill: killed by signal 9 (Killed)"])
        result = run(["no-such-program"], "a\n")
        self.assertEqual(result.returncode, 1)
        self.assertIn("no-such-program", result.stdout)

    def test_so_many_at_a_time(self):
        with tempfile.TemporaryDirectory() as folder:
            script = 'touch "$0/$1"; ls "$0" | wc -l; sleep 0.05; rm "$0/$1"'
            result = run(["-j", "3", "sh", "-c", script, folder], "".join("%d\n" % i for i in range(30)))
            self.assertEqual(result.returncode, 0, result.stdout)
            seen = [int(line.split(": ")[1]) for line in result.stdout.splitlines()]
            self.assertEqual(len(seen), 30)
            self.assertLessEqual(max(seen), 3)
            self.assertGreater(max(seen), 1)

    def test_the_limit_in_time_ends_what_they_have_started_too(self):
        with tempfile.TemporaryDirectory() as folder:
            script = 'sleep 1000 & echo $! >"$0/$1"; wait'
            result = run(["-t", "1", "sh", "-c", script, folder], "a\nb\n")
            self.assertEqual(result.returncode, 1)
            self.assertEqual(result.stdout.count("timeout after 1000 ms"), 2, result.stdout)
            for name in ("a", "b"):
                with open(folder + "/" + name, encoding="ascii") as number:
                    pid = int(number.read())
                deadline = time.monotonic() + HANG
                while is_running(pid):
                    self.assertLess(time.monotonic(), deadline)
                    time.sleep(0.01)

    def test_a_signal_leaves_nobody_behind(self):
        with tempfile.TemporaryDirectory() as folder:
            program = subprocess.Popen([PROGRAM, "sh", "-c", 'echo $$ >"$0/$1.new"; mv "$0/$1.new" "$0/$1"; exec sleep 1000', folder],
                                       stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            program.stdin.write("a\nb\n")
            program.stdin.flush()
            deadline = time.monotonic() + HANG
            while sorted(os.listdir(folder)) != ["a", "b"]:
                self.assertLess(time.monotonic(), deadline)
                time.sleep(0.01)
            program.send_signal(signal.SIGTERM)
            program.communicate(timeout=HANG)
            self.assertEqual(program.returncode, 128 + signal.SIGTERM)
            for name in ("a", "b"):
                with open(folder + "/" + name, encoding="ascii") as number:
                    pid = int(number.read())
                while is_running(pid):
                    self.assertLess(time.monotonic(), deadline)
                    time.sleep(0.01)

    def test_a_reader_that_goes_ends_it(self):
        program = subprocess.Popen([PROGRAM, "echo"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        program.stdout.close()
        program.stdin.write("a\n")
        program.stdin.flush()
        self.assertEqual(program.wait(timeout=HANG), 1)  # although its input is open
        self.assertIn("Broken pipe", program.stderr.read())
        program.stdin.close()
        program.stderr.close()

    def test_wrong_arguments(self):
        for words in ([], ["-j", "0", "true"], ["-j"], ["-x", "1", "true"], ["-t", "1s", "true"]):
            result = run(words, "")
            self.assertEqual(result.returncode, 2, words)
            self.assertIn("usage:", result.stderr)


unittest.main()
