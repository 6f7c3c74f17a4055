# SPDX-License-Identifier: MIT
"""echo_server from outside."""

import os
import socket
import struct
import threading

import server_support
from server_support import Server, ServerCase, read_exactly, read_to_end


class Echo(ServerCase):
    def test_gives_back_what_it_gets(self):
        with Server() as server, server.connect() as peer:
            for size in (1, 64, 4096, 4097):
                data = os.urandom(size)
                peer.sendall(data)
                self.assertEqual(read_exactly(peer, size), data)
            peer.shutdown(socket.SHUT_WR)
            self.assertEqual(read_to_end(peer), b"")

    def test_many_at_once_with_megabytes(self):
        data = os.urandom(1 << 20)
        got = {}

        def talk(index, server):
            with server.connect() as peer:
                sender = threading.Thread(target=lambda: (peer.sendall(data), peer.shutdown(socket.SHUT_WR)))
                sender.start()
                got[index] = read_to_end(peer)
                sender.join()

        with Server() as server:
            talkers = [threading.Thread(target=talk, args=(i, server)) for i in range(20)]
            for each in talkers:
                each.start()
            for each in talkers:
                each.join()
        self.assertEqual(got, {i: data for i in range(20)})

    def test_a_reset_costs_one_session(self):
        with Server() as server, server.connect() as other:
            breaker = server.connect()
            breaker.sendall(b"x" * 100_000)
            breaker.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            breaker.close()
            other.sendall(b"still here")
            self.assertEqual(read_exactly(other, 10), b"still here")

    def test_ends_with_0_on_sigterm_although_connections_are_open(self):
        with Server() as server, server.connect() as idle:
            idle.sendall(b"a")
            self.assertEqual(read_exactly(idle, 1), b"a")
            server.terminate()
            self.assertEqual(server.wait()[0], 0)
            self.assertEqual(idle.recv(1), b"")

    def test_wrong_arguments(self):
        self.check_arguments()


server_support.main()
