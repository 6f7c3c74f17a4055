# SPDX-License-Identifier: MIT
"""What the tests of the example servers share: the server as a process, a base for cases."""

import re
import signal
import socket
import subprocess
import sys
import tempfile
import unittest

HANG = 60  # seconds: a guard against hanging, not a measurement


class Server:
    """An example server on a port of the system's choice. That a sanitizer says something fails the test."""

    program = ""  # its path

    def __init__(self, *options, workers=2):
        self.errors = tempfile.TemporaryFile()  # not a pipe: nobody reads while the server runs, and it must not wait for that
        self.process = subprocess.Popen([self.program, "--port", "0", "--workers", str(workers), *options],
                                        stdout=subprocess.PIPE, stderr=self.errors)
        line = self.process.stdout.readline().decode()
        match = re.fullmatch(r"listening on 127\.0\.0\.1:(\d+)\n", line)
        if not match:
            self.process.kill()
            self.process.communicate(timeout=HANG)
            raise AssertionError("no port: %r, %r" % (line, self.said()))
        self.port = int(match[1])

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.kill()

    def kill(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.communicate(timeout=HANG)
        said = self.said()
        self.errors.close()
        if re.search("Sanitizer|runtime error:", said):
            raise AssertionError(said)

    def said(self):
        self.errors.seek(0)
        return self.errors.read().decode()

    def terminate(self, how=signal.SIGTERM):
        self.process.send_signal(how)

    def wait(self):
        """Exit status and what it said on standard error."""
        self.process.communicate(timeout=HANG)
        return self.process.returncode, self.said()

    def connect(self):
        peer = socket.create_connection(("127.0.0.1", self.port), timeout=HANG)
        peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return peer


def read_to_end(peer):
    parts = []
    while part := peer.recv(1 << 16):
        parts.append(part)
    return b"".join(parts)


def read_exactly(peer, count):
    got = b""
    while len(got) < count:
        part = peer.recv(count - len(got))
        if not part:
            break
        got += part
    return got


class ServerCase(unittest.TestCase):
    def check_arguments(self, *valid):
        for wrong, said in ((["--port", "x"], b"--port must be a number from 0 to 65535, not 'x'"), (["--port"], b"--port needs a value"),
                            (["--workers", "0"], b"--workers must be"), (["--nonsense", "1"], b"unknown argument '--nonsense'")):
            with self.subTest(wrong=wrong):
                result = subprocess.run([Server.program, *valid, *wrong], capture_output=True, timeout=HANG)
                self.assertEqual((result.returncode, result.stdout), (2, b""))
                self.assertIn(said, result.stderr)


def main():
    Server.program = sys.argv.pop(1)
    unittest.main(module="__main__")
