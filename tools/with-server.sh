#!/usr/bin/env bash
# Starts a server on a port of its own, runs a command beside it, and stops the server whatever happens. The command finds
# HOST, PORT and SERVER_PID in its environment: tools/with-server.sh sh -c 'curl -s $HOST:$PORT/health'
# PORT (default 18108) and every setting of the server may be set from outside.
set -euo pipefail
cd "$(dirname "$0")/.."

export HOST=127.0.0.1 PORT="${PORT:-18108}" MAX_CONNECTIONS="${MAX_CONNECTIONS:-19400}"
# As start.sh.
export GLIBC_TUNABLES="${GLIBC_TUNABLES:-glibc.malloc.hugetlb=1}"
bin="${CARGO_TARGET_DIR:-target}/release"
cargo build --release --quiet --package pixi-game-server --bins

log="$(mktemp)"
"$bin/pixi-game-server" 2>"$log" &
export SERVER_PID=$!
trap 'kill "$SERVER_PID" 2>/dev/null || true; wait "$SERVER_PID" 2>/dev/null || true; rm -f "$log"' EXIT

for _ in $(seq 50); do
  "$bin/pixi-game-server" --health-check 2>/dev/null && break
  kill -0 "$SERVER_PID" 2>/dev/null || { cat "$log" >&2; exit 1; }
  sleep 0.1
done

"$@"
