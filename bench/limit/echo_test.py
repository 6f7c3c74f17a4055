#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Does an echo server return every byte, in order, whatever its peers do?   echo_test.py PROGRAM [ARGUMENT]...

Peers that read late, end their half early, break off, and come again after that: what echo_load does not do.
"""

import random
import re
import socket
import struct
import subprocess
import sys
import threading

LATE_BYTES = 24 << 20  # more than the sockets and the server's buffers hold


def connect(port):
    peer = socket.create_connection(('127.0.0.1', port), timeout=20)
    peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return peer


def read_all(peer, count):
    parts = []
    while count != 0:
        part = peer.recv(min(count, 1 << 20))
        if not part:
            break
        parts.append(part)
        count -= len(part)
    return b''.join(parts)


def expect(holds, what):
    if not holds:
        sys.exit(f'echo_test: {what}')


def echoes(port):
    with connect(port) as peer:
        for size in (1, 64, 4096, 5000, 200_000):
            sent = random.randbytes(size)
            peer.sendall(sent)
            expect(read_all(peer, size) == sent, f'another echo of {size} bytes')


def reads_late_and_ends_its_half(port):
    """The server has to wait with its sends, and sends the rest though no more comes."""
    with connect(port) as peer:
        sent = random.randbytes(LATE_BYTES)

        def send():
            peer.sendall(sent)
            peer.shutdown(socket.SHUT_WR)

        sender = threading.Thread(target=send)
        sender.start()
        sender.join(0.3)
        expect(read_all(peer, LATE_BYTES + 1) == sent, 'a late reader got something else')
        sender.join()


def breaks_off(port):
    """A reset while echoes are under way."""
    peer = connect(port)
    peer.sendall(bytes(100_000))
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0))
    peer.close()


def main():
    server = subprocess.Popen([*sys.argv[1:], '--port', '0'], stdout=subprocess.PIPE, text=True)
    try:
        port = int(re.search(r':(\d+)\n', server.stdout.readline())[1])
        late = threading.Thread(target=reads_late_and_ends_its_half, args=[port])
        late.start()
        for _ in range(20):
            breaks_off(port)
            echoes(port)
        late.join()
        echoes(port)
        expect(server.poll() is None, 'the server ended')
    finally:
        server.terminate()
        server.wait()


if __name__ == '__main__':
    main()
