# SPDX-License-Identifier: MIT
"""chat_server from outside."""

import socket
import struct
import time

import server_support
from server_support import Server, ServerCase, read_exactly, read_to_end


class Member:
    def __init__(self, server, name, receive_buffer=None):
        self.socket = socket.socket()
        if receive_buffer:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.socket.settimeout(server_support.HANG)
        self.socket.connect(("127.0.0.1", server.port))
        self.lines = self.socket.makefile("rb")
        self.name = name
        assert self.hear() == "* your name?"
        self.say(name)
        assert self.hear() == "* %s comes" % name

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.lines.close()
        self.socket.close()

    def say(self, text):
        self.socket.sendall(text.encode() + b"\n")

    def hear(self):
        return self.lines.readline().decode().rstrip("\n")


class Chat(ServerCase):
    def test_everybody_hears_everything_in_one_order(self):
        with Server() as server, Member(server, "ann") as ann, Member(server, "bob") as bob:
            self.assertEqual(ann.hear(), "* bob comes")
            for i in range(20):
                (ann if i % 2 else bob).say("line %d" % i)
            heard = [[m.hear() for _ in range(20)] for m in (ann, bob)]
            self.assertEqual(heard[0], heard[1])
            self.assertEqual(sorted(heard[0]), sorted("%s: line %d" % ("ann" if i % 2 else "bob", i) for i in range(20)))

    def test_who_leaves_is_announced_also_by_a_reset(self):
        with Server() as server, Member(server, "ann") as ann:
            with Member(server, "bob"):
                self.assertEqual(ann.hear(), "* bob comes")
            self.assertEqual(ann.hear(), "* bob leaves")
            cat = Member(server, "cat")
            self.assertEqual(ann.hear(), "* cat comes")
            cat.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            cat.lines.close()
            cat.socket.close()
            self.assertEqual(ann.hear(), "* cat leaves")

    def test_a_line_without_end_and_an_empty_name_end_the_session(self):
        with Server() as server, Member(server, "ann") as ann:
            with server.connect() as peer:
                peer.sendall(b"\n")
                self.assertEqual(read_to_end(peer), b"* your name?\n")
            with Member(server, "bob") as bob:
                self.assertEqual(ann.hear(), "* bob comes")
                bob.socket.sendall(b"x" * 5000)
                self.assertEqual(ann.hear(), "* bob leaves")

    def test_a_slow_reader_is_told_and_let_go(self):
        with Server() as server, Member(server, "ann") as ann, Member(server, "slow", receive_buffer=4096) as slow:
            self.assertEqual(ann.hear(), "* slow comes")
            heard = []
            for i in range(6000):  # more than the buffers of the system hold
                ann.say(str(i) + "x" * 1000)
                heard.append(ann.hear())
            text = slow.lines.read().decode()
            self.assertRegex(text, r"\* you are too slow: [0-9]+ lines are lost. Goodbye.\n$")
            ann.say("still here")
            while not {"* slow leaves", "ann: still here"} <= set(heard):  # it may have left in the midst of them, when a write found room
                heard.append(ann.hear())
            self.assertEqual(len(heard), 6002)

    def test_says_goodbye_when_it_ends(self):
        with Server() as server, Member(server, "ann") as ann, server.connect() as nameless:
            # A connection that is not accepted yet when the server ends is reset, not spoken to.
            self.assertEqual(read_exactly(nameless, len(b"* your name?\n")), b"* your name?\n")
            ann.say("last words")
            self.assertEqual(ann.hear(), "ann: last words")
            begin = time.monotonic()
            server.terminate()
            self.assertEqual(ann.lines.read(), b"* the server ends. Goodbye.\n")
            self.assertEqual(server.wait(), (0, ""))
            self.assertLess(time.monotonic() - begin, 30)
            self.assertEqual(read_to_end(nameless), b"")

    def test_wrong_arguments(self):
        self.check_arguments()


server_support.main()
