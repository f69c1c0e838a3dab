#!/usr/bin/env bash
# Starts a server on a separate port, runs a load test against it and prints the verdict. Always stops the server.
# Arguments go to the load test: tools/load-test.sh --clients 10000 --moves-per-second 2 --duration 60s
# PORT (default 18108) and every setting of the server can be set in the environment.
set -euo pipefail
cd "$(dirname "$0")/.."

export LOADTEST="${CARGO_TARGET_DIR:-target}/release/loadtest"
# One command builds both, so that cargo unifies their features as in the demo's build and rebuilds nothing.
tools/cargo.sh build --release --package pixi-game-server --package loadtest --bins
exec tools/with-server.sh sh -c \
  'exec "$LOADTEST" --server "ws://$HOST:$PORT/ws" --pid "$SERVER_PID" --alone "$@"' load-test "$@"
