# SPDX-License-Identifier: MIT
"""primes_server: right numbers, a refusal when the queue is full while connections are served all the same, and metrics that curl gets."""

import re
import subprocess
import sys
import unittest

from server_support import HANG, Server, read_to_end

Server.program = sys.argv.pop(1)


def ask(server, text):
    with server.connect() as peer:
        peer.sendall(text)
        peer.shutdown(1)
        return read_to_end(peer)


def metrics(server):
    got = subprocess.run(["curl", "-sSf", "http://127.0.0.1:%d/metrics" % server.port], capture_output=True, timeout=HANG, text=True)
    if got.returncode != 0:
        raise AssertionError(got.stderr)
    return dict(re.findall(r"^(\S+) (\S+)$", got.stdout, re.MULTILINE))


class PrimesServer(unittest.TestCase):
    def test_numbers(self):
        with Server() as server:
            self.assertEqual(ask(server, b"0\n1\n2\n10\r\n1000000\n"), b"0\n0\n1\n4\n78498\n")
            for wrong in (b"\n", b"-1\n", b"7 \n", b"100000001\n", b"99999999999\n", b"seven\n"):
                self.assertEqual(ask(server, wrong), b"a number up to 100000000, please\n")
            seen = metrics(server)
            self.assertEqual(seen['peal_tasks_completed_total{pool="computing"}'], "5")
            self.assertEqual(seen['peal_tasks_refused_total{pool="computing"}'], "0")
            server.terminate()
            self.assertEqual(server.wait(), (0, ""))

    def test_busy(self):
        with Server("--queue", "2") as server:
            slow = [server.connect() for _ in range(12)]
            for peer in slow:
                peer.sendall(b"10000000\n")
                peer.shutdown(1)
            answers = [read_to_end(peer) for peer in slow]
            self.assertLessEqual(set(answers), {b"busy\n", b"664579\n"})
            self.assertIn(b"busy\n", answers)
            self.assertIn(b"664579\n", answers)
            self.assertEqual(ask(server, b"10\n"), b"4\n")
            seen = metrics(server)
            self.assertEqual(seen['peal_tasks_refused_total{pool="computing"}'], str(answers.count(b"busy\n")))
            for peer in slow:
                peer.close()

    def test_wrong_arguments(self):
        for words in (["--queue", "0"], ["--queue"], ["--what", "1"]):
            result = subprocess.run([Server.program, *words], capture_output=True, timeout=HANG, text=True)
            self.assertEqual(result.returncode, 2, words)
            self.assertIn("usage:", result.stderr)


unittest.main()
