#!/usr/bin/env bash
# Starts a server on a separate port, runs a command, and always stops both. The command finds HOST, PORT and SERVER_PID in its
# environment: tools/with-server.sh sh -c 'curl -s $HOST:$PORT/health'
# PORT (default 18108) and every setting of the server can be set in the environment.
set -euo pipefail
cd "$(dirname "$0")/.."

export HOST=127.0.0.1 PORT="${PORT:-18108}" MAX_CONNECTIONS="${MAX_CONNECTIONS:-19400}"
# The same as in start.sh.
export GLIBC_TUNABLES="${GLIBC_TUNABLES:-glibc.malloc.hugetlb=1}"
bin="${CARGO_TARGET_DIR:-target}/release"
tools/cargo.sh build --release --package pixi-game-server --bins

# Another process on this port would answer the health check below.
if (: <"/dev/tcp/$HOST/$PORT") 2>/dev/null; then
  echo "with-server.sh: port $PORT is taken; choose another: PORT=$((PORT + 1))" >&2
  exit 1
fi

log="$(mktemp)" command=''
stop() {
  trap '' INT TERM HUP
  [[ -z $command ]] || kill -TERM -- "-$command" 2>/dev/null || true
  kill "$SERVER_PID" 2>/dev/null || true
  wait "$SERVER_PID" 2>/dev/null || true
  rm -f "$log"
}
# Each has its own process group: Ctrl-C does not stop the server before the command, and a signal to this script reaches
# every process of the command exactly once.
set -m
"$bin/pixi-game-server" 2>"$log" &
export SERVER_PID=$!
trap stop EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
trap 'exit 129' HUP

for _ in $(seq 50); do
  "$bin/pixi-game-server" --health-check 2>/dev/null && break
  kill -0 "$SERVER_PID" 2>/dev/null || { cat "$log" >&2; exit 1; }
  sleep 0.1
done

pass() { # signal
  kill "-$1" -- "-$command" 2>/dev/null || true
}
"$@" &
command=$!
for signal in INT TERM HUP; do
  # shellcheck disable=SC2064
  trap "pass $signal" "$signal"
done
# The command decides how to react to a signal. Bash can miss one just before it waits; the next of these short waits handles it.
while kill -0 "$command" 2>/dev/null; do
  sleep 0.3 &
  wait $! || true
done
status=0
wait "$command" || status=$?
command=''
exit "$status"
