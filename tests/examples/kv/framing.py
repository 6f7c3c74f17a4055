# SPDX-License-Identifier: MIT
"""kv_server: requests in pieces and in bulk, and what is no request."""

import os
import random
import socket
import threading
import time

from kv.support import KvTest, multibulk


class Framing(KvTest):
    def setUp(self):
        self.server = self.start()
        self.client = self.connect(self.server)

    def test_byte_by_byte(self):
        raw = multibulk("SET", "key", "a\r\nb") + b"GET key\r\n" + multibulk("MGET", "key", "none")
        raw += b"\r\n*0\r\n*-1\r\nPING 'x y'\r\n"
        for byte in raw:
            self.client.send(bytes([byte]))
            time.sleep(0.0005)
        replies = [self.client.reply() for _ in range(4)]
        self.assertEqual(replies, [b"+OK", b"a\r\nb", [b"a\r\nb", None], b"x y"])

    def test_every_split(self):
        raw = multibulk("SET", "key", "value") + b"ECHO \"in line\"\n" + multibulk("GET", "key")
        for split in range(1, len(raw)):
            self.client.send(raw[:split])
            time.sleep(0.001)
            self.client.send(raw[split:])
            self.assertEqual([self.client.reply() for _ in range(3)], [b"+OK", b"in line", b"value"], split)

    def test_pipeline(self):
        bulks = b"".join(multibulk("SET", i, "v%d" % i) + multibulk("GET", i) for i in range(5000))
        lines = b"".join(b"SET %d v%d\r\nGET %d\r\n" % (i, i, i) for i in range(5000))
        for requests in (bulks, lines):
            sender = threading.Thread(target=self.client.send, args=(requests,))
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
        cases = [
            (rb'PING', b"+PONG"), (rb'ping', b"+PONG"), (rb'  ECHO   x  ', b"x"), (b"\r\n\n  \r\nECHO x", b"x"),
            (rb'ECHO "a b"', b"a b"), (rb"ECHO 'a b'", b"a b"), (rb'ECHO ""', b""), (rb"ECHO ''", b""),
            (rb'ECHO "\x41\x0a\n\r\t\a\b\"\q"', b"A\n\n\r\t\a\b\"q"), (rb"ECHO 'it\'s \n'", rb"it's \n"),
            (rb'ECHO a"b c"', b"ab c"), (rb'ECHO "\xZZ"', b"xZZ"), (b"ECHO\ttab", b"tab"), (b"ECHO a\0b", b"a"),
            (b"ECHO " + b"x" * 60000, b"x" * 60000),
        ]
        for line, expected in cases:
            for line_end in (b"\r\n", b"\n"):
                self.client.send(line + line_end)
                self.assertEqual(self.client.reply(), expected, line[:80])

    def test_half_closed_peer_gets_its_answers(self):
        self.client.send(multibulk("SET", "k", "v") + multibulk("GET", "k") + b"*2\r\n$3\r\nGE")
        self.client.socket.shutdown(socket.SHUT_WR)
        self.assertEqual(self.client.received.read(), b"+OK\r\n$1\r\nv\r\n")

    def test_protocol_errors(self):
        count, length = b"invalid multibulk length", b"invalid bulk length"
        quotes = b"unbalanced quotes in request"
        no_number = [b"x", b"", b"+1", b"01", b"1 ", b"9" * 20]
        cases = [(b"*%s\r\n" % wrong, count) for wrong in no_number + [b"1048577"]]
        cases += [(b"*1\r\n$%s\r\n" % wrong, length) for wrong in no_number + [b"-1", b"536870913"]]
        cases += [(b"ECHO %s\r\n" % wrong, quotes) for wrong in (b'"a', b"'a", b'"a"b', b"'a'b", b"x\"", b'"\\"')]
        cases += [
            (b"*1\r\nPING\r\n", b"expected '$', got 'P'"),
            (b"*2\r\n$3\r\nGET\r\n:1\r\n", b"expected '$', got ':'"),
            (b"*1\r\n\r\n", b"expected '$', got ' '"),
            (b"x" * 65537, b"too big inline request"),
            (b"*" + b"1" * 65537, b"too big mbulk count string"),
            (b"*1\r\n$" + b"1" * 65537, b"too big bulk count string"),
        ]
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
            garbage = bytes(dice.choice(alphabet) for _ in range(dice.randrange(1, 400)))
            client.send(garbage + b"\r\nQUIT\r\n" * (i % 2))
            client.reset() if i % 3 else client.close()
        self.assertEqual(self.client.call("PING"), b"+PONG")
