# SPDX-License-Identifier: MIT
"""kv_server: how it ends, and what it keeps."""

import os
import random
import shutil
import signal
import threading
import time

from kv.support import Client, KvTest, multibulk, run


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
        client.send(multibulk("GET", "k") * 1000)  # 8 MB of replies: it is stuck in a write, commands lie in its socket
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

    def test_signalled_twice(self):
        # As timeout(1) does: the second one must not keep the server from saving, neither at once nor while it waits for a peer.
        file = os.path.join(self.folder(), "kv")
        for pause in (0, 0, 0, 1.2):
            server = self.start("--save", file)
            client = self.connect(server, receive_buffer=4096)
            number = client.call("INCR", "n")
            client.call("SET", "k", b"x" * (16 << 20))
            client.send(multibulk("GET", "k") * 4)
            server.terminate()
            time.sleep(pause)
            self.stop(server)
            client.close()
        self.assertEqual(number, 4)

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
                        batch = b""
                        for m in range(n, n + 8):
                            batch += multibulk("SET", "%d:%d" % (i, m), "v%d" % m)
                            batch += multibulk("INCR", "n%d" % i) + multibulk("LPUSH", "l%d" % i, m)
                        client.send(batch)
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
            values = client.call("MGET", *["%d:%d" % (i, n) for n in range(keys)])
            self.assertEqual(values, [b"v%d" % n for n in range(keys)])
            self.assertGreaterEqual(int(client.call("GET", "n%d" % i)), counter)
            elements = client.call("LPOP", "l%d" % i, 1 << 30)
            self.assertEqual(elements, [str(n).encode() for n in reversed(range(len(elements)))])
            self.assertGreaterEqual(len(elements), length)


class Saves(KvTest):
    def setUp(self):
        self.file = os.path.join(self.folder(), "kv")

    def refused(self, *options):
        """Starts a server that must refuse to; gives what it says."""
        status, printed, said = run("--port", "0", *options)
        self.assertEqual((status, printed), (1, ""))
        return said

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
            self.assertEqual(client.call("MGET", "text", "", b"\0\xff", "soon"), [b"v", b"empty key", large, None])
            self.assertEqual(client.call("DBSIZE"), 5)
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
        cases = [(b"", "no snapshot"), (b"hello world, this is a letter", "no snapshot"),
                 (whole[:20], "cut short"), (whole[:-1], "cut short"), (whole + b"x", "damaged")]
        for i in range(8, len(whole), 11):
            cases.append((whole[:i] + bytes([whole[i] ^ 1]) + whole[i + 1:], "damaged|cut short"))
        pattern = r"^kv_server: --save %s: cannot load the file: it is .*(%s)"
        for content, said in cases:
            with open(self.file, "wb") as file:
                file.write(content)
            self.assertRegex(self.refused("--save", self.file), pattern % (self.file, said))
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
