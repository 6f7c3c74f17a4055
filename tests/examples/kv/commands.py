# SPDX-License-Identifier: MIT
"""kv_server: what each command answers."""

import random
import time

from kv.support import HANG, KvTest, multibulk


class Commands(KvTest):
    def setUp(self):
        self.server = self.start()
        self.client = self.connect(self.server)

    def test_strings(self):
        self.check(self.client, """
            GET k -> nil
            SET k v -> +OK
            GET k -> v
            get k -> v
            SET "" "empty key" -> +OK
            GET "" -> empty key
            EXISTS k -> 1
            EXISTS k none k -> 2
            DEL k none "" -> 2
            EXISTS k -> 0
            MSET a 1 b 2 a 3 -> +OK
            GET a -> "3"
            DBSIZE -> 2
        """)
        self.check(self.client, [
            (("MGET", "a", "none", "b"), [b"3", None, b"2"]), (("SET", "e", ""), b"+OK"), (("GET", "e"), b""),
            (("SET", b"\0\r\n\xff", b"\r\n\0\xfe"), b"+OK"), (("GET", b"\0\r\n\xff"), b"\r\n\0\xfe"),
        ])

    def test_set_options(self):
        self.check(self.client, """
            SET k 1 XX -> nil
            EXISTS k -> 0
            SET k 1 NX -> +OK
            SET k 2 nx -> nil
            SET k 3 xx EX 100 -> +OK
            GET k -> "3"
            TTL k -> 60..100
            SET k 4 px 50000 -> +OK
            TTL k -> 20..50
            SET k 5 -> +OK
            TTL k -> -1
            SET k v NX XX -> -ERR syntax error
            SET k v EX -> -ERR syntax error
            SET k v EX 1 PX 1 -> -ERR syntax error
            SET k v FOO -> -ERR syntax error
            SET k v EX 0 -> -ERR invalid expire time in 'set' command
            SET k v PX -1 -> -ERR invalid expire time in 'set' command
            SET k v EX 9223372036854775807 -> -ERR invalid expire time in 'set' command
            SET k v PX 9223372036854775807 -> -ERR invalid expire time in 'set' command
            SET k v EX x -> -ERR value is not an integer or out of range
            GET k -> "5"
        """)

    def test_incr(self):
        self.check(self.client, """
            INCR n -> 1
            INCR n -> 2
            SET n -1 -> +OK
            INCR n -> 0
            SET n 9223372036854775806 -> +OK
            INCR n -> 9223372036854775807
            INCR n -> -ERR increment or decrement would overflow
            INCR n -> -ERR increment or decrement would overflow
            SET n -9223372036854775808 -> +OK
            INCR n -> -9223372036854775807
        """)
        self.assertEqual(self.client.call("GET", "n"), b"-9223372036854775807")
        for text in ("", " ", "1 ", " 1", "+1", "01", "-0", "1.0", "x", "-", 2**63, -2**63 - 1, "1" * 40):
            self.assertEqual(self.client.call("SET", "n", text), b"+OK")
            self.assertEqual(self.client.call("INCR", "n"), b"-ERR value is not an integer or out of range")
            self.assertEqual(self.client.call("GET", "n"), str(text).encode())

    def test_lists(self):
        self.check(self.client, """
            LPOP l -> nil
            LPOP l 1 -> nil
            LPUSH l a -> 1
            LPUSH l b c -> 3
            LPOP l -> c
            LPOP l -1 -> -ERR value is out of range, must be positive
            LPOP l x -> -ERR value is out of range, must be positive
        """)
        self.check(self.client, [
            (("LPOP", "l", 0), []), (("LPOP", "l", 5), [b"b", b"a"]), (("EXISTS", "l"), 0), (("LPOP", "l"), None),
            (("LPUSH", "l", ""), 1), (("LPOP", "l", 1), [b""]),
        ])
        for i in range(3000):
            self.client.send(multibulk("LPUSH", "l", i))
        self.assertEqual([self.client.reply() for _ in range(3000)], list(range(1, 3001)))
        self.assertEqual(self.client.call("LPOP", "l", 2999), [str(i).encode() for i in range(2999, 0, -1)])
        self.assertEqual(self.client.call("LPOP", "l"), b"0")

    def test_wrong_type(self):
        wrong = "-WRONGTYPE Operation against a key holding the wrong kind of value"
        self.check(self.client, f"""
            LPUSH l x -> 1
            SET s x -> +OK
            GET l -> {wrong}
            INCR l -> {wrong}
            LPUSH s x -> {wrong}
            LPOP s -> {wrong}
            LPOP s 0 -> {wrong}
            SET l "now a string" -> +OK
            GET l -> now a string
            LPUSH m x -> 1
            EXISTS l s m -> 3
        """)
        self.assertEqual(self.client.call("MGET", "m", "s"), [None, b"x"])
        self.assertEqual(self.client.call("MSET", "m", "1", "s", "2"), b"+OK")
        self.assertEqual(self.client.call("MGET", "m", "s"), [b"1", b"2"])

    def test_connection(self):
        self.check(self.client, """
            PING -> +PONG
            ping hi -> hi
            ECHO hi -> hi
            COMMAND COUNT -> 17
            CONFIG SET save -> -ERR unknown subcommand 'SET'. Try CONFIG HELP.
            COMMAND FOO -> -ERR unknown subcommand 'FOO'. Try COMMAND HELP.
        """)
        self.check(self.client, [
            (("CONFIG", "GET", "save"), [b"save", b""]),
            (("CONFIG", "GET", "appendonly"), [b"appendonly", b"no"]),
            (("config", "get", "APPENDONLY", "save", "port"), [b"save", b"", b"appendonly", b"no"]),
            (("CONFIG", "GET", "none"), []), (("COMMAND", "DOCS"), []),
        ])
        table = {entry[0]: entry for entry in self.client.call("COMMAND")}
        self.assertEqual(len(table), 17)
        self.assertEqual(table[b"set"], [b"set", -3, [b"+write"], 1, 1, 1])
        self.client.send(multibulk("QUIT") + multibulk("PING"))
        self.assertEqual(self.client.reply(), b"+OK")
        self.assertTrue(self.client.at_end())

    def test_wrong_commands(self):
        wrong = b"-ERR wrong number of arguments for '%s' command"
        for name, counts in [
                (b"get", (1, 3)), (b"set", (1, 2)), (b"incr", (1, 3)), (b"lpush", (1, 2)), (b"lpop", (1, 4)),
                (b"mget", (1,)), (b"mset", (1, 2, 4)), (b"del", (1,)), (b"exists", (1,)), (b"expire", (1, 2)), (b"ttl", (1, 3)),
                (b"echo", (1, 3)), (b"ping", (3,)), (b"config", (1,)), (b"dbsize", (2,))]:
            for count in counts:
                self.assertEqual(self.client.call(name.upper(), *["1"] * (count - 1)), wrong % name, count)
        self.assertEqual(self.client.call("CONFIG", "GET"), wrong % b"config|get")
        unknown = b"-ERR unknown command '%s', with args beginning with: %s"
        self.check(self.client, [
            (("FOO",), unknown % (b"FOO", b"")), (("foo", "a", "b c"), unknown % (b"foo", b"'a' 'b c' ")),
            (("",), unknown % (b"", b"")), (("GET\0", "k"), unknown % (b"GET\0", b"'k' ")),
            ((" GET", "k"), unknown % (b" GET", b"'k' ")),
            (("a\r\n+OK", "b\nc"), unknown % (b"a  +OK", b"'b c' ")),
            (("x" * 200, "y" * 200), unknown % (b"x" * 128, b"'" + b"y" * 128 + b"' ")),
            (("PING",), b"+PONG"),
        ])

    def test_expiry(self):
        self.check(self.client, f"""
            TTL k -> -2
            EXPIRE k 10 -> 0
            SET k 1 -> +OK
            TTL k -> -1
            EXPIRE k 100 -> 1
            TTL k -> 60..100
            INCR k -> 2
            TTL k -> 60..100
            MSET k 1 -> +OK
            TTL k -> -1
            EXPIRE k x -> -ERR value is not an integer or out of range
            EXPIRE k 1 FOO -> -ERR Unsupported option FOO
            EXPIRE k {2**63 - 1} -> -ERR invalid expire time in 'expire' command
            EXPIRE k {-2**63} -> -ERR invalid expire time in 'expire' command
            EXISTS k -> 1
            EXPIRE k 0 -> 1
            EXISTS k -> 0
            LPUSH l a -> 1
            EXPIRE l -5 -> 1
            LPOP l -> nil
            SET soon x PX 30 -> +OK
            SET swept x PX 30 -> +OK
            LPUSH list x -> 1
            EXPIRE list 1 -> 1
            DBSIZE -> 1..3
        """)
        until = time.monotonic() + HANG
        while self.client.call("GET", "soon") is not None:  # when it is looked at
            self.assertLess(time.monotonic(), until)
            time.sleep(0.005)
        self.assertEqual(self.client.call("TTL", "soon"), -2)
        while self.client.call("DBSIZE") != 0:  # the others go although nobody looks at them
            self.assertLess(time.monotonic(), until)
            time.sleep(0.02)

    def test_many_keys_are_swept(self):
        self.client.send(b"".join(multibulk("SET", "key:%d" % i, "x", "PX", "1") for i in range(5000)))
        self.assertEqual({self.client.reply() for _ in range(5000)}, {b"+OK"})
        until = time.monotonic() + HANG
        while self.client.call("DBSIZE") != 0:
            self.assertLess(time.monotonic(), until)
            time.sleep(0.02)

    def test_large_values(self):
        value = random.Random(1).randbytes(1 << 20)
        for name in ("a", "b"):
            self.assertEqual(self.client.call("SET", name, value), b"+OK")
        self.assertEqual(self.client.call("GET", "a"), value)
        self.assertEqual(self.client.call("ECHO", value), value)
        self.assertEqual(self.client.call("LPUSH", "l", value, "x", value), 3)
        self.assertEqual(self.client.call("LPOP", "l", 3), [value, b"x", value])
        self.assertEqual(self.client.call("MGET", *["a", "b"] * 8), [value] * 16)
        self.assertEqual(self.client.call("SET", "a", "small"), b"+OK")
        self.assertEqual(self.client.call("GET", "a"), b"small")
        many = ["key:%d" % i for i in range(50000)]
        self.assertEqual(self.client.call("MSET", *[w for key in many for w in (key, key[4:])]), b"+OK")
        self.assertEqual(self.client.call("MGET", *many), [key[4:].encode() for key in many])
        self.assertEqual(self.client.call("DEL", *many), len(many))
