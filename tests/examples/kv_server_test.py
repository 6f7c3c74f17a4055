# SPDX-License-Identifier: MIT
"""Tests of examples/kv_server as its users see it: over sockets, by signals, by its file. Run: kv_server_test.py KV_SERVER [case ...]"""

import os
import random
import re
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
import unittest

KV_SERVER = ""
HANG = 60  # seconds: a guard against hanging, not a measurement
CRLF = b"\r\n"
WRONG_TYPE = b"-WRONGTYPE Operation against a key holding the wrong kind of value"


def bulk(value):
    return b"$%d\r\n%s\r\n" % (len(value), value)


def multibulk(*words):
    words = [w if isinstance(w, bytes) else str(w).encode() for w in words]
    return b"*%d\r\n" % len(words) + b"".join(map(bulk, words))


class Server:
    """A kv_server on a port of the system's choice."""

    def __init__(self, *options, workers=2):
        self.process = subprocess.Popen([KV_SERVER, "--port", "0", "--workers", str(workers), *options],
                                        stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        line = self.process.stdout.readline().decode()
        match = re.fullmatch(r"listening on 127\.0\.0\.1:(\d+)\n", line)
        if not match:
            self.process.kill()
            raise AssertionError("no port: %r, %r" % (line, self.process.communicate(timeout=HANG)[1]))
        self.port = int(match[1])

    def terminate(self, how=signal.SIGTERM):
        self.process.send_signal(how)

    def wait(self):
        """Exit status and what it said on standard error."""
        said = self.process.communicate(timeout=HANG)[1].decode()
        return self.process.returncode, said

    def kill(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.communicate(timeout=HANG)


class Client:
    def __init__(self, server, receive_buffer=None):
        self.socket = socket.socket()
        if receive_buffer:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.socket.settimeout(HANG)
        self.socket.connect(("127.0.0.1", server.port))
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
        """Sends every command in one go; the replies must be those expected."""
        client.send(b"".join(multibulk(*words) for words, _ in cases))
        for words, expected in cases:
            reply = client.reply()
            if isinstance(expected, range):  # a time that goes on
                self.assertIn(reply, expected, words)
            else:
                self.assertEqual(reply, expected, words)


class Commands(KvTest):
    def setUp(self):
        self.server = self.start()
        self.client = self.connect(self.server)

    def test_strings(self):
        self.check(self.client, [
            (("GET", "k"), None), (("SET", "k", "v"), b"+OK"), (("GET", "k"), b"v"), (("get", "k"), b"v"),
            (("SET", "k", ""), b"+OK"), (("GET", "k"), b""), (("SET", "", "empty key"), b"+OK"), (("GET", ""), b"empty key"),
            (("SET", b"\0\r\n\xff", b"\r\n\0\xfe"), b"+OK"), (("GET", b"\0\r\n\xff"), b"\r\n\0\xfe"),
            (("EXISTS", "k"), 1), (("EXISTS", "k", "none", "k"), 2), (("DEL", "k", "none", ""), 2), (("EXISTS", "k"), 0),
            (("MSET", "a", "1", "b", "2", "a", "3"), b"+OK"), (("MGET", "a", "none", "b"), [b"3", None, b"2"]),
            (("DBSIZE",), 3),
        ])

    def test_set_options(self):
        syntax = b"-ERR syntax error"
        invalid = b"-ERR invalid expire time in 'set' command"
        self.check(self.client, [
            (("SET", "k", "1", "XX"), None), (("EXISTS", "k"), 0), (("SET", "k", "1", "NX"), b"+OK"), (("SET", "k", "2", "nx"), None),
            (("SET", "k", "3", "xx", "EX", "100"), b"+OK"), (("GET", "k"), b"3"), (("TTL", "k"), range(60, 101)),
            (("SET", "k", "4", "px", "50000"), b"+OK"), (("TTL", "k"), range(20, 51)), (("SET", "k", "5"), b"+OK"), (("TTL", "k"), -1),
            (("SET", "k", "v", "NX", "XX"), syntax), (("SET", "k", "v", "EX"), syntax), (("SET", "k", "v", "EX", "1", "PX", "1"), syntax),
            (("SET", "k", "v", "FOO"), syntax), (("SET", "k", "v", "EX", "0"), invalid), (("SET", "k", "v", "PX", "-1"), invalid),
            (("SET", "k", "v", "EX", "9223372036854775807"), invalid), (("SET", "k", "v", "PX", "9223372036854775807"), invalid),
            (("SET", "k", "v", "EX", "x"), b"-ERR value is not an integer or out of range"), (("GET", "k"), b"5"),
        ])

    def test_incr(self):
        not_integer = b"-ERR value is not an integer or out of range"
        overflow = b"-ERR increment or decrement would overflow"
        cases = [(("INCR", "n"), 1), (("INCR", "n"), 2), (("GET", "n"), b"2"), (("SET", "n", "-1"), b"+OK"), (("INCR", "n"), 0),
                 (("SET", "n", 2**63 - 2), b"+OK"), (("INCR", "n"), 2**63 - 1), (("INCR", "n"), overflow), (("GET", "n"), str(2**63 - 1).encode()),
                 (("SET", "n", -2**63), b"+OK"), (("INCR", "n"), -2**63 + 1)]
        for text in ("", " ", "1 ", " 1", "+1", "01", "-0", "1.0", "x", "-", 2**63, -2**63 - 1, "1" * 40):
            cases += [(("SET", "n", text), b"+OK"), (("INCR", "n"), not_integer), (("GET", "n"), str(text).encode())]
        self.check(self.client, cases)

    def test_lists(self):
        positive = b"-ERR value is out of range, must be positive"
        self.check(self.client, [
            (("LPOP", "l"), None), (("LPOP", "l", 1), None), (("LPUSH", "l", "a"), 1), (("LPUSH", "l", "b", "c"), 3),
            (("LPOP", "l"), b"c"), (("LPOP", "l", 0), []), (("LPOP", "l", 5), [b"b", b"a"]), (("EXISTS", "l"), 0), (("LPOP", "l"), None),
            (("LPUSH", "l", ""), 1), (("LPOP", "l", -1), positive), (("LPOP", "l", "x"), positive), (("LPOP", "l", "1"), [b""]),
        ])
        for i in range(3000):
            self.client.send(multibulk("LPUSH", "l", i))
        self.assertEqual([self.client.reply() for _ in range(3000)], list(range(1, 3001)))
        self.assertEqual(self.client.call("LPOP", "l", 2999), [str(i).encode() for i in range(2999, 0, -1)])
        self.assertEqual(self.client.call("LPOP", "l"), b"0")

    def test_wrong_type(self):
        self.check(self.client, [
            (("LPUSH", "l", "x"), 1), (("SET", "s", "x"), b"+OK"), (("GET", "l"), WRONG_TYPE), (("INCR", "l"), WRONG_TYPE),
            (("LPUSH", "s", "x"), WRONG_TYPE), (("LPOP", "s"), WRONG_TYPE), (("LPOP", "s", 0), WRONG_TYPE),
            (("MGET", "l", "s"), [None, b"x"]), (("SET", "l", "now a string"), b"+OK"), (("GET", "l"), b"now a string"),
            (("LPUSH", "m", "x"), 1), (("MSET", "m", "1", "s", "2"), b"+OK"), (("MGET", "m", "s"), [b"1", b"2"]), (("EXISTS", "l", "s", "m"), 3),
        ])

    def test_connection(self):
        self.check(self.client, [
            (("PING",), b"+PONG"), (("ping", "hi"), b"hi"), (("ECHO", "hi"), b"hi"), (("COMMAND", "COUNT"), 17), (("COMMAND", "DOCS"), []),
            (("CONFIG", "GET", "save"), [b"save", b""]), (("CONFIG", "GET", "appendonly"), [b"appendonly", b"no"]),
            (("config", "get", "APPENDONLY", "save", "port"), [b"save", b"", b"appendonly", b"no"]), (("CONFIG", "GET", "none"), []),
            (("CONFIG", "SET", "save"), b"-ERR unknown subcommand 'SET'. Try CONFIG HELP."),
            (("COMMAND", "FOO"), b"-ERR unknown subcommand 'FOO'. Try COMMAND HELP."),
        ])
        table = {entry[0]: entry for entry in self.client.call("COMMAND")}
        self.assertEqual(len(table), 17)
        self.assertEqual(table[b"set"], [b"set", -3, [b"+write"], 1, 1, 1])
        self.client.send(multibulk("QUIT") + multibulk("PING"))
        self.assertEqual(self.client.reply(), b"+OK")
        self.assertTrue(self.client.at_end())

    def test_wrong_commands(self):
        for name, count in [("get", 1), ("get", 3), ("set", 2), ("incr", 1), ("incr", 3), ("lpush", 2), ("lpop", 1), ("lpop", 4),
                            ("mget", 1), ("mset", 2), ("mset", 4), ("del", 1), ("exists", 1), ("expire", 2), ("ttl", 1), ("ttl", 3),
                            ("echo", 1), ("echo", 3), ("ping", 3), ("config", 1), ("dbsize", 2)]:
            reply = self.client.call(name.upper(), *["1"] * (count - 1))
            self.assertEqual(reply, b"-ERR wrong number of arguments for '%s' command" % name.encode(), count)
        self.assertEqual(self.client.call("CONFIG", "GET"), b"-ERR wrong number of arguments for 'config|get' command")
        unknown = b"-ERR unknown command '%s', with args beginning with: %s"
        self.check(self.client, [
            (("FOO",), unknown % (b"FOO", b"")), (("foo", "a", "b c"), unknown % (b"foo", b"'a' 'b c' ")),
            (("",), unknown % (b"", b"")), (("GET\0", "k"), unknown % (b"GET\0", b"'k' ")), ((" GET", "k"), unknown % (b" GET", b"'k' ")),
            (("a\r\n+OK", "b\nc"), unknown % (b"a  +OK", b"'b c' ")), (("x" * 200, "y" * 200), unknown % (b"x" * 128, b"'" + b"y" * 128 + b"' ")),
            (("PING",), b"+PONG"),
        ])

    def test_expiry(self):
        self.check(self.client, [
            (("TTL", "k"), -2), (("EXPIRE", "k", "10"), 0), (("SET", "k", "1"), b"+OK"), (("TTL", "k"), -1), (("EXPIRE", "k", "100"), 1),
            (("TTL", "k"), range(60, 101)), (("INCR", "k"), 2), (("TTL", "k"), range(60, 101)), (("MSET", "k", "1"), b"+OK"), (("TTL", "k"), -1),
            (("EXPIRE", "k", "x"), b"-ERR value is not an integer or out of range"),
            (("EXPIRE", "k", "1", "FOO"), b"-ERR Unsupported option FOO"),
            (("EXPIRE", "k", 2**63 - 1), b"-ERR invalid expire time in 'expire' command"),
            (("EXPIRE", "k", -2**63), b"-ERR invalid expire time in 'expire' command"), (("EXISTS", "k"), 1),
            (("EXPIRE", "k", "0"), 1), (("EXISTS", "k"), 0), (("LPUSH", "l", "a"), 1), (("EXPIRE", "l", "-5"), 1), (("LPOP", "l"), None),
        ])
        self.check(self.client, [(("SET", "soon", "x", "PX", "30"), b"+OK"), (("SET", "swept", "x", "PX", "30"), b"+OK"),
                                 (("LPUSH", "list", "x"), 1), (("EXPIRE", "list", "1"), 1), (("DBSIZE",), range(1, 4))])
        until = time.monotonic() + HANG
        while self.client.call("GET", "soon") is not None:  # when it is looked at
            self.assertLess(time.monotonic(), until)
            time.sleep(0.005)
        self.assertEqual(self.client.call("TTL", "soon"), -2)
        while self.client.call("DBSIZE") != 0:  # the others go although nobody looks at them
            self.assertLess(time.monotonic(), until)
            time.sleep(0.02)

    def test_many_keys_are_swept(self):
        for i in range(5000):
            self.client.send(multibulk("SET", "key:%d" % i, "x", "PX", "1"))
        self.assertEqual({self.client.reply() for _ in range(5000)}, {b"+OK"})
        until = time.monotonic() + HANG
        while self.client.call("DBSIZE") != 0:
            self.assertLess(time.monotonic(), until)
            time.sleep(0.02)

    def test_large_values(self):
        value = random.Random(1).randbytes(1 << 20)
        for name in ("a", "b"):
            self.assertEqual(self.client.call("SET", name, value), b"+OK")
        self.assertEqual(self.client.call("GET", "a"), value)
        self.assertEqual(self.client.call("ECHO", value), value)
        self.assertEqual(self.client.call("LPUSH", "l", value, "x", value), 3)
        self.assertEqual(self.client.call("LPOP", "l", 3), [value, b"x", value])
        self.assertEqual(self.client.call("MGET", *["a", "b"] * 8), [value] * 16)
        self.assertEqual(self.client.call("SET", "a", "small"), b"+OK")
        self.assertEqual(self.client.call("GET", "a"), b"small")
        many = ["key:%d" % i for i in range(50000)]
        self.assertEqual(self.client.call("MSET", *[w for key in many for w in (key, key[4:])]), b"+OK")
        self.assertEqual(self.client.call("MGET", *many), [key[4:].encode() for key in many])
        self.assertEqual(self.client.call("DEL", *many), len(many))


class Framing(KvTest):
    def setUp(self):
        self.server = self.start()
        self.client = self.connect(self.server)

    def test_byte_by_byte(self):
        raw = multibulk("SET", "key", "a\r\nb") + b"GET key\r\n" + multibulk("MGET", "key", "none") + b"\r\n*0\r\n*-1\r\nPING 'x y'\r\n"
        for byte in raw:
            self.client.send(bytes([byte]))
            time.sleep(0.0005)
        self.assertEqual([self.client.reply() for _ in range(4)], [b"+OK", b"a\r\nb", [b"a\r\nb", None], b"x y"])

    def test_every_split(self):
        raw = multibulk("SET", "key", "value") + b"ECHO \"in line\"\n" + multibulk("GET", "key")
        for split in range(1, len(raw)):
            self.client.send(raw[:split])
            time.sleep(0.001)
            self.client.send(raw[split:])
            self.assertEqual([self.client.reply() for _ in range(3)], [b"+OK", b"in line", b"value"], split)

    def test_pipeline(self):
        for frames in (lambda i: multibulk("SET", i, "v%d" % i) + multibulk("GET", i), lambda i: b"SET %d v%d\r\nGET %d\r\n" % (i, i, i)):
            sender = threading.Thread(target=self.client.send, args=(b"".join(map(frames, range(5000))),))
            sender.start()
            for i in range(5000):
                self.assertEqual((self.client.reply(), self.client.reply()), (b"+OK", b"v%d" % i))
            sender.join()

    def test_replies_beyond_the_buffers(self):
        # 64 MB of replies to a peer that reads only after it has sent everything.
        self.client.call("SET", "k", b"x" * 65536)
        sender = threading.Thread(target=self.client.send, args=(multibulk("GET", "k") * 1000,))
        sender.start()
        time.sleep(0.2)
        for _ in range(1000):
            self.assertEqual(len(self.client.reply()), 65536)
        sender.join()

    def test_inline(self):
        cases = [(b"PING\r\n", b"+PONG"), (b"ping\n", b"+PONG"), (b"  ECHO   x  \r\n", b"x"), (b"\r\n\n  \r\nECHO x\r\n", b"x"),
                 (b"ECHO \"a b\"\r\n", b"a b"), (b"ECHO 'a b'\r\n", b"a b"), (b"ECHO \"\"\r\n", b""), (b"ECHO \"\\x41\\x0a\\n\\r\\t\\a\\b\\\"\\q\"\r\n", b"A\n\n\r\t\a\b\"q"),
                 (b"ECHO 'it\\'s \\n'\r\n", b"it's \\n"), (b"ECHO a\"b c\"\r\n", b"ab c"), (b"ECHO \"\\xZZ\"\r\n", b"xZZ"),
                 (b"ECHO\ttab\r\n", b"tab"), (b"ECHO a\0b\r\n", b"a"), (b"ECHO " + b"x" * 60000 + b"\r\n", b"x" * 60000)]
        for raw, expected in cases:
            self.client.send(raw)
            self.assertEqual(self.client.reply(), expected, raw[:80])

    def test_half_closed_peer_gets_its_answers(self):
        self.client.send(multibulk("SET", "k", "v") + multibulk("GET", "k") + b"*2\r\n$3\r\nGE")
        self.client.socket.shutdown(socket.SHUT_WR)
        self.assertEqual(self.client.received.read(), b"+OK\r\n$1\r\nv\r\n")

    def test_protocol_errors(self):
        count, length = b"invalid multibulk length", b"invalid bulk length"
        quotes = b"unbalanced quotes in request"
        cases = [(b"*x\r\n", count), (b"*1048577\r\n", count), (b"*\r\n", count), (b"*+1\r\n", count), (b"*01\r\n", count), (b"*99999999999999999999\r\n", count),
                 (b"*1\r\n$x\r\n", length), (b"*1\r\n$-1\r\n", length), (b"*1\r\n$536870913\r\n", length), (b"*1\r\n$\r\n", length), (b"*1\r\n$1 \r\n", length),
                 (b"*1\r\nPING\r\n", b"expected '$', got 'P'"), (b"*2\r\n$3\r\nGET\r\n:1\r\n", b"expected '$', got ':'"), (b"*1\r\n\r\n", b"expected '$', got ' '"),
                 (b"ECHO \"a\r\n", quotes), (b"ECHO 'a\r\n", quotes), (b"ECHO \"a\"b\r\n", quotes), (b"ECHO 'a'b\r\n", quotes),
                 (b"x" * 65537, b"too big inline request"), (b"*" + b"1" * 65537, b"too big mbulk count string"),
                 (b"*1\r\n$" + b"1" * 65537, b"too big bulk count string")]
        for raw, error in cases:
            for before in (b"", b"PING\r\n"):
                client = self.connect(self.server)
                client.send(before + raw)
                if before:
                    self.assertEqual(client.reply(), b"+PONG")
                self.assertEqual(client.reply(), b"-ERR Protocol error: " + error, raw[:80])
                self.assertTrue(client.at_end())
                client.close()

    def test_error_reaches_a_peer_that_goes_on_sending(self):
        # Closing at once would reset the connection, and the error could get lost.
        for _ in range(20):
            client = self.connect(self.server)
            client.send(b"*1\r\n$-1\r\n" + b"x" * 200000)
            self.assertEqual(client.reply(), b"-ERR Protocol error: invalid bulk length")
            self.assertTrue(client.at_end())
            client.close()

    def test_announced_size_is_not_trusted(self):
        # 200 peers announce 512 MB each and 1M arguments, and fall silent.
        for _ in range(100):
            self.connect(self.server).send(b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$536870912\r\nxxx")
            self.connect(self.server).send(b"*1048576\r\n$1\r\nx\r\n")
        self.assertEqual(self.client.call("PING"), b"+PONG")
        with open("/proc/%d/statm" % self.server.process.pid) as statm:
            resident = int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
        self.assertLess(resident, 400 << 20)

    def test_garbage(self):
        dice = random.Random(20)
        alphabet = b"*$:+-\r\n 0123456789\"'\\x" + bytes(range(256))
        for i in range(300):
            client = self.connect(self.server)
            client.send(bytes(dice.choice(alphabet) for _ in range(dice.randrange(1, 400))) + (b"\r\nQUIT\r\n" if i % 2 else b""))
            client.reset() if i % 3 else client.close()
        self.assertEqual(self.client.call("PING"), b"+PONG")


class Together(KvTest):
    def run_all(self, count, work):
        """Runs work(i) in `count` threads; a failure in one fails the test."""
        failures = []

        def guarded(i):
            try:
                work(i)
            except BaseException as failure:
                failures.append(failure)

        threads = [threading.Thread(target=guarded, args=(i,)) for i in range(count)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if failures:
            raise failures[0]

    def test_parallel_incr(self):
        server = self.start()

        def work(_):
            with Client(server) as client:
                for _ in range(25):
                    client.send(multibulk("INCR", "n") * 16)
                    replies = [client.reply() for _ in range(16)]
                    self.assertEqual(replies, sorted(set(replies)))  # each later one is larger

        self.run_all(50, work)
        self.assertEqual(self.connect(server).call("GET", "n"), b"20000")

    def test_parallel_lists(self):
        server = self.start()
        popped = [[] for _ in range(8)]

        def work(i):
            with Client(server) as client:
                for n in range(0, 800, 8):
                    client.send(b"".join(multibulk("LPUSH", "l", "%d:%d" % (i, n + k)) for k in range(8)))
                    client.send(multibulk("LPOP", "l") * 8)
                    replies = [client.reply() for _ in range(16)]
                    popped[i] += replies[8:]

        self.run_all(8, work)
        # Each pops as many as it pushed before, so no pop finds the list empty, and each element comes out once.
        self.assertEqual(sorted(b for some in popped for b in some), sorted(b"%d:%d" % (i, n) for i in range(8) for n in range(800)))
        self.assertEqual(self.connect(server).call("EXISTS", "l"), 0)

    def test_mset_is_seen_whole(self):
        server = self.start()
        keys = ["key:%d" % i for i in range(10)]

        def work(i):
            with Client(server) as client:
                for n in range(300):
                    if i % 2:
                        client.call("MSET", *[w for key in keys[::1 if i % 4 == 1 else -1] for w in (key, "%d:%d" % (i, n))])
                    else:
                        self.assertEqual(len(set(client.call("MGET", *keys))), 1)

        self.run_all(8, work)

    def test_resets_disturb_nobody(self):
        server = self.start()
        client = self.connect(server)
        frame = multibulk("SET", "k", b"v" * 1000)
        for i in range(300):
            other = self.connect(server)
            other.send(frame * (i % 5) + frame[:i * 7 % len(frame)])
            other.reset()
            self.assertEqual(client.call("INCR", "n"), i + 1)
        slow = self.connect(server)  # reset while the server is in the middle of a large reply
        client.call("SET", "large", b"x" * (8 << 20))
        slow.send(multibulk("GET", "large") * 4)
        time.sleep(0.05)
        slow.reset()
        self.assertEqual(client.call("INCR", "n"), 301)
        self.stop(server)


class Ends(KvTest):
    def test_without_connections(self):
        for how in (signal.SIGTERM, signal.SIGINT):
            server = self.start()
            server.terminate(how)
            self.assertEqual(server.wait(), (0, ""))

    def test_idle_connections_are_closed(self):
        server = self.start()
        clients = [self.connect(server) for _ in range(20)]
        for client in clients:
            self.assertEqual(client.call("PING"), b"+PONG")
        clients[0].send(b"*2\r\n$3\r\nGET\r\n$10")  # not a command yet
        server.terminate()
        for client in clients:
            self.assertTrue(client.at_end())
            client.close()
        self.assertEqual(server.wait(), (0, ""))
        self.assertRaises(ConnectionRefusedError, Client, server)

    def test_received_commands_are_answered(self):
        server = self.start()
        client = self.connect(server)
        client.call("SET", "k", b"x" * 8192)
        client.send(multibulk("GET", "k") * 1000)  # 8 MB of replies: the server is stuck in a write, commands lie in its socket
        time.sleep(0.3)
        server.terminate()
        time.sleep(0.2)
        for _ in range(1000):
            self.assertEqual(len(client.reply()), 8192)
        self.assertTrue(client.at_end())
        client.close()
        self.assertEqual(server.wait(), (0, ""))

    def test_peer_that_does_not_read(self):
        server = self.start()
        client = self.connect(server, receive_buffer=4096)
        client.call("SET", "k", b"x" * (16 << 20))
        client.send(multibulk("GET", "k") * 4)
        time.sleep(0.2)
        self.stop(server)

    def test_peer_that_does_not_close(self):
        server = self.start()
        client = self.connect(server)
        client.send(b"*1\r\n$-1\r\n")
        self.assertEqual(client.reply(), b"-ERR Protocol error: invalid bulk length")
        quitter = self.connect(server)
        self.assertEqual(quitter.call("QUIT"), b"+OK")
        self.stop(server)

    def test_no_acknowledged_write_is_lost(self):
        file = os.path.join(self.folder(), "kv")
        server = self.start("--save", file)
        acknowledged = [[0, 0, 0] for _ in range(8)]  # per client: keys set, counter, length of list
        unexpected = []

        def work(i):
            try:
                with Client(server) as client:
                    for n in range(0, 1 << 30, 8):
                        client.send(b"".join(multibulk("SET", "%d:%d" % (i, n + k), "v%d" % (n + k)) + multibulk("INCR", "n%d" % i) +
                                             multibulk("LPUSH", "l%d" % i, n + k) for k in range(8)))
                        for k in range(8):
                            if client.reply() != b"+OK":
                                unexpected.append(i)
                            acknowledged[i][0] += 1
                            acknowledged[i][1] = client.reply()
                            acknowledged[i][2] = client.reply()
            except (OSError, EOFError):
                pass  # the server has ended

        threads = [threading.Thread(target=work, args=(i,)) for i in range(8)]
        for thread in threads:
            thread.start()
        time.sleep(0.7)
        server.terminate()
        self.assertEqual(server.wait(), (0, ""))
        for thread in threads:
            thread.join()
        self.assertEqual(unexpected, [])
        self.assertGreater(min(n for client in acknowledged for n in client), 0)

        client = self.connect(self.start("--save", file))
        for i, (keys, counter, length) in enumerate(acknowledged):
            self.assertEqual(client.call("MGET", *["%d:%d" % (i, n) for n in range(keys)]), [b"v%d" % n for n in range(keys)])
            self.assertGreaterEqual(int(client.call("GET", "n%d" % i)), counter)
            elements = client.call("LPOP", "l%d" % i, 1 << 30)
            self.assertEqual(elements, [str(n).encode() for n in reversed(range(len(elements)))])
            self.assertGreaterEqual(len(elements), length)


class Saves(KvTest):
    def setUp(self):
        self.file = os.path.join(self.folder(), "kv")

    def refused(self, *options):
        """Starts a server that must refuse to; gives what it says."""
        process = subprocess.run([KV_SERVER, "--port", "0", *options], stdin=subprocess.DEVNULL, capture_output=True, timeout=HANG)
        self.assertEqual((process.returncode, process.stdout), (1, b""))
        return process.stderr.decode()

    def test_everything_comes_back(self):
        server = self.start("--save", self.file)
        client = self.connect(server)
        large = random.Random(3).randbytes(3 << 20)
        client.call("MSET", "text", "v", "", "empty key", b"\0\xff", large)
        client.call("LPUSH", "list", "a", "", large)
        client.call("SET", "later", "x", "EX", 10000)
        client.call("SET", "soon", "x", "PX", 1)
        self.stop(server)
        self.assertEqual(os.listdir(os.path.dirname(self.file)), ["kv"])
        for _ in range(2):  # the second time: from a file that was written by a server that had loaded one
            server = self.start("--save", self.file)
            client = self.connect(server)
            self.check(client, [(("MGET", "text", "", b"\0\xff", "soon"), [b"v", b"empty key", large, None]), (("DBSIZE",), 5)])
            self.assertTrue(9000 < client.call("TTL", "later") <= 10000)
            self.stop(server)
        server = self.start("--save", self.file)
        self.assertEqual(self.connect(server).call("LPOP", "list", 9), [large, b"", b"a"])
        self.stop(server)

    def test_expiry_goes_on_while_nobody_runs(self):
        server = self.start("--save", self.file)
        client = self.connect(server)
        self.assertEqual(client.call("SET", "k", "x", "EX", 1), b"+OK")
        ends = time.time() + 1
        self.stop(server)
        time.sleep(max(0, ends - time.time()) + 0.05)
        self.assertEqual(self.connect(self.start("--save", self.file)).call("GET", "k"), None)

    def test_empty_store_and_wrong_files(self):
        self.stop(self.start("--save", self.file))
        with open(self.file, "rb") as file:
            empty = file.read()
        server = self.start("--save", self.file)
        client = self.connect(server)
        client.call("MSET", "a", "x" * 100, "b", "y")
        client.call("LPUSH", "l", "1", "2")
        self.stop(server)
        with open(self.file, "rb") as file:
            whole = file.read()
        self.assertGreater(len(whole), len(empty))
        cases = [(b"", "no snapshot"), (b"hello world, this is a letter", "no snapshot"), (whole[:20], "cut short"), (whole[:-1], "cut short"),
                 (whole + b"x", "damaged")]
        cases += [(whole[:i] + bytes([whole[i] ^ 1]) + whole[i + 1:], "damaged|cut short") for i in range(8, len(whole), 11)]
        for content, said in cases:
            with open(self.file, "wb") as file:
                file.write(content)
            self.assertRegex(self.refused("--save", self.file), r"^kv_server: --save %s: cannot load the file: it is .*(%s)" % (self.file, said))
            with open(self.file, "rb") as file:
                self.assertEqual(file.read(), content)

    def test_places_that_cannot_be_written(self):
        self.assertIn("no file can be made", self.refused("--save", os.path.join(self.file, "missing", "kv")))
        self.assertIn("directory", self.refused("--save", os.path.dirname(self.file)))
        server = self.start("--save", self.file)
        self.connect(server).call("SET", "k", "v")
        shutil.rmtree(os.path.dirname(self.file))
        server.terminate()
        status, said = server.wait()
        self.assertEqual(status, 1)
        self.assertRegex(said, r"^kv_server: .*%s.*: No such file or directory\n$" % self.file)


class Starts(KvTest):
    def test_bad_arguments(self):
        for options, said in [(["--what"], "unknown argument '--what'"), (["--what", "1"], "unknown argument '--what'"), (["--port"], "--port needs a value"),
                              (["--save"], "--save needs a value"), (["--port", "x"], "--port must be a number"), (["--port", "65536"], "--port must be a number"),
                              (["--workers", "0"], "--workers must be a number"), (["--host", "no.address"], "--host")]:
            process = subprocess.run([KV_SERVER, *options], stdin=subprocess.DEVNULL, capture_output=True, timeout=HANG)
            self.assertEqual((process.returncode, process.stdout), (2, b""), options)
            self.assertIn("kv_server: " + said, process.stderr.decode())
            self.assertIn("usage: kv_server", process.stderr.decode())

    def test_help(self):
        process = subprocess.run([KV_SERVER, "--help"], stdin=subprocess.DEVNULL, capture_output=True, timeout=HANG)
        self.assertEqual((process.returncode, process.stderr), (0, b""))
        self.assertIn(b"--save FILE", process.stdout)

    def test_port_in_use(self):
        server = self.start()
        process = subprocess.run([KV_SERVER, "--port", str(server.port)], stdin=subprocess.DEVNULL, capture_output=True, timeout=HANG)
        self.assertEqual((process.returncode, process.stdout), (1, b""))
        self.assertRegex(process.stderr.decode(), r"^kv_server: .*127\.0\.0\.1:%d.*in use" % server.port)

    def test_one_worker(self):
        server = self.start(workers=1)
        self.assertEqual(self.connect(server).call("PING"), b"+PONG")
        self.stop(server)


class RedisTools(KvTest):
    @unittest.skipUnless(shutil.which("redis-cli"), "redis-cli is not installed")
    def test_redis_cli(self):
        server = self.start()
        script = "set k v\nget k\nincr n\nlpush l a b\nlpop l 5\nmget k none\nfoo\nexpire k 100\n"
        process = subprocess.run(["redis-cli", "-p", str(server.port)], input=script, text=True, capture_output=True, timeout=HANG)
        self.assertEqual(process.returncode, 0)
        self.assertEqual([line for line in process.stdout.split("\n") if line],
                         ["OK", "v", "1", "2", "b", "a", "v", "ERR unknown command 'foo', with args beginning with: ", "1"])

    @unittest.skipUnless(shutil.which("redis-benchmark"), "redis-benchmark is not installed")
    def test_redis_benchmark(self):
        server = self.start()
        tests = "ping,set,get,incr,lpush,lpop,mset"
        for pipeline in ("1", "16"):
            process = subprocess.run(["redis-benchmark", "-p", str(server.port), "-t", tests, "-n", "20000", "-c", "50", "-P", pipeline,
                                      "-r", "1000", "-q", "--csv"], text=True, capture_output=True, timeout=HANG)
            self.assertEqual((process.returncode, process.stderr), (0, ""))
            for name in ("PING_INLINE", "PING_MBULK", "SET", "GET", "INCR", "LPUSH", "LPOP", "MSET"):
                self.assertRegex(process.stdout, r'(?m)^"%s[^"]*","\d+\.' % name)
            self.assertNotIn("rror", process.stdout)
        self.stop(server)


if __name__ == "__main__":
    KV_SERVER = os.path.abspath(sys.argv.pop(1))
    unittest.main(verbosity=2)
