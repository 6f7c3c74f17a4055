# SPDX-License-Identifier: MIT
"""tcp_proxy from outside."""

import os
import socket
import struct
import threading
import time

import server_support
from server_support import Server, ServerCase, read_exactly, read_to_end


class Upstream:
    """Answers each connection by `serve(connection)` in a thread of its own."""

    def __init__(self, serve):
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=512)
        self.port = self.listener.getsockname()[1]
        self.threads = []
        self.serve = serve
        self.acceptor = threading.Thread(target=self.accept, daemon=True)
        self.acceptor.start()

    def accept(self):
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            connection.settimeout(server_support.HANG)
            thread = threading.Thread(target=self.handle, args=(connection,), daemon=True)
            thread.start()
            self.threads.append(thread)

    def handle(self, connection):
        with connection:
            try:
                self.serve(connection)
            except OSError:
                pass

    def await_connections(self, count):
        deadline = time.monotonic() + server_support.HANG
        while len(self.threads) < count and time.monotonic() < deadline:
            time.sleep(0.01)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        # Closing alone does not wake the thread in accept(), for which the socket would go on listening, and answer, at a port that is given away.
        self.listener.shutdown(socket.SHUT_RDWR)
        self.acceptor.join(server_support.HANG)
        self.listener.close()
        for thread in self.threads:
            thread.join(server_support.HANG)


def echo(connection):
    while part := connection.recv(1 << 16):
        connection.sendall(part)


def proxy_to(upstream, *options):
    return Server("--to", "127.0.0.1:%d" % upstream.port, *options)


class Passing(ServerCase):
    def test_both_directions_and_half_close(self):
        def sum_up(connection):
            data = read_to_end(connection)  # answers only after the end of the request
            connection.sendall(b"%d bytes" % len(data))

        with Upstream(sum_up) as upstream, proxy_to(upstream) as proxy, proxy.connect() as peer:
            peer.sendall(b"x" * 1_000_000)
            peer.shutdown(socket.SHUT_WR)
            self.assertEqual(read_to_end(peer), b"1000000 bytes")

    def test_many_connections_with_megabytes(self):
        data = os.urandom(1 << 20)
        got = {}

        def talk(index, proxy):
            with proxy.connect() as peer:
                sender = threading.Thread(target=lambda: (peer.sendall(data), peer.shutdown(socket.SHUT_WR)))
                sender.start()
                got[index] = read_to_end(peer)
                sender.join()

        with Upstream(echo) as upstream, proxy_to(upstream) as proxy:
            talkers = [threading.Thread(target=talk, args=(i, proxy)) for i in range(16)]
            for each in talkers:
                each.start()
            for each in talkers:
                each.join()
        self.assertEqual(got, {i: data for i in range(16)})

    def test_a_reset_on_one_side_ends_the_other(self):
        with Upstream(echo) as upstream, proxy_to(upstream) as proxy:
            peer = proxy.connect()
            peer.sendall(b"a")
            self.assertEqual(read_exactly(peer, 1), b"a")
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            peer.close()
            upstream.await_connections(1)
            upstream.threads[0].join(server_support.HANG)
            self.assertFalse(upstream.threads[0].is_alive())

    def test_nobody_upstream(self):
        with socket.socket() as unused:
            unused.bind(("127.0.0.1", 0))
            with Server("--to", "127.0.0.1:%d" % unused.getsockname()[1]) as proxy, proxy.connect() as peer:
                self.assertEqual(read_to_end(peer), b"")
                proxy.terminate()
                status, said = proxy.wait()
                self.assertEqual(status, 0)
                self.assertIn("Connection refused", said)

    def test_idle_connections_are_cut_and_one_way_traffic_is_not_idle(self):
        def trickle(connection):
            for _ in range(20):
                connection.sendall(b".")
                time.sleep(0.1)

        with Upstream(trickle) as upstream, proxy_to(upstream, "--idle", "1") as proxy, proxy.connect() as peer:
            self.assertEqual(read_to_end(peer), b"." * 20)  # two seconds, in one direction only
        with Upstream(lambda connection: read_to_end(connection)) as upstream, proxy_to(upstream, "--idle", "1") as proxy:
            with proxy.connect() as peer:
                self.assertEqual(read_to_end(peer), b"")
                proxy.terminate()
                self.assertRegex(proxy.wait()[1], "cut after 0 bytes: timeout")

    def test_a_limit_of_connections_makes_others_wait(self):
        with Upstream(echo) as upstream, proxy_to(upstream, "--connections", "1") as proxy:
            with proxy.connect() as first:
                first.sendall(b"1")
                self.assertEqual(read_exactly(first, 1), b"1")
                second = proxy.connect()  # in the backlog
                second.sendall(b"2")
                second.settimeout(0.3)
                self.assertRaises(TimeoutError, second.recv, 1)
            second.settimeout(server_support.HANG)
            self.assertEqual(read_exactly(second, 1), b"2")
            second.close()


class Ending(ServerCase):
    def test_200_busy_connections_are_drained_or_named(self):
        count = 200
        chunk = os.urandom(16 * 1024)
        counts = {}

        def slow_source(connection):  # sends for about a second, whatever happens
            for _ in range(10):
                connection.sendall(chunk)
                time.sleep(0.1)

        def sink(index, peer):
            with peer:
                counts[index] = len(read_to_end(peer))

        with Upstream(slow_source) as upstream, proxy_to(upstream, "--drain", "30") as proxy:
            peers = [proxy.connect() for _ in range(count)]
            sinks = [threading.Thread(target=sink, args=each) for each in enumerate(peers)]
            for each in sinks:
                each.start()
            upstream.await_connections(count)
            time.sleep(0.3)
            proxy.terminate()
            status, said = proxy.wait()
            for each in sinks:
                each.join(server_support.HANG)
        self.assertEqual(status, 0)
        cut = said.count("cut after")
        whole = sum(1 for each in counts.values() if each == 10 * len(chunk))
        self.assertEqual((len(counts), whole + cut), (count, count), said)

    def test_what_does_not_end_is_cut_and_named(self):
        through = threading.Event()

        def hears(connection):
            read_exactly(connection, 14)
            through.set()
            read_to_end(connection)

        with Upstream(hears) as upstream, proxy_to(upstream, "--drain", "1") as proxy:
            with proxy.connect() as peer:
                peer.sendall(b"half a request")
                self.assertTrue(through.wait(server_support.HANG))
                time.sleep(0.2)  # until the proxy has counted what it sent
                name = "%s:%d" % peer.getsockname()
                proxy.terminate()
                status, said = proxy.wait()
                self.assertEqual(status, 0)
                self.assertIn("tcp_proxy: %s cut after 14 bytes: " % name, said)

    def test_wrong_arguments(self):
        self.check_arguments("--to", "127.0.0.1:1")


server_support.main()
