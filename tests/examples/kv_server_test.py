# SPDX-License-Identifier: MIT
"""Tests of examples/kv_server as its users see it: over sockets, by signals, by its file.

Run: kv_server_test.py KV_SERVER [Class.test ...]
"""

import os
import sys
import unittest

sys.dont_write_bytecode = True  # the folder belongs to the source

from kv.commands import Commands
from kv.ends import Ends, Saves
from kv.framing import Framing
from kv.starts import RedisTools, Starts
from kv.together import Together
from server_support import Server

__all__ = ["Commands", "Ends", "Framing", "RedisTools", "Saves", "Starts", "Together"]

if __name__ == "__main__":
    Server.program = os.path.abspath(sys.argv.pop(1))
    unittest.main(verbosity=2)
