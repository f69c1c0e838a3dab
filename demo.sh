#!/usr/bin/env bash
# Demonstrates the server: builds and starts it, runs simulated players, prints statistics and a verdict, and writes a report
# with charts. Stops every process it started, also after an error or a signal.
#
# DEMO_CLIENTS (1000), DEMO_SECONDS (30), DEMO_REPORT (target/demo.html) and every setting of the server can be set in the
# environment. DEMO_BIN names a folder of programs that are already built.
set -euo pipefail
cd "$(dirname "$0")"

die() { echo "demo.sh: $2" >&2; exit "$1"; }

whole() { # variable, its value, least, most
  [[ $2 =~ ^[0-9]{1,6}$ ]] && (( 10#$2 >= $3 && 10#$2 <= $4 )) ||
    die 2 "$1=$2: expected a whole number from $3 to $4"
}

clients="${DEMO_CLIENTS:-1000}" seconds="${DEMO_SECONDS:-30}" report="${DEMO_REPORT:-target/demo.html}"
whole DEMO_CLIENTS "$clients" 1 19000
whole DEMO_SECONDS "$seconds" 1 3600
[[ -z ${PORT:-} ]] || whole PORT "$PORT" 1 65535
bin="${DEMO_BIN:-}"
is_program() { [[ -f $1 && -x $1 ]]; }
[[ -z $bin ]] || { is_program "$bin/pixi-game-server" && is_program "$bin/loadtest"; } ||
  die 2 "DEMO_BIN=$bin: expected a folder with the programs pixi-game-server and loadtest"
beside="$(dirname -- "$report")"
[[ $report != */ ]] && mkdir -p -- "$beside" 2>/dev/null &&
  [[ ( -f $report && -w $report ) || ( ! -e $report && -w $beside ) ]] ||
  die 2 "DEMO_REPORT=$report: expected a file that can be written"
export HOST=127.0.0.1 MAX_CONNECTIONS="${MAX_CONNECTIONS:-19400}"

server='' load='' folder=''
stop() {
  trap '' INT TERM HUP
  for pid in $load $server; do
    kill -TERM "$pid" 2>/dev/null || continue
    for _ in {1..100}; do
      kill -0 "$pid" 2>/dev/null || break
      sleep 0.1
    done
    kill -KILL "$pid" 2>/dev/null || true
  done
  [[ -z $folder ]] || rm -rf "$folder"
}
trap stop EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
trap 'exit 129' HUP

if [[ -z $bin ]]; then
  bin="${CARGO_TARGET_DIR:-target}/release"
  tools/cargo.sh build --release --package pixi-game-server --package loadtest --bins
fi
PORT="${PORT:-$("$bin/pixi-game-server" --print-config | sed -n 's/^PORT=//p')}"
export PORT

# Another process on this port would answer the health check below.
if (: <"/dev/tcp/$HOST/$PORT") 2>/dev/null; then
  die 1 "port $PORT is taken; choose another: PORT=$((PORT + 1)) ./demo.sh"
fi

folder="$(mktemp -d)"
"$bin/pixi-game-server" 2>"$folder/log" &
server=$!
until "$bin/pixi-game-server" --health-check 2>/dev/null && kill -0 "$server" 2>/dev/null; do
  if ! kill -0 "$server" 2>/dev/null; then
    cat "$folder/log" >&2
    die 1 "the server did not start"
  fi
  sleep 0.1
done

echo "The server runs on http://$HOST:$PORT; $clients players join and move for $seconds s."
# In the background, so that the traps run during the load test.
"$bin/loadtest" --server "ws://$HOST:$PORT/ws" --pid "$server" --alone --clients "$clients" \
  --moves-per-second 10 --warm-up 2s --duration "${seconds}s" --report "$report" &
load=$!
status=0
wait "$load" || status=$?
load=''

echo
echo "Metrics of the server:"
curl -fs "http://$HOST:$PORT/metrics" | tr ',{' '\n\n' |
  grep -E '"(ticks_total|ticks_skipped_total|tick_p99_ns|messages_in_total|messages_out_total|resident_bytes)"' |
  sed -E 's/"([a-z0-9_]+)": */  \1  /' || true
echo
echo "Report with charts: $report"
exit "$status"
