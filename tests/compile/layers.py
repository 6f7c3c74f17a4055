#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Reads the #include lines of include/ and runtime/ against the layers, and names every line that breaks them.

    layers.py PROJECT_FOLDER     checks the project
    layers.py --prove            checks that broken layers are found

The picture is in runtime/README.md. A unit is a folder, or files that belong elsewhere than their folder says. Each unit lists all the
units that it may include; what it lists is below it. Public headers of a folder and its sources in runtime/ are one unit.
"""

import os
import re
import sys
import tempfile

# unit: the units it may include besides itself.
LAYERS = {
    # 0
    "base": [],
    "error": ["base"],
    # 1
    "task": ["base", "error"],                        # with the driver seam, operations and blocking threads
    # 2: what stands behind or beside the seam. They do not know each other, but for the wheel, which every worker holds.
    "wheel": ["base", "task"],
    "sched": ["base", "error", "task", "wheel"],
    "uring": ["base", "error", "task"],
    "epoll": ["base", "error", "task"],
    "sim_driver": ["base", "error", "task"],
    # 3: joins them
    "pool": ["base", "error", "task", "sched", "uring", "epoll", "wheel"],
    # 4: know tasks and the seam only, so they run on any driver
    "time": ["base", "error", "task", "wheel"],
    "combine": ["base", "error", "task", "time", "wheel"],
    "io": ["base", "combine", "error", "task"],       # concepts that net, fs and process share, and what is built on them
    "parallel": ["base", "error", "task"],
    "sync": ["base", "combine", "error", "task"],
    "fs": ["base", "error", "io", "task", "time"],
    "net": ["base", "combine", "error", "fs", "io", "sync", "task", "time"],  # fs: send_file()
    # 5: run_until_terminated() takes a pool; by its public header
    "process": ["base", "combine", "error", "io", "task", "time", "pool"],
    # a server on all workers of a pool; by its public header, too
    "serve": ["base", "error", "io", "task", "time", "net", "pool"],
    # the assembly for tests, and what it makes streams of
    "sim": ["base", "error", "task", "sched", "wheel", "pool", "net", "sim_driver"],
    # a program beside the library
    "doctor": ["base", "pool", "uring"],
    "everything": ["combine", "error", "fs", "io", "net", "parallel", "pool", "process", "serve", "sync", "task", "time"],
}

# Where files belong: the longest beginning that fits.
UNITS = {
    "include/peal/combine/": "combine",
    "include/peal/error.hpp": "error",
    "include/peal/peal.hpp": "everything",
    "include/peal/detail/": "task",
    "include/peal/detail/atomic.hpp": "base",
    "include/peal/detail/config.hpp": "base",
    "include/peal/detail/spin_lock.hpp": "base",
    "include/peal/detail/thread_mutex.hpp": "base",
    "include/peal/fs/": "fs",
    "include/peal/histogram.hpp": "base",
    "include/peal/io/": "io",
    "include/peal/net/": "net",
    "include/peal/net/serve.hpp": "serve",
    "include/peal/parallel/": "parallel",
    "include/peal/pool/": "pool",
    "include/peal/process/": "process",
    "include/peal/sim/": "sim",
    "include/peal/sync/": "sync",
    "include/peal/task/": "task",
    "include/peal/time/": "time",
    "include/peal/uring/": "uring",
    "runtime/base/": "base",
    "runtime/combine/": "combine",
    "runtime/doctor/": "doctor",
    "runtime/epoll/": "epoll",
    "runtime/fs/": "fs",
    "runtime/io/": "io",
    "runtime/net/": "net",
    "runtime/net/serve.cpp": "serve",
    "runtime/pool/": "pool",
    "runtime/process/": "process",
    "runtime/sched/": "sched",
    "runtime/sim/": "sim",
    "runtime/sim/simulated_driver.": "sim_driver",
    "runtime/sync/": "sync",
    "runtime/task/": "task",
    "runtime/time/": "time",
    "runtime/time/wheel.": "wheel",
    "runtime/uring/": "uring",
}

# Headers of the system that few may include: beginning of the name, units.
RESERVED = {
    "liburing": ["uring"],
    "linux/": ["base", "uring", "sched"],  # base: membarrier; sched: the futex of sync_wait()
}

# These may include public headers of the pool, and nothing of its inside.
PUBLIC_ONLY = {("process", "pool"), ("serve", "pool")}

INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]')


def unit_of(path):
    fitting = [beginning for beginning in UNITS if path.startswith(beginning)]
    return UNITS[max(fitting, key=len)] if fitting else None


def included_file(path, quote, name):
    """The project's own file that a line names; None for the system's."""
    if quote == "<":
        return "include/" + name if name.startswith("peal/") else None
    return os.path.normpath(os.path.join(os.path.dirname(path), name)).replace(os.sep, "/")


def complaint(root, path, quote, name):
    """What is wrong with one include line, None if nothing."""
    own = unit_of(path)
    if own is None:
        return "this file belongs to no layer: add its folder to tests/compile/layers.py"
    target = included_file(path, quote, name)
    public = path.startswith("include/")
    if public and quote == '"':
        return "a public header includes others as <peal/...>"
    if target is None:
        if public and re.search(r"[./]", name):
            return "a public header includes the standard library and <peal/...> only"
        for beginning, users in RESERVED.items():
            if name.startswith(beginning) and own not in users:
                return f"only {' and '.join(users)} may know <{name}>"
        return None
    if not os.path.exists(os.path.join(root, target)):
        return "there is no such file"
    below = unit_of(target)
    if below is None:
        return f"{target} belongs to no layer: add its folder to tests/compile/layers.py"
    if below != own and below not in LAYERS[own]:
        return f"{own} may know {', '.join(LAYERS[own]) or 'nothing'}; not {below}"
    if (own, below) in PUBLIC_ONLY and not target.startswith("include/"):
        return f"{own} may know the public headers of {below} only"
    return None


def violations(root):
    found = []
    lines_read = 0
    for top in ("include", "runtime"):
        for folder, folders, files in os.walk(os.path.join(root, top)):
            folders.sort()
            for file in sorted(files):
                if not file.endswith((".hpp", ".cpp")):
                    continue
                full = os.path.join(folder, file)
                path = os.path.relpath(full, root).replace(os.sep, "/")
                with open(full, encoding="utf-8") as source:
                    for number, line in enumerate(source, 1):
                        match = INCLUDE.match(line)
                        if not match:
                            continue
                        lines_read += 1
                        wrong = complaint(root, path, *match.groups())
                        if wrong:
                            found.append(f"{path}:{number}: {line.strip()}\n    {wrong}")
    return found, lines_read


def cycles():
    """Units that are above and below each other."""
    def reaches(start, goal, seen):
        return any(unit == goal or (unit not in seen and reaches(unit, goal, seen | {unit})) for unit in LAYERS[start])
    return [unit for unit in LAYERS if reaches(unit, unit, set())]


def prove():
    """One line of each kind of violation, and one that is right."""
    broken = {
        "runtime/net/bad.cpp": '#include "../uring/ring.hpp"',
        "runtime/sched/bad.cpp": '#include "../uring/ring.hpp"',
        "runtime/uring/bad.cpp": '#include "../sched/worker.hpp"',
        "runtime/base/bad.cpp": "#include <peal/task/task.hpp>",
        "runtime/fs/bad.cpp": "#include <liburing.h>",
        "runtime/process/bad.cpp": '#include "../pool/core.hpp"',
        "runtime/task/bad.cpp": '#include "no_such_file.hpp"',
        "runtime/unknown/bad.cpp": "#include <peal/task/task.hpp>",
        "include/peal/net/bad.hpp": "#include <linux/futex.h>",
        "include/peal/net/worse.hpp": "#include <sys/socket.h>",
        "include/peal/task/bad.hpp": '  #  include "../../../runtime/task/driver.hpp"',
        "include/peal/time/bad.hpp": "#include <peal/pool/pool.hpp>",
    }
    right = {
        "runtime/uring/ring.hpp": "#include <liburing.h>",
        "runtime/sched/worker.hpp": "#include <peal/task/task.hpp>",
        "runtime/pool/core.hpp": '#include "../sched/worker.hpp"',
        "include/peal/task/task.hpp": "#include <coroutine>",
        "include/peal/pool/pool.hpp": "#include <peal/task/task.hpp>",
    }
    with tempfile.TemporaryDirectory() as root:
        for path, line in {**broken, **right}.items():
            full = os.path.join(root, path)
            os.makedirs(os.path.dirname(full), exist_ok=True)
            with open(full, "w", encoding="utf-8") as source:
                source.write("// a comment\n" + line + "\n")
        named = {text.split(":")[0] for text in violations(root)[0]}
    missed = sorted(set(broken) - named)
    wronged = sorted(named - set(broken))
    for path in missed:
        print(f"not found: {path}: {broken[path]}")
    for path in wronged:
        print(f"not wrong: {path}: {right[path]}")
    return 1 if missed or wronged else 0


def main():
    if sys.argv[1:] == ["--prove"]:
        return prove()
    found, lines_read = violations(sys.argv[1])
    for text in found:
        print(text)
    for unit in cycles():
        print(f"the layers of {unit} form a circle")
    print(f"{lines_read} #include lines, {len(found)} against the layers")
    return 1 if found or cycles() or lines_read == 0 else 0


if __name__ == "__main__":
    sys.exit(main())
