#!/usr/bin/env bash
# Starts a server on a port of its own, loads it, prints the verdict, stops the server whatever happens.
# Arguments go to the load test: tools/load-test.sh --clients 10000 --moves-per-second 2 --duration 60s
# PORT (default 18108) and every setting of the server may be set from outside.
set -euo pipefail
cd "$(dirname "$0")/.."

export HOST=127.0.0.1 PORT="${PORT:-18108}" MAX_CONNECTIONS="${MAX_CONNECTIONS:-19400}"
bin="${CARGO_TARGET_DIR:-target}/release"
cargo build --release --quiet --package pixi-game-server --package loadtest --bins

log="$(mktemp)"
"$bin/pixi-game-server" 2>"$log" &
server=$!
trap 'kill "$server" 2>/dev/null || true; wait "$server" 2>/dev/null || true; rm -f "$log"' EXIT

for _ in $(seq 50); do
  "$bin/pixi-game-server" --health-check 2>/dev/null && break
  kill -0 "$server" 2>/dev/null || { cat "$log" >&2; exit 1; }
  sleep 0.1
done

"$bin/loadtest" --server "ws://127.0.0.1:$PORT/ws" --pid "$server" --alone "$@"
