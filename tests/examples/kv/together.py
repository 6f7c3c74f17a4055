# SPDX-License-Identifier: MIT
"""kv_server: many clients at a time."""

import threading
import time

from kv.support import Client, KvTest, multibulk


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
        # Each pops as many as it has pushed, so no pop finds the list empty, and each element comes out once.
        pushed = [b"%d:%d" % (i, n) for i in range(8) for n in range(800)]
        self.assertEqual(sorted(element for some in popped for element in some), sorted(pushed))
        self.assertEqual(self.connect(server).call("EXISTS", "l"), 0)

    def test_mset_is_seen_whole(self):
        server = self.start()
        keys = ["key:%d" % i for i in range(10)]

        def work(i):
            with Client(server) as client:
                for n in range(300):
                    if i % 2:
                        order = keys if i % 4 == 1 else keys[::-1]
                        client.call("MSET", *[word for key in order for word in (key, "%d:%d" % (i, n))])
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
