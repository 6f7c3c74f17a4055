# SPDX-License-Identifier: MIT
"""run.py compare: the programs of compare/, which all do the same workloads, in interleaved rounds."""

import random
import re
import statistics
import subprocess
import sys

import chart
from report import fail, finish, machine, scaled, table

# In the order of the table. The program of each is compare_NAME; what is not there is left out.
PEERS = ['peal', 'serial', 'tbb', 'openmp', 'asio', 'go', 'tokio', 'rayon']

# Workload: threads it is run on, and what one item is. bench/README.md says more.
WORKLOADS = {
    'hop_1': ([1], 'hop'),
    'hop_64': ([1, 2], 'hop'),
    'spawn_inside': ([1, 2], 'task'),
    'spawn_foreign': ([1, 2], 'task'),
    'when_all_10': ([1, 2], 'child'),
    'when_all_1000': ([1, 2], 'child'),
    'fib_task': ([1, 2], 'fork'),
    'fib_join': ([1, 2], 'fork'),
    'skynet_task': ([1, 2], 'leaf'),
    'skynet_join': ([1, 2], 'leaf'),
    'queens_task': ([1, 2], 'run'),
    'queens_join': ([1, 2], 'run'),
    'matmul': ([1, 2], 'run'),
    'parallel_for': ([1, 2], 'element'),
    'parallel_reduce': ([1, 2], 'element'),
    'channel_1_1': ([2], 'item'),
    'channel_4_4': ([2], 'item'),
    'rendezvous_1_1': ([2], 'item'),
    'rendezvous_4_4': ([2], 'item'),
    'unbounded_1_1': ([2], 'item'),
    'round_trip': ([1, 2], 'trip'),
    'round_trip_cold': ([1, 2], 'trip'),
    'herd': ([1, 2], 'task'),
}
SECONDS_AT_MOST = 300


def ask(program, *arguments):
    """What the program prints."""
    try:
        ran = subprocess.run([program, *arguments], capture_output=True, text=True, timeout=SECONDS_AT_MOST)
    except subprocess.TimeoutExpired:
        fail(f'{program.name} {" ".join(arguments)} takes more than {SECONDS_AT_MOST} s')
    if ran.returncode != 0:
        fail(f'{program.name} {" ".join(arguments)} ended with status {ran.returncode}: {ran.stderr[-2000:]}')
    return ran.stdout


class Case:
    """A workload on so many threads by one peer, and what was measured."""

    def __init__(self, workload, threads, peer, program):
        self.workload, self.threads, self.peer, self.program = workload, threads, peer, program
        self.unit = WORKLOADS[workload][1]
        self.items = None
        self.ns_per_item = []  # one of each round

    def measure(self, smoke):
        printed = ask(self.program, self.workload, '--threads', str(self.threads), *(['--smoke'] if smoke else []))
        match = re.fullmatch(rf'{self.workload} {self.threads} ([\d.]+) (\d+)\n', printed)
        if not match:
            fail(f'{self.program.name} printed: {printed}')
        self.ns_per_item.append(float(match[1]))
        self.items = int(match[2])

    def ratios(self, base):
        """Of each round: those of one round were measured under the same conditions."""
        return [own / other for own, other in zip(self.ns_per_item, base.ns_per_item)]


def cases_of(programs, only):
    """In the order of the table, as groups of one workload and number of threads."""
    lists = {peer: ask(program, '--list').split() for peer, program in programs.items()}
    for peer, names in lists.items():
        if unknown := set(names) - set(WORKLOADS):
            fail(f'compare_{peer} has workloads that comparison.py does not know: {", ".join(unknown)}')
    groups = []
    for workload, (threads, _) in WORKLOADS.items():
        for count in threads if re.search(only, workload) else ():
            peers = [peer for peer in programs if workload in lists[peer] and (peer != 'serial' or count == 1)]
            groups.append([Case(workload, count, peer, programs[peer]) for peer in peers])
    return groups


def check_items(groups):
    for group in groups:
        if len({case.items for case in group}) != 1:
            fail(f'{group[0].workload}: not the same work: ' + ', '.join(f'{case.peer} {case.items} items' for case in group))


def rows_of(groups):
    rows = [['workload', 'threads', 'peer', 'median', 'min', 'max', 'per', 'of peal']]
    for group in groups:
        for case in group:
            figures = [f(case.ns_per_item) for f in (statistics.median, min, max)]
            rows.append([case.workload, str(case.threads), case.peer, *(scaled(ns / 1e9) for ns in figures), case.unit,
                         f'{statistics.median(case.ratios(group[0])):.2f}'])
    return rows


def programs_of(options):
    """Those that were asked for, or all that were built."""
    folder = options.build_dir / 'bench/compare'
    built = {peer: folder / f'compare_{peer}' for peer in PEERS if (folder / f'compare_{peer}').is_file()}
    names = options.peers.split(',') if options.peers else list(built)
    for peer in {'peal', *names} - set(built):
        fail(f'no compare_{peer} in {folder}: meson compile -C {options.build_dir} compare')
    return {peer: program for peer, program in built.items() if peer in ('peal', *names)}


def compare(options):
    programs = programs_of(options)
    groups = cases_of(programs, options.only)
    if not groups:
        fail(f'no workload fits {options.only!r}; there are: {", ".join(WORKLOADS)}')

    about = machine(options)
    context = '\n'.join(f'{key}: {value}' for key, value in about.items())
    about['peers'] = {peer: ask(program, '--version').strip() for peer, program in programs.items()}
    about['absent'] = [peer for peer in PEERS if peer not in programs]
    for turn in range(options.rounds):
        todo = [case for group in groups for case in group]
        random.shuffle(todo)  # so that no peer always comes when the machine is hot, or always after the same other one
        for case in todo:
            case.measure(options.smoke)
        print(f'round {turn + 1}/{options.rounds} done', file=sys.stderr)
    check_items(groups)

    head = '\n'.join([f'{peer}: {version}' for peer, version in about['peers'].items()] +
                     [f'absent: {", ".join(about["absent"]) or "none"}',
                      f'time per item, {options.rounds} rounds; of peal: median of the ratios of each round, below 1 is faster than peal'])
    text = head + '\n\n' + table(rows_of(groups))
    print(text)
    if options.text:
        options.text.write_text(f'{context}\n\n{text}\n')
    if options.svg:
        caption = [f'{about["cpu"]}, {about["cpus"]} CPUs, Linux {about["kernel"]}, {about["compiler"]}, commit {about["commit"]}',
                   '; '.join(f'{peer}: {version}' for peer, version in about['peers'].items())]
        options.svg.write_text(chart.draw(groups, caption))
    finish(options, {'machine': about, 'rounds': options.rounds, 'results': [
        {'workload': case.workload, 'threads': case.threads, 'peer': case.peer, 'unit': case.unit, 'items': case.items,
         'ns_per_item': case.ns_per_item} for group in groups for case in group]})
