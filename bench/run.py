#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Runs the benchmarks that need more than one program, and prints tables.

  run.py echo    the example echo_server beside other echo servers: rate, CPU time and system calls per request
  run.py idle    memory of a server that holds many idle connections
  run.py siege   echo_server among 10,000 idle, 1,000 slow and 10,000 resetting clients: what an honest one sees
  run.py starve  echo_server with 64 descriptors and 10,000 callers: CPU time meanwhile, and when it serves again
  run.py stall   echo servers of which tasks keep some workers, or all: latency of the others, and what the rescue costs
  run.py micro   every *_bench program, as one table
  run.py io      servers and readers of files beside the limit: what a program on liburing alone gets from this kernel
  run.py compare peal beside other libraries and languages: what a task, a fork, an item through a channel cost

Build with --buildtype=release first. Needs nothing but Python; system calls are counted with perf or strace if they are there.
"""

import argparse
import contextlib
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

sys.dont_write_bytecode = True  # the folder belongs to the source
from comparison import compare
from hostile import siege, starve
from limits import io
from report import fail, finish, machine, scaled, spread, table
from servers import calls_per_request, counters, for_seconds, load, server
from stalls import stall

SERVERS = {
    'peal': 'examples/echo_server',
    'epoll': 'bench/compare/epoll_echo',
    'asio': 'bench/compare/asio_echo',
}


# ---- the commands ---------------------------------------------------------------------------------------------------------


def command_of(options, name):
    return [SERVERS[name], '--workers', str(options.workers)]


def servers_of(options):
    """Those that were asked for, or all that were built."""
    built = [name for name, program in SERVERS.items() if (options.build_dir / program).exists()]
    names = options.servers.split(',') if options.servers else built
    for name in names or ['peal']:
        if name not in built:
            fail(f'no server {name!r} in {options.build_dir}; there are: {", ".join(built) or "none"}')
    return names


def echo(options):
    names = servers_of(options)
    result = {'machine': machine(options), 'workers': options.workers, 'connections': options.connections,
              'size_bytes': options.size, 'pipeline': options.pipeline, 'seconds': options.seconds,
              'rounds': {name: [] for name in names}, 'system_calls': {}}
    requests = ['--connections', str(options.connections), '--pipeline', str(options.pipeline), '--size', str(options.size)]
    for turn in range(options.rounds):
        for name in names[turn % len(names):] + names[:turn % len(names)]:
            with server(options, *command_of(options, name)) as (pid, port):
                measured = load(options, pid, port, *requests, *for_seconds(options.seconds, options.seconds / 3))
            result['rounds'][name].append(measured)
            print(f'round {turn + 1}/{options.rounds} {name}: {measured["requests_per_second"]:.0f}/s', file=sys.stderr)
    for method, count in counters().items() if options.count_calls else ():
        for name in names:
            result['system_calls'].setdefault(name, {})[method] = calls_per_request(options, command_of(options, name), requests, count)

    print(f'echo, {options.connections} connections x {options.size} bytes, {options.rounds} rounds of {options.seconds:g} s, '
          f'{options.workers} worker(s) on CPU {options.server_cpu}, load on CPU {options.load_cpu}; median (min-max)')
    peer_name = names[-1]
    rows = [['server', 'requests/s', f'of {peer_name}', 'CPU us/request', f'of {peer_name}', 'p50 us', 'p99 us',
             'calls/request']]
    for name in names:
        rounds, peer = result['rounds'][name], result['rounds'][peer_name]

        def values(key, of=rounds):
            return [measured[key] for measured in of]

        def ratio(key):
            return f'{statistics.median(a / b for a, b in zip(values(key), values(key, peer))):.2f}'

        calls = result['system_calls'].get(name, {})
        counted = '  '.join(f'{sum(by_name.values()):.3f} {method}' for method, by_name in calls.items() if by_name)
        rows.append([name, spread(values('requests_per_second'), '%.0f'), ratio('requests_per_second'),
                     spread(values('server_cpu_us_per_request'), '%.2f'), ratio('server_cpu_us_per_request'),
                     f'{statistics.median(round["latency_us"]["p50"] for round in rounds):.0f}',
                     f'{statistics.median(round["latency_us"]["p99"] for round in rounds):.0f}', counted or '-'])
    print(table(rows))
    for name in names:
        by_name = result['system_calls'].get(name, {}).get('strace') or {}
        if not by_name:
            continue
        often = sorted(((rate, call) for call, rate in by_name.items() if rate >= 0.0005), reverse=True)
        print(f'{name}: ' + ', '.join(f'{call} {rate:.3f}' for rate, call in often))
    finish(options, result)


def idle(options):
    result = {'machine': machine(options), 'idle': options.idle, 'servers': {}}
    rows = [['server', 'resident before', 'with all', 'per connection']]
    for name in servers_of(options):
        with server(options, *command_of(options, name)) as (pid, port):
            held = load(options, pid, port, '--size', str(options.size), '--idle', str(options.idle), '--hold', '1')
        result['servers'][name] = held
        before, after = held['server_resident_bytes_before'], held['server_resident_bytes']
        rows.append([name, f'{before / 2**20:.1f} MiB', f'{after / 2**20:.1f} MiB', f'{held["server_bytes_per_connection"]:.0f} B'])
    print(f'{options.idle} connections, one echo of {options.size} bytes each, then idle; memory of the process without the kernel')
    print(table(rows))
    finish(options, result)


def micro(options):
    result = {'machine': machine(options), 'benchmarks': []}
    programs = sorted((options.build_dir / 'bench').glob('*_bench'))
    if not programs:
        fail(f'no benchmark in {options.build_dir}/bench: is Google Benchmark installed?')
    found = {}
    for program in programs:
        with tempfile.TemporaryDirectory(dir='.') as folder:
            out = Path(folder) / 'out.json'
            command = [program, f'--benchmark_out={out}', '--benchmark_out_format=json', f'--benchmark_filter={options.filter}']
            ran = subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
            if ran.returncode != 0 and 'Failed to match' not in ran.stderr:
                fail(f'{program} ended with status {ran.returncode}: {ran.stderr}')
            with contextlib.suppress(ValueError, OSError):
                result['benchmarks'].append(json.loads(out.read_text()))
        print(f'{program.name} done', file=sys.stderr)
    for report in result['benchmarks']:
        for run in report['benchmarks']:
            if run['run_type'] == 'iteration':
                name = re.sub(r'/(iterations:\d+|repeats:\d+|process_time|real_time|manual_time)', '', run['run_name'])
                found.setdefault(name, []).append(run)
    rows = [['benchmark', 'per item, median', 'min', 'max', 'allocations', '']]
    standard = {'family_index', 'per_family_instance_index', 'repetitions', 'repetition_index', 'threads', 'iterations',
                'real_time', 'cpu_time', 'per_item', 'allocations'}
    for name, runs in found.items():
        items = [run['per_item'] for run in runs if 'per_item' in run] or [0]
        more = [f'{key} {statistics.median(run[key] for run in runs):.4g}' for key, value in runs[0].items()
                if key not in standard and isinstance(value, (int, float))]
        rows.append([name, scaled(statistics.median(items)), scaled(min(items)), scaled(max(items)),
                     f'{statistics.median(run.get("allocations", 0) for run in runs):.2g}', ', '.join(more)])
    print(table(rows))
    finish(options, result)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True, metavar='COMMAND')
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument('--build-dir', type=Path, default=Path('build'), help='a Meson build folder (build)')
    common.add_argument('--json', type=Path, help='write everything that was measured to this file')
    placed = argparse.ArgumentParser(add_help=False, parents=[common])
    placed.add_argument('--server-cpu', type=int, default=0, help='CPU of the server (0)')
    placed.add_argument('--load-cpu', type=int, default=min(1, (os.cpu_count() or 1) - 1), help='CPU of the load (1)')
    servers = argparse.ArgumentParser(add_help=False, parents=[placed])
    servers.add_argument('--size', type=int, default=64, help='bytes per message (64)')
    servers.add_argument('--workers', type=int, default=1, help='threads of the server (1)')

    command = commands.add_parser('echo', parents=[servers], help='rate, CPU time and system calls per request')
    command.add_argument('--servers', help='"peal,epoll,asio", or some of them; the last is what the others are compared with')
    command.add_argument('--connections', type=int, default=64)
    command.add_argument('--pipeline', type=int, default=1, help='requests in flight per connection (1)')
    command.add_argument('--seconds', type=float, default=3, help='measured per round (3)')
    command.add_argument('--rounds', type=int, default=5)
    command.add_argument('--count-calls', default=True, action=argparse.BooleanOptionalAction,
                         help='two short loads more per server')
    command.set_defaults(run=echo)

    command = commands.add_parser('idle', parents=[servers], help='memory per idle connection')
    command.add_argument('--servers', help='"peal,epoll,asio", or some of them')
    command.add_argument('--idle', type=int, default=10_000, help='connections (10000)')
    command.set_defaults(run=idle)

    hostile = argparse.ArgumentParser(add_help=False, parents=[placed])
    hostile.add_argument('--workers', type=int, default=1, help='threads of the server (1)')
    hostile.add_argument('--rounds', type=int, default=1)
    hostile.add_argument('--real-time', action='store_true', help='the server before all other programs, where that is allowed: on a machine '
                         'that others use, else their time slices are the p99')
    command = commands.add_parser('siege', parents=[hostile], help='hostile clients beside an honest one')
    command.add_argument('--idle', type=int, default=10_000, help='connections (10000)')
    command.add_argument('--slow', type=int, default=1_000, help='connections (1000)')
    command.add_argument('--resets', type=int, default=10_000, help='per second (10000)')
    command.add_argument('--seconds', type=float, default=3, help='per phase, of five (3)')
    command.set_defaults(run=siege)
    command = commands.add_parser('starve', parents=[hostile], help='more callers than descriptors')
    command.add_argument('--attempts', type=int, default=10_000)
    command.add_argument('--descriptors', type=int, default=64)
    command.add_argument('--seconds', type=float, default=5, help='of starvation (5)')
    command.add_argument('--releases', type=int, default=30, help='descriptors that come free, one by one (30)')
    command.set_defaults(run=starve)

    command = commands.add_parser('stall', parents=[placed], help='tasks that keep their workers')
    command.add_argument('--connections', type=int, default=64)
    command.add_argument('--rate', type=int, default=1000, help='requests per second over all of them (1000)')
    command.add_argument('--stall-ms', type=int, default=200, help='how long such a task computes (200)')
    command.add_argument('--seconds', type=float, default=4, help='measured per round (4)')
    command.add_argument('--rounds', type=int, default=3)
    command.add_argument('--pairs', type=int, default=20, help='for the cost, with and without; 0: not measured (20)')
    command.set_defaults(run=stall)

    command = commands.add_parser('io', parents=[placed], help='peal and its peers beside what this kernel allows')
    command.add_argument('--rounds', type=int, default=5)
    command.add_argument('--seconds', type=float, default=1, help='measured per round, server and workload (1)')
    command.add_argument('--only', default='.', help='regular expression: the workloads to run')
    command.add_argument('--servers', help='"limit,peal,epoll": these, limit for all its forms; else all that were built')
    command.add_argument('--smoke', action='store_true', help='in seconds: does it still run? no figures')
    command.add_argument('--text', type=Path, help='write the tables to this file, too')
    command.set_defaults(run=io)

    command = commands.add_parser('micro', parents=[common], help='every *_bench program')
    command.add_argument('--filter', default='.', help='regular expression of the names to run')
    command.set_defaults(run=micro)

    command = commands.add_parser('compare', parents=[common], help='peal beside other libraries and languages')
    command.add_argument('--rounds', type=int, default=5)
    command.add_argument('--only', default='.', help='regular expression: the workloads to run')
    command.add_argument('--peers', help='"peal,rayon": these; else all that were built')
    command.add_argument('--smoke', action='store_true', help='sizes that take milliseconds: does it still run? no figures')
    command.add_argument('--text', type=Path, help='write the table to this file, too')
    command.add_argument('--svg', type=Path, help='write a chart of the ratios to this file')
    command.set_defaults(run=compare)

    options = parser.parse_args()
    options.build_dir = options.build_dir.resolve()
    options.run(options)


if __name__ == '__main__':
    main()
