# SPDX-License-Identifier: MIT
"""`run.py stall`: echo servers of which tasks keep some workers, or all of them; and what it costs peal to be prepared for that."""

import argparse
import statistics

from report import fail, finish, machine, spread, table
from servers import for_seconds, load, server

SERVERS = {
    'peal': ['bench/compare/peal_echo'],
    'peal, no rescue': ['bench/compare/peal_echo', '--rescue', 'off'],
    'asio': ['bench/compare/asio_echo'],
    'tokio': ['bench/compare/tokio_echo'],
}
WORKERS = 2


def stall(options):
    servers = {name: command for name, command in SERVERS.items() if (options.build_dir / command[0]).exists()}
    if 'peal' not in servers:
        fail(f'{options.build_dir} has no bench/compare: configure it with -Dbench=enabled')
    result = {'machine': machine(options), 'stall_ms': options.stall_ms, 'stalls': {}, 'cost': {}}
    anywhere = argparse.Namespace(build_dir=options.build_dir, server_cpu=None, load_cpu=None)
    rows = [['kept workers', 'server', 'p50 us', 'p99 us', 'max us']]
    arguments = ['--connections', str(options.connections), '--rate', str(options.rate), *for_seconds(options.seconds, options.seconds / 4)]
    for stalls in range(WORKERS + 1):
        seen = {name: [] for name in servers}
        for _ in range(options.rounds):
            for name, command in servers.items():
                kept = ['--workers', str(WORKERS), '--stalls', str(stalls), '--stall-ms', str(options.stall_ms)]
                with server(anywhere, *command, *kept) as (pid, port):
                    seen[name].append(load(anywhere, pid, port, *arguments)['latency_us'])
        result['stalls'][stalls] = seen
        for name, rounds in seen.items():
            rows.append([f'{stalls} of {WORKERS}', name, *(spread([each[key] for each in rounds], '%.0f') for key in ['p50', 'p99', 'max'])])
    print(f'{options.connections} connections, {options.rate} requests/s, {options.rounds} rounds of {options.seconds:g} s; a task that keeps a worker '
          f'computes for {options.stall_ms} ms, sleeps for 5, and so on; median (min-max)')
    print(table(rows))

    ratios = []
    busy = ['--connections', str(options.connections), *for_seconds(options.seconds / 2, options.seconds / 8)]
    for _ in range(options.pairs):
        cpu = {}
        for name in ['peal', 'peal, no rescue']:
            with server(options, *SERVERS[name], '--workers', '1') as (pid, port):
                cpu[name] = load(options, pid, port, *busy)['server_cpu_us_per_request']
        ratios.append(cpu['peal'] / cpu['peal, no rescue'])
        result['cost'].setdefault('rounds', []).append(cpu)
    if ratios:
        print(f'CPU time of a request with rescue, of that without, {options.pairs} pairs at full load: '
              f'median {statistics.median(ratios):.3f}, {min(ratios):.2f} to {max(ratios):.2f}')
    finish(options, result)
