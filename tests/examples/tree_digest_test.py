#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""tree_digest on made trees: its digests beside those of hashlib and sha256sum, its bounds, its complaints.

Usage: tree_digest_test.py PROGRAM [unittest options]. Standard library only.
"""

import hashlib
import os
import resource
import shutil
import socket
import subprocess
import threading
import unittest

from tree_support import HANG_SECONDS, PROGRAM, TreeCase, content_of, expected_digests, open_files_below, parse
from tree_support import run, start, write

BUFFER = 64 * 1024  # digester::buffer_bytes in examples/digest/digester.hpp
NOBODY = 65534
ODD_NAMES = [b"with space", b" ", b"trailing ", b"-", b"-leading", b"--help", b"*star", b"tab\t", b"'quote\"", b"x" * 255,
             b"new\nline", b"\n", b"back\\slash", b"\\", b"\\n", b"re\rturn", b"all \\ of \n them \r",
             b"\xff\xfe not utf-8 \x80", b"\xc3\xa4 is utf-8", b"bell\x07\x1b[31m"]


class Digests(TreeCase):
    def make_everything(self):
        for i, size in enumerate([0, 1, 55, 56, 63, 64, 4096, BUFFER - 1, BUFFER, BUFFER + 1, 2 * BUFFER,
                                  4 * BUFFER, 5 * BUFFER + 17, 5_000_000]):
            write(self.below(b"size-%d" % size), content_of(i, size))
        names = self.below(b"names")
        os.mkdir(names)
        for i, name in enumerate(ODD_NAMES):
            write(os.path.join(names, name), content_of(100 + i, 10 * i))
        deep = self.root
        for i in range(100):
            deep = os.path.join(deep, b"deep-%d" % i)
            os.mkdir(deep)
            write(os.path.join(deep, b"file"), content_of(i, i))
        many = self.below(b"many")
        os.mkdir(many)
        for i in range(3000):
            write(os.path.join(many, b"%d" % i), content_of(i, i % 700))
        os.mkdir(self.below(b"empty"))
        # None of these is a regular file.
        os.symlink(b"size-1", self.below(b"link to a file"))
        os.symlink(b"many", self.below(b"link to a folder"))
        os.symlink(b"..", os.path.join(many, b"loop"))
        os.symlink(b"itself", self.below(b"itself"))
        os.symlink(b"nowhere", self.below(b"dangling"))
        os.mkfifo(self.below(b"fifo"))
        bound = socket.socket(socket.AF_UNIX)
        self.addCleanup(bound.close)
        here = os.getcwd()
        os.chdir(self.root)  # the path of a socket may have 108 bytes only
        bound.bind(b"socket")
        os.chdir(here)

    def test_everything_with_any_number_of_workers_and_open_files(self):
        self.make_everything()
        expected = expected_digests(self.root)
        self.assertGreater(len(expected), 3100)
        for arguments in ([], ["--workers", "1"], ["--workers", "4"], ["--open-files", "1"],
                          ["--open-files", "1", "--workers", "3"], ["--open-files", "500"]):
            with self.subTest(arguments=arguments):
                self.assert_right(run(*arguments, self.root), expected)

    @unittest.skipUnless(shutil.which("sha256sum"), "no sha256sum")
    def test_sha256sum_accepts_it(self):
        self.make_everything()
        digests = run(self.root).stdout
        checked = subprocess.run(["sha256sum", "-c", "--quiet", "--strict"], input=digests, capture_output=True,
                                 timeout=HANG_SECONDS)
        self.assertEqual((checked.returncode, checked.stdout, checked.stderr), (0, b"", b""))
        # And line by line what sha256sum prints itself.
        paths = list(expected_digests(self.root))
        theirs = subprocess.run(["sha256sum", "--", *paths], capture_output=True, timeout=HANG_SECONDS,
                                check=True).stdout
        self.assertEqual(sorted(digests.splitlines()), sorted(theirs.splitlines()))

    def test_forms_of_the_root(self):
        write(self.below(b"a"), b"alpha")
        write(self.below(b"-"), b"dash")
        alpha = hashlib.sha256(b"alpha").hexdigest().encode()
        dash = hashlib.sha256(b"dash").hexdigest().encode()
        inside = {b"a": alpha, b"-": dash}
        link = os.path.join(self.top, b"link")
        os.symlink(self.root, link)
        os.rename(self.root, os.path.join(self.top, b"-tree"))
        os.symlink(b"-tree", self.root)  # so that self.root still leads there

        def named(prefix):
            return {prefix + name: digest for name, digest in inside.items()}

        self.assert_right(run(self.root), named(self.root + b"/"))
        self.assert_right(run(self.root + b"/"), named(self.root + b"/"))
        self.assert_right(run(link), named(link + b"/"))
        self.assert_right(run(".", cwd=self.root), named(b"./"))
        self.assert_right(run("--", "-tree", cwd=self.top), named(b"-tree/"))
        self.assert_right(run("--open-files", "2", "--", "-tree", cwd=self.top), named(b"-tree/"))
        self.assert_right(run(self.below(b"a")), {self.below(b"a"): alpha})
        # "-" alone would be standard input for sha256sum.
        self.assert_right(run("--", "-", cwd=self.root), {b"./-": dash})
        os.mkdir(os.path.join(self.top, b"empty"))
        self.assert_right(run(os.path.join(self.top, b"empty")), {})


class Bounds(TreeCase):
    def test_as_many_open_files_as_allowed(self):
        for i in range(40):
            self.sparse(b"%d" % i, 8_000_000)
        most = 0
        for _ in range(20):  # until a look came at the right time
            program = subprocess.Popen([PROGRAM, "--workers", "1", "--open-files", "4", self.root],
                                       stdout=subprocess.DEVNULL)
            while program.poll() is None:
                most = max(most, open_files_below(program.pid, self.root))
            self.assertEqual(program.returncode, 0)
            if most >= 4:
                break
        self.assertEqual(most, 4)

    def test_few_descriptors(self):
        for i in range(2000):
            write(self.below(b"%d" % i), content_of(i, i))
        os.makedirs(self.below(b"some/way/down"))
        write(self.below(b"some/way/down/file"), b"x")
        for limit in (48, 36):
            with self.subTest(limit=limit):
                result = run("--open-files", "64", "--workers", "2", self.root,
                             preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit)))
                self.assert_right(result)

    def skip_if_the_sanitizer_needs_descriptors(self):
        with open(PROGRAM, "rb") as program:
            if b"__ubsan" in program.read():
                self.skipTest("UndefinedBehaviorSanitizer needs descriptors for itself")

    def test_no_descriptors_any_more(self):
        self.skip_if_the_sanitizer_needs_descriptors()
        self.many_long_names(2000)
        expected = expected_digests(self.root)
        program = start("--open-files", "2", self.root)
        self.wait_for_full_pipe(program)  # so it is not through yet
        resource.prlimit(program.pid, resource.RLIMIT_NOFILE, (3, 3))
        output, messages = program.communicate(timeout=HANG_SECONDS)
        self.assertEqual(program.returncode, 1)
        digests = parse(output)
        complaint = b": Too many open files"
        for message in messages.splitlines():
            self.assertTrue(message.endswith(complaint), message)
            path = message.removeprefix(b"tree_digest: ").removesuffix(complaint)
            self.assertNotIn(path, digests)
            digests[path] = expected[path]
        self.assertEqual(digests, expected)

    def test_too_few_descriptors_for_the_program(self):
        self.skip_if_the_sanitizer_needs_descriptors()
        result = run(self.root, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (5, 5)))
        self.assertEqual(result.returncode, 1)
        self.assertEqual(result.stdout, b"")
        self.assertIn(b"ulimit -n", result.stderr)


class Failures(TreeCase):
    def test_missing_root(self):
        result = run(self.below(b"nowhere"))
        self.assertEqual((result.returncode, result.stdout), (1, b""))
        self.assertEqual(result.stderr, b"tree_digest: " + self.below(b"nowhere") + b": No such file or directory\n")

    def run_without_rights(self, *arguments):
        """As a user whose rights are checked."""
        if os.geteuid() != 0:
            return run(*arguments)
        try:
            return run(*arguments, user=NOBODY, group=NOBODY, extra_groups=[])
        except PermissionError:
            self.skipTest("another user cannot run the program where it was built")

    def test_unreadable(self):
        write(self.below(b"good"), b"good")
        write(self.below(b"closed\n\x1b[31m"), b"secret")
        os.chmod(self.below(b"closed\n\x1b[31m"), 0)
        os.mkdir(self.below(b"folder"))
        write(self.below(b"folder", b"inside"), b"secret")
        os.chmod(self.below(b"folder"), 0)
        self.addCleanup(os.chmod, self.below(b"folder"), 0o755)
        result = self.run_without_rights(self.root)
        self.assertEqual(result.returncode, 1)
        self.assertEqual(parse(result.stdout), {self.below(b"good"): hashlib.sha256(b"good").hexdigest().encode()})
        self.assertEqual(sorted(result.stderr.splitlines()), [
            b"tree_digest: " + self.root + b"/closed\\012\\033[31m: Permission denied",
            b"tree_digest: " + self.root + b"/folder: Permission denied",
        ])

    def test_unreadable_root(self):
        os.chmod(self.root, 0)
        self.addCleanup(os.chmod, self.root, 0o755)
        result = self.run_without_rights(self.root)
        self.assertEqual((result.returncode, result.stdout), (1, b""))
        self.assertEqual(result.stderr, b"tree_digest: " + self.root + b": Permission denied\n")

    def test_a_path_longer_than_the_system_takes(self):
        write(self.below(b"good"), b"good")
        folder = os.open(self.root, os.O_RDONLY)
        for _ in range(20):
            os.mkdir(b"d" * 250, dir_fd=folder)
            inner = os.open(b"d" * 250, os.O_RDONLY, dir_fd=folder)
            os.close(folder)
            folder = inner
        os.close(os.open(b"file", os.O_CREAT | os.O_WRONLY, dir_fd=folder))
        os.close(folder)
        result = run(self.root)
        self.assertEqual(result.returncode, 1)
        self.assertEqual(list(parse(result.stdout)), [self.below(b"good")])
        self.assertEqual(result.stderr.count(b"\n"), 1)
        self.assertTrue(result.stderr.endswith(b"d/file: File name too long\n"))

    def test_files_that_vanish(self):
        count = 4000
        for i in range(40):
            os.mkdir(self.below(b"%d" % i))
        paths = [self.below(b"%d" % (i % 40), b"%d" % i) for i in range(count)]
        for i, path in enumerate(paths):
            write(path, content_of(i, i % 5000))
        expected = expected_digests(self.root)
        vanishing = set(paths[::2])
        program = start(self.root)

        def delete():
            for path in paths[::-2] if paths[-1] in vanishing else paths[-2::-2]:
                os.unlink(path)

        deleting = threading.Thread(target=delete)
        deleting.start()
        output, messages = program.communicate(timeout=HANG_SECONDS)
        deleting.join()
        digests = parse(output)
        for path, digest in digests.items():
            self.assertEqual(digest, expected[path])
        self.assertEqual(set(expected) - vanishing, set(digests) - vanishing)
        for message in messages.splitlines():
            self.assertRegex(message, rb"^tree_digest: /.*: No such file or directory$")
        self.assertEqual(program.returncode, 1 if messages else 0)


class Arguments(unittest.TestCase):
    def test_wrong(self):
        for arguments, complaint in [
            ([], b"DIR is missing"),
            (["--workers", "2"], b"DIR is missing"),
            (["--"], b"DIR is missing"),
            ([""], b"DIR is empty"),
            (["a", "b"], b"'b' is a second DIR"),
            (["--bogus", "a"], b"unknown option '--bogus'"),
            (["-x"], b"unknown option '-x'"),
            (["a", "--workers"], b"--workers needs a value"),
            (["--workers", "x", "a"], b"--workers must be a number from 0 to 1024, not 'x'"),
            (["--workers", "-1", "a"], b"--workers must be a number"),
            (["--workers", "1025", "a"], b"--workers must be a number"),
            (["--open-files", "0", "a"], b"--open-files must be a number from 1 to 4096, not '0'"),
            (["--open-files", "99999999999999999999", "a"], b"--open-files must be a number"),
            (["--open-files", "", "a"], b"--open-files must be a number"),
        ]:
            with self.subTest(arguments=arguments):
                result = run(*arguments)
                self.assertEqual((result.returncode, result.stdout), (2, b""))
                self.assertIn(complaint, result.stderr.splitlines()[0])
                self.assertIn(b"usage: tree_digest", result.stderr)

    def test_help(self):
        result = run("--help")
        self.assertEqual((result.returncode, result.stderr), (0, b""))
        for word in (b"usage: tree_digest", b"--workers", b"--open-files", b"sha256sum -c"):
            self.assertIn(word, result.stdout)


if __name__ == "__main__":
    unittest.main()
