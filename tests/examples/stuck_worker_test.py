# SPDX-License-Identifier: MIT
"""stuck_worker: heartbeats go on while tasks keep their workers, and with rescue switched off they do not."""

import re
import subprocess
import sys
import unittest

HANG = 60
PROGRAM = sys.argv.pop(1)


def run(*words):
    return subprocess.run([PROGRAM, *words], capture_output=True, timeout=HANG, text=True)


class StuckWorker(unittest.TestCase):
    def heartbeats(self, *words):
        """Those meanwhile, and everything it said."""
        result = run(*words)
        self.assertEqual((result.returncode, result.stderr), (0, ""))
        lines = dict(line.split(maxsplit=1) for line in result.stdout.splitlines() if re.match("before|meanwhile|after", line))
        self.assertEqual(sorted(lines), ["after", "before", "meanwhile"])
        for when in ("before", "after"):
            self.assertRegex(lines[when], r"^\d+ heartbeats, the latest \d+\.\d ms late$")
        match = re.match(r"(\d+) heartbeats", lines["meanwhile"])
        return int(match[1]) if match else 0, result.stdout

    def test_they_go_on_whoever_is_kept(self):
        for keep in ("1", "2"):
            beats, said = self.heartbeats("--workers", "2", "--keep", keep)
            self.assertGreater(beats, 2, said)
            self.assertRegex(said, r"worker \d of pool 'peal' has been kept for \d+ ms by task 'counts primes' \(spawned at \S+stuck_worker\.cpp:\d+\)")

    def test_without_rescue_there_is_none_meanwhile(self):
        beats, said = self.heartbeats("--workers", "2", "--keep", "2", "--rescue", "off")
        self.assertEqual(beats, 0, said)
        self.assertNotIn("has been kept", said)

    def test_wrong_arguments(self):
        for words in (["--keep", "3"], ["--workers", "0"], ["--rescue", "maybe"], ["--ms"], ["--what", "1"]):
            result = run(*words)
            self.assertEqual(result.returncode, 2, words)
            self.assertIn("usage:", result.stderr)


unittest.main()
