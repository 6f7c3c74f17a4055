#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Writes a source file that includes one public header, twice: it must compile alone, and know that it was included.

    header_alone.py INCLUDE_FOLDER HEADER OUTPUT.cpp
"""

import os
import sys

include, header, output = sys.argv[1:]
name = os.path.relpath(header, include)
with open(output, "w", encoding="utf-8") as source:
    source.write(f"#include <{name}>\n#include <{name}>\n")
