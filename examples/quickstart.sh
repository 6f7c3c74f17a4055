#!/bin/sh
# Shows: the two larger examples at work, from nothing but a checkout: a server under load, and a tree of files.
# Run:   sh examples/quickstart.sh                Expect: a short table, and "all is well" as the last line.
#
# It installs what is missing (.ci/packages.sh), builds into build/quickstart, and keeps its logs there in logs/.
set -u
root=$(cd "$(dirname "$0")/.." && pwd) || exit 1
build=$root/build/quickstart
logs=$build/logs
server=

mkdir -p "$logs" || exit 1
trap '[ -z "$server" ] || { kill "$server" 2>/dev/null; wait "$server"; }' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# failed STEP LOG [LOG]...: the end of each log, and no more steps
failed() {
    step=$1
    shift
    for log in "$@"; do
        [ -s "$log" ] || continue
        echo "--- the end of $log" >&2
        tail -n 15 "$log" >&2
    done
    echo "quickstart: FAILED: $step (see $*)" >&2
    exit 1
}

# --- build

sh "$root/.ci/packages.sh" build demo || {
    echo 'quickstart: FAILED: installing what is missing (see above)' >&2
    exit 1
}
if [ ! -f "$build/build.ninja" ]; then
    echo 'quickstart: configuring'
    meson setup "$build" "$root" --buildtype=release -Dtests=disabled -Dbench=disabled -Dexamples=enabled \
        >"$logs/configure.log" 2>&1 || failed 'meson setup' "$logs/configure.log"
fi
echo "quickstart: building (the first time takes a few minutes; see it go on in $logs/build.log)"
meson compile -C "$build" >"$logs/build.log" 2>&1 || failed 'the build' "$logs/build.log"

# --- kv_server under redis-benchmark

# timeout passes SIGTERM on, kills what has not ended 10 s later, and ends with the status of the server.  Without
# --foreground it would signal twice, its child and its group, and a second SIGTERM ends a server at once.
timeout --foreground --kill-after=10 300 "$build/examples/kv_server" --host 127.0.0.1 --port 0 --workers 2 \
    >"$logs/kv_server.log" 2>&1 &
server=$!
port=
tries=0
while [ -z "$port" ]; do
    port=$(sed -n 's/^listening on 127\.0\.0\.1:\([0-9]*\)$/\1/p' "$logs/kv_server.log")
    tries=$((tries + 1))
    { [ "$tries" -le 100 ] && kill -0 "$server" 2>/dev/null; } || failed 'starting kv_server' "$logs/kv_server.log"
    [ -n "$port" ] || sleep 0.1
done
echo "quickstart: kv_server listens on port $port; redis-benchmark drives it"
timeout 120 redis-benchmark -h 127.0.0.1 -p "$port" -t ping,set,get,incr,lpush,lpop -n 200000 -c 50 -P 16 -q \
    >"$logs/redis-benchmark.log" 2>&1 </dev/null ||
    failed 'redis-benchmark' "$logs/redis-benchmark.log" "$logs/kv_server.log"
# With -q it overwrites one line with its progress.
rates=$(tr '\r' '\n' <"$logs/redis-benchmark.log" |
    sed -n 's/^\([A-Z_]*\): \([0-9]*\)[.0-9]* requests per second.*/\1 \2/p')
for command in PING_INLINE SET GET INCR LPUSH LPOP; do
    case " $(echo "$rates" | tr '\n' ' ')" in
        *" $command "*) ;;
        *) failed "redis-benchmark has no result for $command" "$logs/redis-benchmark.log" "$logs/kv_server.log" ;;
    esac
done
kill "$server"
wait "$server"
status=$?
server=
[ "$status" -eq 0 ] || failed "kv_server ended with status $status after SIGTERM" "$logs/kv_server.log"

# --- tree_digest on a folder of this system

folder=
for candidate in /usr/share/doc /usr/include /etc; do
    count=$(find "$candidate" -type f 2>/dev/null | head -n 101 | wc -l)
    unreadable=$(find "$candidate" ! -readable ! -type l 2>/dev/null | head -n 1)
    if [ "$count" -gt 100 ] && [ -z "$unreadable" ]; then
        folder=$candidate
        break
    fi
done
if [ -z "$folder" ]; then
    echo 'quickstart: FAILED: none of /usr/share/doc, /usr/include and /etc has more than 100 files, all readable' >&2
    exit 1
fi
echo "quickstart: tree_digest reads $folder"
start=$(date +%s%N)
timeout --kill-after=10 120 "$build/examples/tree_digest" "$folder" \
    >"$logs/digests.txt" 2>"$logs/tree_digest.log" </dev/null ||
    failed "tree_digest ended with status $? (124: it took more than 120 s)" "$logs/tree_digest.log"
end=$(date +%s%N)
files=$(wc -l <"$logs/digests.txt")
expected=$(find "$folder" -type f -printf '%s\n' | awk '{ bytes += $1 } END { printf "%d %.0f", NR, bytes }')
bytes=${expected#* }
[ "$files" -eq "${expected% *}" ] ||
    failed "tree_digest wrote $files digests, but $folder has ${expected% *} files" "$logs/tree_digest.log"
echo 'quickstart: sha256sum compares'
timeout 300 sha256sum -c --quiet "$logs/digests.txt" >"$logs/sha256sum.log" 2>&1 ||
    failed 'sha256sum found another digest' "$logs/sha256sum.log"

# --- what came out

echo
echo 'kv_server, 2 workers, 50 connections, pipelines of 16 (requests per second):'
echo "$rates" | awk '{ printf "  %-12s %9d\n", $1, $2 }'
echo '  stopped by SIGTERM, in good order'
echo "tree_digest $folder:"
awk -v files="$files" -v bytes="$bytes" -v start="$start" -v end="$end" 'BEGIN {
    seconds = (end - start) / 1e9
    printf "  %d files, %.1f MB in %.2f s: %.0f MB/s\n", files, bytes / 1e6, seconds, bytes / 1e6 / seconds
}'
echo '  sha256sum agrees with every digest'
echo 'quickstart: all is well'
