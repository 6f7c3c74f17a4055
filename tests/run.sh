#!/bin/sh
# Builds the project with warnings as errors and runs its tests.
#
#   sh tests/run.sh [--compiler g++|clang++-19] [--sanitize address,undefined|thread|none] [--buildtype TYPE]
#                   [--suite NAME]... [--no-suite NAME]... [--build-dir DIR]
#
# Without --suite all suites run but stress-long and mutants, and those named by --no-suite.  Each variant has its own build folder, which is
# used again.
# The last line is always "N passed, N failed", with ", N skipped" behind it if some were.
set -u
root=$(cd "$(dirname "$0")/.." && pwd) || exit 1

usage() {
    sed -n '2,/^set /s/^# \{0,1\}//p' "$0"
    exit "$1"
}

compiler=g++
sanitize=none
buildtype=debugoptimized
build=
suites=
without=
while [ $# -gt 0 ]; do
    case $1 in
        --help | -h) usage 0 ;;
        --*=*)
            option=$1
            shift
            set -- "${option%%=*}" "${option#*=}" "$@"
            continue ;;
        --compiler | --sanitize | --buildtype | --suite | --no-suite | --build-dir)
            [ $# -ge 2 ] || { echo "run.sh: $1 needs a value" >&2; exit 2; } ;;
        *) echo "run.sh: unknown argument '$1'" >&2; usage 2 >&2 ;;
    esac
    case $1 in
        --compiler) compiler=$2 ;;
        --sanitize) sanitize=$2 ;;
        --buildtype) buildtype=$2 ;;
        --suite) suites="$suites --suite $2" ;;
        --no-suite) without="$without --no-suite $2" ;;
        --build-dir) build=$2 ;;
    esac
    shift 2
done
case $build in
    /*) ;;
    '')
        build=$root/build/test
        variant=$(basename "$compiler")-$buildtype-$(echo "$sanitize" | tr , -)
        [ "$variant" = g++-debugoptimized-none ] || build=$build-$variant ;;
    *) build=$(pwd)/$build ;;
esac

# fail_before_tests MESSAGE: what stops us before a test runs counts as one failure
fail_before_tests() {
    echo "run.sh: $1"
    echo '0 passed, 1 failed'
    exit 1
}

# --- tools and libraries

groups='build test'
case $(basename "$compiler") in
    *clang*) groups="$groups clang" ;;
    *) [ "$sanitize" = none ] || groups="$groups sanitize" ;;
esac
# shellcheck disable=SC2086  # lists of words, here and below
sh "$root/.ci/packages.sh" $groups || fail_before_tests 'a tool or library is missing, see above'
command -v "$compiler" >/dev/null || fail_before_tests "there is no compiler $compiler"
CXX=$compiler
CC=$(echo "$compiler" | sed 's/clang++/clang/; s/g++/gcc/')
export CXX CC

# --- configure and build

set -- "-Dbuildtype=$buildtype" "-Db_sanitize=$sanitize" -Dwerror=true
if [ "$sanitize" = none ]; then
    set -- "$@" -Db_lundef=true -Dbench=auto
else
    # clang leaves its runtime undefined in shared libraries; benchmarks say nothing under a sanitizer
    set -- "$@" -Db_lundef=false -Dbench=disabled
fi

log=$(mktemp) || exit 1
trap 'rm -f "$log"' EXIT
trap 'exit 130' INT TERM

echo "run.sh: $compiler, $buildtype, sanitize $sanitize, in $build"
stamp=$build/variant.txt # what the folder was configured for
if [ ! -f "$build/build.ninja" ]; then
    meson setup "$build" "$root" "$@" >"$log" 2>&1
elif [ "$(cat "$stamp" 2>/dev/null)" != "$compiler $*" ]; then
    meson setup --wipe "$build" "$root" "$@" >"$log" 2>&1
fi || {
    cat "$log"
    fail_before_tests "meson setup failed, see above and $build/meson-logs/meson-log.txt"
}
echo "$compiler $*" >"$stamp"
meson compile -C "$build" || fail_before_tests 'the build failed, see above'

# --- run the tests

ASAN_OPTIONS=detect_leaks=1:detect_stack_use_after_return=0:check_initialization_order=1:halt_on_error=1${ASAN_OPTIONS:+:$ASAN_OPTIONS}
UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1${UBSAN_OPTIONS:+:$UBSAN_OPTIONS}
TSAN_OPTIONS=halt_on_error=1:second_deadlock_stack=1${TSAN_OPTIONS:+:$TSAN_OPTIONS}
export ASAN_OPTIONS UBSAN_OPTIONS TSAN_OPTIONS

[ "$sanitize" = none ] || without="$without --no-suite install"
case $sanitize in # guess, not measured
    none) slower=1 ;;
    *thread*) slower=6 ;;
    *) slower=3 ;;
esac
rm -f "$build/meson-logs/testlog.json"
# shellcheck disable=SC2086
meson test -C "$build" --print-errorlogs --timeout-multiplier "$slower" ${suites:---no-suite stress-long --no-suite mutants} $without
status=$?

# Counts the results, and keeps the output of the failed tests in failed-tests.txt.
python3 - "$build/meson-logs/testlog.json" "$build/failed-tests.txt" "$status" <<'EOF'
import json, sys
log, failed_tests, status = sys.argv[1], sys.argv[2], int(sys.argv[3])
passed = failed = skipped = 0
with open(failed_tests, 'w', encoding='utf-8', errors='replace') as out:
    try:
        lines = open(log, encoding='utf-8', errors='replace').readlines()
    except OSError:
        lines = []  # no test was chosen, or meson did not get that far
    for test in map(json.loads, lines):
        result = test['result']
        if result in ('OK', 'EXPECTEDFAIL'):
            passed += 1
        elif result in ('SKIP', 'IGNORED'):
            skipped += 1
        else:  # FAIL, TIMEOUT, ERROR, INTERRUPT, UNEXPECTEDPASS
            failed += 1
            text = (test.get('stdout') or '') + (test.get('stderr') or '')
            print(f"--- {test['name']}: {result}, exit status {test.get('returncode')}", file=out)
            print('\n'.join(text.splitlines()[-100:]), file=out)
if passed + failed == 0:
    print('run.sh: no test ran')
elif status != 0 and failed == 0:
    print(f'run.sh: meson test ended with status {status}')
print(f'{passed} passed, {failed} failed' + (f', {skipped} skipped' if skipped else ''))
sys.exit(failed != 0 or passed == 0 or status != 0)
EOF
