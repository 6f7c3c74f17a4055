#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Wrong uses of peal must not compile, and the compiler must say the words that help.

    must_not_compile.py INCLUDE_FOLDER CASE.cpp... -- COMPILER [ARGUMENT...]

A case is a file that compiles as it is, and does not with -DWRONG. Its head says which words are expected, one line each:
`// expect: words` of every compiler, `// expect-g++: words` and `// expect-clang: words` of one; which arguments it needs besides:
`// flags: -Werror`; and `// only: clang` if g++ does not see it.
"""

import concurrent.futures
import os
import subprocess
import sys


def directives(path, key):
    prefix = f"// {key}: "
    with open(path, encoding="utf-8") as source:
        return [line[len(prefix):].strip() for line in source if line.startswith(prefix)]


def compile_case(compiler, include, path, arguments):
    command = compiler + ["-std=c++20", "-fsyntax-only", "-Wall", "-Wextra", "-I", include, *arguments, path]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "LC_ALL": "C"})
    return done.returncode == 0, done.stderr


def name_of(compiler):
    version = subprocess.run(compiler + ["--version"], capture_output=True, text=True).stdout
    return "clang" if "clang" in version else "g++"


def check(compiler, name, include, path):
    """Gives what is wrong with a case, "" if nothing."""
    if any(only != name for only in directives(path, "only")):
        return ""
    flags = [flag for line in directives(path, "flags") for flag in line.split()]
    expected = directives(path, "expect") + directives(path, "expect-" + name)
    if not expected:
        return "the file says no `// expect: words`"
    good, messages = compile_case(compiler, include, path, flags)
    if not good:
        return "the right form does not compile:\n" + messages
    good, messages = compile_case(compiler, include, path, flags + ["-DWRONG"])
    if good:
        return "the wrong form compiles"
    plain = " ".join(messages.split())
    missing = [words for words in expected if words not in plain]
    if missing:
        return "the compiler does not say:\n    " + "\n    ".join(missing) + "\nbut:\n" + messages
    return ""


def main():
    split = sys.argv.index("--")
    include, cases, compiler = sys.argv[1], sys.argv[2:split], sys.argv[split + 1:]
    failures = 0
    name = name_of(compiler)
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as compilers:
        verdicts = list(compilers.map(lambda path: check(compiler, name, include, path), cases))
    for path, wrong in zip(cases, verdicts):
        if wrong:
            failures += 1
            print(f"{path}: {wrong}")
    print(f"{len(cases)} cases, {failures} failed")
    return 1 if failures or not cases else 0


if __name__ == "__main__":
    sys.exit(main())
