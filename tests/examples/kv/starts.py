# SPDX-License-Identifier: MIT
"""kv_server: how it starts, and the tools of Redis."""

import shutil
import subprocess
import unittest

from kv.support import HANG, KvTest, run


class Starts(KvTest):
    def test_bad_arguments(self):
        for options, expected in [
                ("--what", "unknown argument '--what'"), ("--what 1", "unknown argument '--what'"),
                ("--port", "--port needs a value"), ("--port x", "--port must be a number"),
                ("--port 65536", "--port must be a number"), ("--save", "--save needs a value"),
                ("--workers 0", "--workers must be a number"), ("--host no.address", "--host")]:
            status, printed, said = run(*options.split())
            self.assertEqual((status, printed), (2, ""), options)
            self.assertIn("kv_server: " + expected, said)
            self.assertIn("usage: kv_server", said)

    def test_help(self):
        status, printed, said = run("--help")
        self.assertEqual((status, said), (0, ""))
        self.assertIn("--save FILE", printed)

    def test_port_in_use(self):
        server = self.start()
        status, printed, said = run("--port", str(server.port))
        self.assertEqual((status, printed), (1, ""))
        self.assertRegex(said, r"^kv_server: .*127\.0\.0\.1:%d.*in use" % server.port)

    def test_one_worker(self):
        server = self.start(workers=1)
        self.assertEqual(self.connect(server).call("PING"), b"+PONG")
        self.stop(server)


class RedisTools(KvTest):
    @unittest.skipUnless(shutil.which("redis-cli"), "redis-cli is not installed")
    def test_redis_cli(self):
        server = self.start()
        script = "set k v\nget k\nincr n\nlpush l a b\nlpop l 5\nmget k none\nfoo\nexpire k 100\n"
        process = subprocess.run(["redis-cli", "-p", str(server.port)], input=script,
                                 text=True, capture_output=True, timeout=HANG)
        self.assertEqual(process.returncode, 0)
        self.assertEqual([line for line in process.stdout.split("\n") if line],
                         ["OK", "v", "1", "2", "b", "a", "v",
                          "ERR unknown command 'foo', with args beginning with: ", "1"])

    @unittest.skipUnless(shutil.which("redis-benchmark"), "redis-benchmark is not installed")
    def test_redis_benchmark(self):
        server = self.start()
        tests = "ping,set,get,incr,lpush,lpop,mset"
        for pipeline, count in (("1", "2000"), ("16", "20000")):
            command = ["redis-benchmark", "-p", str(server.port), "-t", tests, "-n", count, "-c", "50", "-P", pipeline,
                       "-r", "1000", "-q", "--csv"]
            process = subprocess.run(command, text=True, capture_output=True, timeout=HANG)
            self.assertEqual((process.returncode, process.stderr), (0, ""))
            for name in ("PING_INLINE", "PING_MBULK", "SET", "GET", "INCR", "LPUSH", "LPOP", "MSET"):
                self.assertRegex(process.stdout, r'(?m)^"%s[^"]*","\d+\.' % name)
            self.assertNotIn("rror", process.stdout)
        self.stop(server)
