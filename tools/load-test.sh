#!/usr/bin/env bash
# Starts a server on a port of its own, loads it, prints the verdict, stops the server whatever happens.
# Arguments go to the load test: tools/load-test.sh --clients 10000 --moves-per-second 2 --duration 60s
# PORT (default 18108) and every setting of the server may be set from outside.
set -euo pipefail
cd "$(dirname "$0")/.."

export LOADTEST="${CARGO_TARGET_DIR:-target}/release/loadtest"
# Both at once: the server that is started below is then built alike, and the load test as the demo has it.
cargo build --release --quiet --package pixi-game-server --package loadtest --bins
exec tools/with-server.sh sh -c \
  'exec "$LOADTEST" --server "ws://$HOST:$PORT/ws" --pid "$SERVER_PID" --alone "$@"' load-test "$@"
