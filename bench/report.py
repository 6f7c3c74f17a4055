# SPDX-License-Identifier: MIT
"""What the commands of run.py report, and how: machine, tables, numbers."""

import contextlib
import json
import os
import re
import statistics
import subprocess
import sys
from pathlib import Path


def fail(message):
    sys.exit(f'run.py: {message}')


def machine(options):
    def first_match(path, pattern):
        match = re.search(pattern, Path(path).read_text(errors='replace'), re.MULTILINE)
        return match[1] if match else 'unknown'

    about = {'cpu': first_match('/proc/cpuinfo', r'^model name\s*:\s*(.*)$'), 'cpus': os.cpu_count(),
             'kernel': os.uname().release, 'load_average': os.getloadavg()[0]}
    with contextlib.suppress(OSError):
        about['compiler'] = first_match(options.build_dir / 'meson-logs/meson-log.txt',
                                        r'^C\+\+ compiler for the host machine: (.*)$')
    with contextlib.suppress(OSError, KeyError, ValueError):
        chosen = json.loads((options.build_dir / 'meson-info/intro-buildoptions.json').read_text())
        build = {option['name']: option['value'] for option in chosen}
        about['buildtype'] = build['buildtype']
        about['flags'] = ' '.join([f'-O{build["optimization"]}', *build['cpp_args']])
    commit = subprocess.run(['git', 'describe', '--always', '--dirty=+', '--exclude=*'], cwd=Path(__file__).parent,
                            capture_output=True, text=True)
    about['commit'] = commit.stdout.strip() or 'unknown'
    for key, value in about.items():
        print(f'{key}: {value}')
    if about.get('buildtype') not in ('release', None):
        print('WARNING: not a release build')
    if about['load_average'] > 0.5:
        print('WARNING: other programs use this machine: compare only what was measured side by side')
    print()
    return about


def table(rows):
    """As text, the first column to the left and the others to the right."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return '\n'.join('  '.join(cell.ljust(width) if column == 0 else cell.rjust(width)
                               for column, (cell, width) in enumerate(zip(row, widths))).rstrip() for row in rows)


def spread(values, form):
    return f'{form % statistics.median(values)} ({form % min(values)}-{form % max(values)})'


def scaled(seconds):
    for unit, factor in (('s', 1), ('ms', 1e3), ('us', 1e6)):
        if abs(seconds) * factor >= 1:
            return f'{seconds * factor:.3g} {unit}'
    return f'{seconds * 1e9:.3g} ns'


def finish(options, result):
    if options.json:
        options.json.write_text(json.dumps(result, indent=1) + '\n')
