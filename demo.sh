#!/usr/bin/env bash
# Shows what the server does: builds it, starts it, lets players in, prints figures while they play and a verdict at the end,
# writes the verdict with charts as a page, and stops everything it started, whatever happens.
#
# DEMO_CLIENTS (1000), DEMO_SECONDS (30), DEMO_REPORT (target/demo.html) and PORT (8108) may be set from outside, as every
# setting of the server. DEMO_BIN names a folder of programs that are built already.
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
whole PORT "${PORT:-8108}" 1 65535
export HOST=127.0.0.1 PORT="${PORT:-8108}" MAX_CONNECTIONS="${MAX_CONNECTIONS:-19400}"

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

bin="${DEMO_BIN:-}"
if [[ -z $bin ]]; then
  bin="${CARGO_TARGET_DIR:-target}/release"
  cargo build --release --package pixi-game-server --package loadtest --bins
fi
mkdir -p "$(dirname "$report")"

# The server of another start would answer the question below in place of this one.
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

echo "The server is on http://$HOST:$PORT; $clients players come and walk about for $seconds s."
# In the background, so that a signal is acted on at once and not when the load test is done.
"$bin/loadtest" --server "ws://$HOST:$PORT/ws" --pid "$server" --alone --clients "$clients" \
  --moves-per-second 10 --warm-up 2s --duration "${seconds}s" --report "$report" &
load=$!
status=0
wait "$load" || status=$?
load=''

echo
echo "What the server says of itself:"
curl -fs "http://$HOST:$PORT/metrics" | tr ',{' '\n\n' |
  grep -E '"(ticks_total|ticks_skipped_total|tick_p99_ns|messages_in_total|messages_out_total|resident_bytes)"' |
  sed -E 's/"([a-z0-9_]+)": */  \1  /' || true
echo
echo "The report with its charts: $report"
exit "$status"
