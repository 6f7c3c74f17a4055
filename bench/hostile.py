# SPDX-License-Identifier: MIT
"""`run.py siege` and `run.py starve`: echo_server among hostile clients, and with fewer descriptors than callers, by each driver."""

import json
import subprocess

from report import fail, finish, machine, table
from servers import prepare, server

DRIVERS = ['uring', 'epoll']


def run(options, program, driver, *arguments):
    """`program` against an echo_server of its own; gives what it measured."""
    with server(options, 'examples/echo_server', '--workers', str(options.workers), environment={'PEAL_DRIVER': driver},
                real_time=options.real_time) as (pid, port):
        command = [options.build_dir / 'bench/load' / program, '--port', port, '--pid', str(pid), '--json', *arguments]
        ran = subprocess.run(command, stdout=subprocess.PIPE, text=True, preexec_fn=lambda: prepare(options.load_cpu))
    if ran.returncode != 0:
        fail(f'{program} ended with status {ran.returncode}')
    return json.loads(ran.stdout)


def siege(options):
    result = {'machine': machine(options), 'rounds': {driver: [] for driver in DRIVERS}}
    rows = [['driver', 'phase', 'kept p50, us', 'p99', 'fresh p50', 'p99', 'server CPU', 'resets/s', 'p99 of quiet', 'B per idle', 'descriptors']]
    for _ in range(options.rounds):
        for driver in DRIVERS:
            seen = run(options, 'siege', driver, '--idle', str(options.idle), '--slow', str(options.slow), '--resets', str(options.resets),
                       '--seconds', str(options.seconds))
            result['rounds'][driver].append(seen)
            for phase in ['quiet', 'idle', 'slow', 'siege', 'after']:
                of = seen[phase]
                last = phase == 'siege'
                rows.append([driver, phase, *(f'{of[key]:.0f}' for key in ['kept_p50_us', 'kept_p99_us', 'fresh_p50_us', 'fresh_p99_us']),
                             f'{of["server_cpu"]:.2f}', f'{of["resets_per_second"]:.0f}', f'{seen["p99_ratio"]:.2f}' if last else '',
                             f'{seen["bytes_per_idle"]:.0f}' if last else '',
                             f'{seen["descriptors_before"]} {seen["descriptors_after"]}' if last else ''])
    print(f'{options.idle} idle connections, then {options.slow} that send a byte a second, then {options.resets} resets a second; '
          'latency of 64 bytes on a kept and on a fresh connection')
    print(table(rows))
    finish(options, result)


def starve(options):
    result = {'machine': machine(options), 'rounds': {driver: [] for driver in DRIVERS}}
    rows = [['driver', 'served at first', 'CPU while starved', 'served again, p50', 'max']]
    for _ in range(options.rounds):
        for driver in DRIVERS:
            seen = run(options, 'starve', driver, '--attempts', str(options.attempts), '--descriptors', str(options.descriptors),
                       '--seconds', str(options.seconds), '--rounds', str(options.releases))
            result['rounds'][driver].append(seen)
            rows.append([driver, str(seen['served_at_first']), f'{100 * seen["starved_cpu"]:.2f} %', f'{seen["again_p50_ms"]:.1f} ms',
                         f'{seen["again_max_ms"]:.1f} ms'])
    print(f'{options.attempts} attempts to connect to a server that may have {options.descriptors} descriptors')
    print(table(rows))
    finish(options, result)
