# SPDX-License-Identifier: MIT
"""run.py io: servers and readers of files beside the limit: what programs on liburing alone get from this kernel."""

import argparse
import json
import math
import os
import random
import re
import shutil
import statistics
import struct
import subprocess
import sys
from pathlib import Path

from report import fail, finish, machine, spread, table
from servers import calls_per_request, counters, for_seconds, load, server

LIMIT_ECHO = 'bench/limit/limit_echo'
LIMIT_READ = 'bench/limit/limit_read'
PAGE_BYTES = 4096

# Name: program and arguments. Those of LIMITS are the ruler; what is not built is left out.
LIMITS = {
    'limit multishot': [LIMIT_ECHO, '--mode', 'multishot'],
    'limit multishot-cqe': [LIMIT_ECHO, '--mode', 'multishot-cqe'],
    'limit single': [LIMIT_ECHO, '--mode', 'single'],
    'limit cqe coop': [LIMIT_ECHO, '--mode', 'multishot-cqe', '--ring', 'coop'],
    'limit single coop': [LIMIT_ECHO, '--mode', 'single', '--ring', 'coop'],
    'limit spin': [LIMIT_ECHO, '--mode', 'multishot', '--spin', '50'],
}
PEERS = {
    'peal': ['bench/compare/peal_echo'],
    'peal exclusive': ['bench/compare/peal_echo', '--ring', 'exclusive'],
    'asio': ['bench/compare/asio_echo'],
    'epoll': ['bench/compare/epoll_echo'],
    'libuv': ['bench/compare/uv_echo'],
    'tokio': ['bench/compare/tokio_echo'],
    'go': ['bench/compare/go_echo'],
}
SAME_BUFFER = {'libuv', 'epoll'}  # these have one of 64 KiB whatever the message


class EchoRow:
    """A load on echo servers."""

    def __init__(self, name, connections, size, limits, workers=1, buffer_bytes=None, rate=None, count_calls=False):
        self.name, self.connections, self.size, self.workers, self.rate = name, connections, size, workers, rate
        self.limits, self.buffer_bytes, self.count_calls = limits, buffer_bytes, count_calls

    def title(self):
        how = f'at {self.rate} requests/s' if self.rate else 'as fast as it goes'
        return f'{self.name}: {self.connections} connections x {self.size} bytes, {how}, {self.workers} worker(s)'

    def servers(self, known):
        """Those of `known` that take part: name and command."""
        chosen = {}
        for name, command in known.items():
            if name in LIMITS and name not in self.limits:
                continue
            chosen[name] = [*command, '--workers', str(self.workers)]
            if self.buffer_bytes and name not in SAME_BUFFER:
                chosen[name] += ['--buffer', str(self.buffer_bytes)]
            if self.buffer_bytes and name in LIMITS:
                chosen[name] += ['--buffers', '4']  # they stay in the cache
        return chosen

    def load_arguments(self):
        # A load with a schedule looks for answers without sleeping: its own wake-ups are not the server's latency.
        rate = ['--rate', str(self.rate), '--spin', '100'] if self.rate else []
        return ['--connections', str(self.connections), '--size', str(self.size), *rate]

    def place(self, options):
        """The CPUs: two workers share both with the load."""
        if self.workers == 1:
            return options
        return argparse.Namespace(build_dir=options.build_dir, server_cpu=None, load_cpu=None)


SATURATED = ['limit multishot', 'limit multishot-cqe', 'limit single', 'limit cqe coop', 'limit single coop']
ECHO_ROWS = [
    EchoRow('echo_64', 64, 64, SATURATED, count_calls=True),
    EchoRow('echo_1000', 1000, 64, SATURATED, count_calls=True),
    EchoRow('echo_open', 64, 64, [*SATURATED, 'limit spin'], rate=80_000),
    EchoRow('echo_1', 1, 64, [*SATURATED, 'limit spin'], count_calls=True),
    EchoRow('echo_4k_64', 64, 4096, SATURATED),
    EchoRow('echo_4k_1000', 1000, 4096, SATURATED),
    EchoRow('echo_64k', 64, 65536, SATURATED, buffer_bytes=65536),
    EchoRow('echo_2_workers', 64, 64, SATURATED, workers=2),
]
READ_DEPTHS = [1, 32, 128]
READERS = ['pread', 'limit ring', 'limit fixed', 'peal', 'fio']


def ratios(own, base):
    """Of each round: those of one round were measured under the same conditions. A short round may have no tick of CPU time."""
    return statistics.median([a / b for a, b in zip(own, base) if b] or [math.nan])


def best_limit(figures):
    """The name of the ruler with the least CPU time; None if none takes part."""
    limits = [name for name in figures if name.startswith('limit') or name == 'pread']
    return min(limits, key=lambda name: statistics.median(figures[name]), default=None)


def ratio_cell(own, name, base):
    return f'{ratios(own[name], own[base]):.2f}' if base else '-'


# ---- echo -----------------------------------------------------------------------------------------------------------------


def echo_rounds(options, row, known, results):
    servers = list(row.servers(known).items())
    for turn in range(options.rounds):
        random.shuffle(servers)  # so that none always comes after the same other one
        for name, command in servers:
            with server(row.place(options), *command) as (pid, port):
                measured = load(row.place(options), pid, port, *row.load_arguments(), *for_seconds(options.seconds, options.seconds / 3))
            results.setdefault(name, {'rounds': []})['rounds'].append(measured)
        print(f'{row.name}: round {turn + 1}/{options.rounds} done', file=sys.stderr)


def count_calls(options, row, known, results):
    methods = list(counters().values())
    if not methods:
        return
    for name, command in row.servers(known).items():
        calls = calls_per_request(options, command, row.load_arguments(), methods[0], options.seconds)
        if calls:
            results[name]['calls_per_request'] = sum(calls.values())


def echo(options, row, known, results):
    echo_rounds(options, row, known, results)
    if row.count_calls and not options.smoke:
        count_calls(options, row, known, results)
    cpu = {name: [measured['server_cpu_us_per_request'] for measured in results[name]['rounds']] for name in row.servers(known)}
    rate = {name: [measured['requests_per_second'] for measured in results[name]['rounds']] for name in cpu}
    base = best_limit(cpu)
    rows = [['server', 'CPU us/request', 'of limit', 'requests/s', 'of limit', 'p50 us', 'p99 us', 'p99.9 us', 'calls/request']]
    for name in cpu:
        latency = [measured['latency_us'] for measured in results[name]['rounds']]
        calls = results[name].get('calls_per_request')
        rows.append([name + (' *' if name == base else ''), spread(cpu[name], '%.2f'), ratio_cell(cpu, name, base),
                     spread(rate[name], '%.0f'), ratio_cell(rate, name, base),
                     *(f'{statistics.median(each[key] for each in latency):.0f}' for key in ('p50', 'p99', 'p99_9')),
                     '-' if calls is None else f'{calls:.3f}'])
    return f'{row.title()}\n{table(rows)}'


# ---- memory ---------------------------------------------------------------------------------------------------------------


def idle(options, known, results):
    rows = [['server', 'bytes per connection', 'resident before']]
    connections = 50 if options.smoke else 10_000
    for name in known:
        if name in LIMITS and name not in ('limit multishot', 'limit single'):
            continue
        with server(options, *known[name]) as (pid, port):
            held = load(options, pid, port, '--idle', str(connections), '--hold', '0.5')
        results[name] = held
        rows.append([name, f'{held["server_bytes_per_connection"]:.0f}', f'{held["server_resident_bytes_before"] / 2**20:.1f} MiB'])
    return f'idle: memory of the process for {connections} connections, one echo of 64 bytes each\n{table(rows)}'


# ---- files ----------------------------------------------------------------------------------------------------------------


def make_file(path, blocks):
    """Block i begins with the number i."""
    with path.open('wb') as file:
        for number in range(blocks):
            file.write(struct.pack('<Q', number) + bytes(PAGE_BYTES - 8))
        file.flush()
        os.fsync(file.fileno())  # or the system writes back while we measure


def readers(options, depth):
    """Name and command; pread knows no depth."""
    found = {} if depth > 1 else {'pread': [LIMIT_READ, '--mode', 'pread']}
    found |= {'limit ring': [LIMIT_READ, '--mode', 'ring'], 'limit fixed': [LIMIT_READ, '--mode', 'fixed'],
              'peal': ['bench/compare/peal_read']}
    return {name: [options.build_dir / command[0], *command[1:]] for name, command in found.items()
            if (options.build_dir / command[0]).exists()}


def on_cpu(options, command):
    ran = subprocess.run(command, capture_output=True, text=True, timeout=60,
                         preexec_fn=lambda: os.sched_setaffinity(0, {options.server_cpu}))
    if ran.returncode != 0:
        fail(f'{command[0]} ended with status {ran.returncode}: {ran.stderr[-2000:]}')
    return ran.stdout


def read_by_program(options, command, path, depth, direct):
    """Nanoseconds per read, and of CPU time."""
    printed = on_cpu(options, [*command, '--file', path, '--depth', str(depth), '--direct', 'yes' if direct else 'no',
                               '--seconds', str(options.seconds)])
    _, ns, cpu_ns = printed.split()
    return float(ns), float(cpu_ns)


def read_by_fio(options, path, depth, direct):
    """The same by fio, as cheaply as it can: in batches, registered, no clock per read."""
    printed = on_cpu(options, ['fio', '--name=read', f'--filename={path}', '--rw=randread', '--bs=4k', '--ioengine=io_uring', '--readonly',
                               f'--iodepth={depth}', f'--iodepth_batch_submit={depth}', f'--iodepth_batch_complete_max={depth}',
                               f'--direct={int(direct)}', '--fixedbufs', '--registerfiles', '--norandommap', '--gtod_reduce=1',
                               '--invalidate=0', '--thread', '--time_based', f'--runtime={max(1, round(options.seconds))}',
                               '--output-format=json'])
    job = json.loads(printed[printed.index('{'):])['jobs'][0]
    reads, runtime_ns = job['read']['total_ios'], job['read']['runtime'] * 1e6
    return runtime_ns / reads, (job['usr_cpu'] + job['sys_cpu']) / 100 * runtime_ns / reads


def read_rounds(options, direct, path, results):
    for _ in range(options.rounds):
        for depth in READ_DEPTHS:
            todo = [(reader, lambda command=command: read_by_program(options, command, path, depth, direct))
                    for reader, command in readers(options, depth).items()]
            if shutil.which('fio') and not options.smoke:
                todo.append(('fio', lambda: read_by_fio(options, path, depth, direct)))
            random.shuffle(todo)
            for reader, measure in todo:
                results.setdefault(str(depth), {}).setdefault(reader, []).append(measure())


def read(options, name, direct, results):
    path = Path(f'run-io-{os.getpid()}.bin')  # in the current folder, which has to be on a disk
    try:
        make_file(path, (1 if options.smoke else 256) * 256)
        read_rounds(options, direct, path, results)
    finally:
        path.unlink(missing_ok=True)
    rows = [['reader', 'CPU ns/read', 'of limit', 'ns/read', 'of limit']]
    for depth, by_reader in results.items():
        cpu, wall = ({reader: [each[index] for each in figures] for reader, figures in by_reader.items()} for index in (1, 0))
        base = best_limit(cpu)
        for reader in sorted(cpu, key=READERS.index):
            rows.append([f'{depth}: {reader}' + (' *' if reader == base else ''),
                         spread(cpu[reader], '%.0f'), ratio_cell(cpu, reader, base),
                         spread(wall[reader], '%.0f'), ratio_cell(wall, reader, base)])
    where = 'past the page cache (O_DIRECT)' if direct else 'in the page cache'
    return f'{name}: random reads of 4 KiB {where}, so many at a time\n{table(rows)}'


# ---- the command ----------------------------------------------------------------------------------------------------------


# Name: what measures it and gives a table.
WORKLOADS = {row.name: lambda options, known, results, row=row: echo(options, row, known, results) for row in ECHO_ROWS}
WORKLOADS |= {'idle': idle,
              'read_cached': lambda options, known, results: read(options, 'read_cached', False, results),
              'read_direct': lambda options, known, results: read(options, 'read_direct', True, results)}


def known_servers(options):
    """Those that were asked for, or all that were built."""
    every = LIMITS | PEERS
    built = {name: command for name, command in every.items() if (options.build_dir / command[0]).exists()}
    if not options.servers:
        return built
    wanted = options.servers.split(',')
    for name in wanted:
        if name != 'limit' and name not in built:
            fail(f'no server {name!r} in {options.build_dir}; there are: {", ".join(["limit", *built])}')
    return {name: command for name, command in built.items() if name in wanted or (name in LIMITS and 'limit' in wanted)}


def io(options):
    if options.smoke:
        options.seconds, options.rounds = 0.05, 1
    known = known_servers(options)
    workloads = {name: measure for name, measure in WORKLOADS.items() if re.search(options.only, name)}
    if not workloads:
        fail(f'no workload fits {options.only!r}; there are: {", ".join(WORKLOADS)}')
    about = machine(options)
    results = {}
    parts = [f'{options.rounds} rounds of {options.seconds:g} s, servers on CPU {options.server_cpu}, load on CPU {options.load_cpu}; '
             'median (min-max)\nof limit: of what is marked *, the limit with the least CPU time; median of the ratios of each round']
    for name, measure in workloads.items():
        parts.append(measure(options, known, results.setdefault(name, {})))
        print(parts[-1] + '\n', flush=True)
    print(parts[0])
    if options.text:
        context = '\n'.join(f'{key}: {value}' for key, value in about.items())
        options.text.write_text('\n\n'.join([context, *parts]) + '\n')
    finish(options, {'machine': about, 'seconds': options.seconds, 'results': results})
