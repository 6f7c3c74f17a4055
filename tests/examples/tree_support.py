# SPDX-License-Identifier: MIT
"""What the tests of tree_digest share: made trees, running the program, reading its lines as sha256sum does.

Times are hang guards; nothing is measured.
"""

import fcntl
import hashlib
import os
import shutil
import stat
import subprocess
import sys
import tempfile
import termios
import time
import unittest

PROGRAM = os.path.abspath(sys.argv.pop(1))  # each test program is called with it
HANG_SECONDS = 60


def write(path, content):
    with open(path, "wb") as file:
        file.write(content)


def content_of(seed, size):
    """Bytes that differ at every place and from file to file."""
    block = hashlib.sha512(b"%d" % seed).digest() * 16 + b"odd"
    return (block * (size // len(block) + 1))[:size]


def expected_digests(root):
    """Path -> digest of the regular files, as find -type f sees them."""
    digests = {}
    for folder, _, names in os.walk(root):
        for name in names:
            path = os.path.join(folder, name)
            if stat.S_ISREG(os.lstat(path).st_mode):
                with open(path, "rb") as file:
                    digests[path] = hashlib.sha256(file.read()).hexdigest().encode()
    return digests


def parse(output):
    """Path -> digest of the lines, by the rules of sha256sum. Each path once."""
    assert output == b"" or output.endswith(b"\n"), "the last line is not whole"
    digests = {}
    for line in output.split(b"\n")[:-1]:
        escaped = line.startswith(b"\\")
        digest, separator, path = line[1:].partition(b"  ") if escaped else line.partition(b"  ")
        assert separator and len(digest) == 64, line
        if escaped:
            assert b"\\" in path, line
            plain = b""
            while path:
                head, backslash, path = path.partition(b"\\")
                plain += head
                if backslash:
                    plain += {b"n": b"\n", b"r": b"\r", b"\\": b"\\"}[path[:1]]
                    path = path[1:]
            path = plain
        assert path not in digests, (path, "twice")
        digests[path] = digest
    return digests


def run(*arguments, **options):
    options.setdefault("stdout", subprocess.PIPE)
    options.setdefault("stderr", subprocess.PIPE)
    return subprocess.run([PROGRAM, *arguments], timeout=HANG_SECONDS, **options)


def open_files_below(pid, root):
    """Number of regular files below `root` that the process has open now."""
    count = 0
    folder = f"/proc/{pid}/fd"
    try:
        for number in os.listdir(folder):
            try:
                descriptor = os.path.join(folder, number)
                below = os.readlink(descriptor).startswith(os.fsdecode(root) + "/")
                if below and stat.S_ISREG(os.stat(descriptor).st_mode):
                    count += 1
            except OSError:
                pass  # closed meanwhile
    except OSError:
        pass  # ended meanwhile
    return count


def start(*arguments):
    return subprocess.Popen([PROGRAM, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE)


class TreeCase(unittest.TestCase):
    def setUp(self):
        self.top = os.fsencode(os.path.realpath(tempfile.mkdtemp(prefix="tree_digest_test-")))
        os.chmod(self.top, 0o755)
        self.addCleanup(shutil.rmtree, self.top)
        self.root = os.path.join(self.top, b"tree")
        os.mkdir(self.root)

    def below(self, *parts):
        return os.path.join(self.root, *parts)

    def sparse(self, name, size):
        """A file that costs time to read and no space."""
        with open(self.below(name), "wb") as file:
            file.truncate(size)

    def many_long_names(self, count):
        for i in range(count):
            write(self.below(b"%0200d" % i), content_of(i, i % 50))

    def assert_right(self, result, expected=None):
        self.assertEqual(result.stderr, b"")
        self.assertEqual(result.returncode, 0)
        if expected is None:
            expected = expected_digests(self.root)
        self.assertEqual(parse(result.stdout), expected)

    def wait_for_full_pipe(self, program):
        capacity = fcntl.fcntl(program.stdout, 1032)  # F_GETPIPE_SZ: in fcntl from Python 3.10 on
        deadline = time.monotonic() + HANG_SECONDS
        while time.monotonic() < deadline:
            waiting = int.from_bytes(fcntl.ioctl(program.stdout, termios.FIONREAD, b"\0" * 4), sys.byteorder)
            if waiting >= capacity * 3 // 4:
                return
            time.sleep(0.01)
        program.kill()
        self.fail("the pipe did not fill")
