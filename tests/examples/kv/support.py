# SPDX-License-Identifier: MIT
"""What the tests of kv_server share: a client, a base for cases."""

import re
import shlex
import shutil
import socket
import struct
import subprocess
import tempfile
import unittest

from server_support import HANG, Server

CRLF = b"\r\n"


def bulk(value):
    return b"$%d\r\n%s\r\n" % (len(value), value)


def multibulk(*words):
    words = [w if isinstance(w, bytes) else str(w).encode() for w in words]
    return b"*%d\r\n" % len(words) + b"".join(map(bulk, words))


class Client:
    def __init__(self, server, receive_buffer=None):
        self.socket = socket.socket()
        if receive_buffer:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.socket.settimeout(HANG)
        try:
            self.socket.connect(("127.0.0.1", server.port))
        except OSError:
            self.socket.close()
            raise
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.received = self.socket.makefile("rb")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.received.close()
        self.socket.close()

    def reset(self):
        """Closes with a reset instead of an end of stream."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close()

    def send(self, raw):
        self.socket.sendall(raw)

    def reply(self):
        """One reply: a line with its type for '+', '-', bytes, int, None or list for the others."""
        line = self.received.readline()
        if not line.endswith(CRLF):
            raise EOFError("the server closed after %r" % line)
        kind, rest = line[:1], line[1:-2]
        if kind in b"+-":
            return line[:-2]
        number = int(rest)
        if kind == b":":
            return number
        if number < 0:
            return None
        if kind == b"*":
            return [self.reply() for _ in range(number)]
        value = self.received.read(number + 2)
        if kind != b"$" or len(value) != number + 2 or value[-2:] != CRLF:
            raise EOFError("no bulk: %r" % line)
        return value[:-2]

    def call(self, *words):
        self.send(multibulk(*words))
        return self.reply()

    def at_end(self):
        return self.received.read(1) == b""


def run(*options):
    """Runs the program to its end. Gives (exit status, standard output, standard error)."""
    ended = subprocess.run([Server.program, *options], stdin=subprocess.DEVNULL, capture_output=True, text=True,
                           timeout=HANG)
    return ended.returncode, ended.stdout, ended.stderr


class KvTest(unittest.TestCase):
    def start(self, *options, **more):
        server = Server(*options, **more)
        self.addCleanup(server.kill)
        return server

    def connect(self, server, **more):
        client = Client(server, **more)
        self.addCleanup(client.close)
        return client

    def folder(self):
        path = tempfile.mkdtemp(prefix="kv_server_test.")
        self.addCleanup(shutil.rmtree, path, ignore_errors=True)
        return path

    def stop(self, server, status=0):
        server.terminate()
        exit_status, said = server.wait()
        self.assertEqual((exit_status, said), (status, ""))

    def check(self, client, cases):
        """Sends all commands in one go; the replies must be those expected.

        A case is (words, reply), or a line of text: `WORD WORD -> REPLY`. REPLY is nil, a number, a range of numbers
        (1..9), a line that begins with + or -, or a value, in quotes if it looks like one of the others.
        """
        if isinstance(cases, str):
            cases = [self.read_case(line) for line in cases.strip().split("\n")]
        client.send(b"".join(multibulk(*words) for words, _ in cases))
        for words, expected in cases:
            reply = client.reply()
            if isinstance(expected, range):
                self.assertIn(reply, expected, words)
            else:
                self.assertEqual(reply, expected, words)

    @staticmethod
    def read_case(line):
        command, expected = line.strip().split(" -> ")
        words = shlex.split(command)
        if expected == "nil":
            return words, None
        if re.fullmatch(r"-?\d+", expected):
            return words, int(expected)
        if re.fullmatch(r"\d+\.\.\d+", expected):
            first, last = map(int, expected.split(".."))
            return words, range(first, last + 1)
        if expected.startswith('"'):
            expected = expected[1:-1]
        return words, expected.encode()
