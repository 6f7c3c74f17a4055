# SPDX-License-Identifier: MIT
"""fetch_all against a server that fails in every way."""

import http.server
import socket
import subprocess
import sys
import threading
import unittest

HANG = 60
PROGRAM = sys.argv.pop(1)


class Answers(http.server.BaseHTTPRequestHandler):
    attempts = {}
    running = 0
    most = 0
    lock = threading.Lock()

    def do_GET(self):
        with self.lock:
            attempt = self.attempts[self.path] = self.attempts.get(self.path, 0) + 1
            Answers.running += 1
            Answers.most = max(Answers.most, Answers.running)
        try:
            if self.path.startswith("/good"):
                self.answer(200, b"x" * 100_000)
            elif self.path == "/second-time":
                self.answer(503 if attempt == 1 else 200, b"now")
            elif self.path == "/broken-first":
                if attempt == 1:
                    self.connection.shutdown(socket.SHUT_RDWR)
                else:
                    self.answer(200, b"whole")
            elif self.path == "/never":
                self.answer(500, b"")
            else:
                self.answer(404, b"")
        finally:
            with self.lock:
                Answers.running -= 1

    def answer(self, status, body):
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


class Fetching(unittest.TestCase):
    def setUp(self):
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answers)
        self.base = "http://127.0.0.1:%d" % self.server.server_address[1]
        Answers.attempts = {}
        self.thread = threading.Thread(target=self.server.serve_forever)
        self.thread.start()

    def tearDown(self):
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()

    def run_with(self, *paths):
        return subprocess.run([PROGRAM, *(self.base + path for path in paths)], capture_output=True, timeout=HANG, text=True)

    def test_many_at_a_time_but_not_too_many(self):
        result = self.run_with(*("/good/%d" % i for i in range(50)))
        self.assertEqual((result.returncode, result.stderr), (0, ""))
        self.assertEqual(result.stdout.count("200 100000 bytes"), 50)
        self.assertLessEqual(Answers.most, 8)

    def test_what_passes_is_tried_again(self):
        result = self.run_with("/second-time", "/broken-first")
        self.assertEqual(result.returncode, 0, result.stdout)
        self.assertEqual(Answers.attempts, {"/second-time": 2, "/broken-first": 2})

    def test_what_does_not_pass_is_given_up(self):
        result = self.run_with("/never", "/good", "/none")
        self.assertEqual(result.returncode, 1)
        self.assertRegex(result.stdout, r"failed after \d+ ms: %s/never: status 500" % self.base)
        self.assertIn("404 0 bytes", result.stdout)
        self.assertIn("200 100000 bytes", result.stdout)
        self.assertEqual(Answers.attempts["/never"], 3)

    def test_a_server_that_says_nothing_is_given_up(self):
        with socket.create_server(("127.0.0.1", 0)) as mute:
            address = "http://127.0.0.1:%d/" % mute.getsockname()[1]
            result = subprocess.run([PROGRAM, address], capture_output=True, timeout=HANG, text=True)
        self.assertEqual(result.returncode, 1)
        self.assertIn("timeout after 2000 ms", result.stdout)

    def test_wrong_arguments(self):
        self.assertEqual(subprocess.run([PROGRAM], capture_output=True).returncode, 2)
        result = subprocess.run([PROGRAM, "ftp://x/"], capture_output=True, text=True)
        self.assertEqual((result.returncode, result.stderr), (2, "fetch_all: not an http:// address: ftp://x/\n"))


unittest.main()
