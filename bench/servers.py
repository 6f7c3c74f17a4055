# SPDX-License-Identifier: MIT
"""Servers and the load on them: starting, pinning, counting their system calls.

`options` has build_dir, and the CPUs of server and load: server_cpu and load_cpu, None for any.
"""

import contextlib
import json
import os
import re
import resource
import shutil
import signal
import subprocess
import tempfile

from report import fail

LOAD = 'bench/load/echo_load'


def prepare(cpu, real_time=False):
    """In a new process: all descriptors that may be had, one CPU, and before all others there if it is asked for and allowed."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    if cpu is not None:
        os.sched_setaffinity(0, {cpu})
    if real_time:
        with contextlib.suppress(PermissionError):
            os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))


@contextlib.contextmanager
def server(options, program, *arguments, environment=None, real_time=False):
    """A server that listens; gives its process id and port. `program` is named by its place in the build folder."""
    command = [options.build_dir / program, '--port', '0', *arguments]
    errors = tempfile.TemporaryFile('w+')  # shown only if it fails: connections that the load resets are no news
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True,
                               env={**os.environ, **(environment or {})},
                               preexec_fn=lambda: prepare(options.server_cpu, real_time))
    try:
        match = re.fullmatch(r'listening on \S+:(\d+)\n', process.stdout.readline())
        if match:
            yield process.pid, match[1]
        if not match or process.poll() is not None:
            process.wait()
            errors.seek(0)
            fail(f'{program} ended by itself with status {process.returncode}:\n{errors.read()[-2000:]}')
    finally:
        process.terminate()
        try:
            process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def load(options, pid, port, *arguments, under=()):
    """Runs echo_load, `under` another program if given; gives what it measured."""
    command = [*under, options.build_dir / LOAD, '--port', port, '--pid', str(pid), '--json', *arguments]
    ran = subprocess.run(command, stdout=subprocess.PIPE, text=True, preexec_fn=lambda: prepare(options.load_cpu))
    if ran.returncode != 0:
        fail(f'{LOAD} ended with status {ran.returncode}')
    return json.loads(ran.stdout)


def for_seconds(seconds, warmup=0):
    return ['--duration', str(seconds), '--warmup', str(warmup)]


def calls_by_perf(options, pid, port, *arguments):
    """System calls of the process during a load, and requests; None if perf cannot count them."""
    with tempfile.NamedTemporaryFile('r') as report:
        perf = ['perf', 'stat', '-x', ';', '-o', report.name, '-e', 'raw_syscalls:sys_enter', '-p', str(pid), '--']
        measured = load(options, pid, port, *arguments, under=perf)
        match = re.search(r'^(\d+);;raw_syscalls:sys_enter', report.read(), re.MULTILINE)
    return {'all': int(match[1])} if match else None, measured['requests']


def calls_by_strace(options, pid, port, *arguments):
    """The same by name. strace stops the server at each call, and a slower server finds more to do per call."""
    with tempfile.NamedTemporaryFile('r') as report:
        strace = subprocess.Popen(['strace', '-f', '-c', '-o', report.name, '-p', str(pid)], stderr=subprocess.PIPE, text=True,
                                  preexec_fn=lambda: prepare(options.server_cpu))
        strace.stderr.readline()  # "attached": from here on it counts
        measured = load(options, pid, port, *arguments)
        strace.send_signal(signal.SIGINT)
        strace.wait()
        calls = {}
        for line in report.read().splitlines():
            # % time, seconds, usecs/call, calls, errors (may be absent), name
            if match := re.fullmatch(r'\s*[\d.]+\s+[\d.]+\s+\d+\s+(\d+)\s+(?:\d+\s+)?(\w+)', line):
                if match[2] != 'total':
                    calls[match[2]] = int(match[1])
    return calls, measured['requests']


def calls_per_request(options, command, arguments, count, seconds=2):
    """Of the server `command`, from a short and a long load: what opening the connections costs is in both."""
    with server(options, *command) as (pid, port):
        few, few_requests = count(options, pid, port, *arguments, *for_seconds(seconds / 10))
        many, many_requests = count(options, pid, port, *arguments, *for_seconds(seconds))
    if few is None or many is None:
        return None
    return {call: (many[call] - few.get(call, 0)) / (many_requests - few_requests) for call in many}


def counters():
    """How system calls can be counted here: name and function."""
    found = {}
    if shutil.which('perf'):
        tried = subprocess.run(['perf', 'stat', '-x', ';', '-e', 'raw_syscalls:sys_enter', 'true'], capture_output=True, text=True)
        if tried.returncode == 0 and re.search(r'^\d', tried.stderr):
            found['perf'] = calls_by_perf
    if shutil.which('strace'):
        found['strace'] = calls_by_strace
    return found
