#!/usr/bin/env bash
# Runs a Redis or Valkey at FOLDER/redis.sock for the servers of tools/processes.sh: tools/local-redis.sh FOLDER
# It has no port and no persistence, is started again if it ends, and ends with the script whose process id FOLDER/supervisor has.
# FOLDER is removed at the end. `--find N` says what to install for N processes, if neither is there nor CLUSTER_URL is set.
set -euo pipefail

# Longest pause before the next start of a Redis that ends repeatedly, in seconds.
PAUSE_S_MAX=60

find_program() {
  command -v redis-server || command -v valkey-server
}

if [[ $1 == --find ]]; then
  [[ -z ${CLUSTER_URL:-} ]] && ! find_program >/dev/null || exit 0
  echo "start.sh: $2 processes need Redis or Valkey (apt-get install redis-server, dnf install valkey, pacman -S valkey," \
    "apk add valkey), or its address in CLUSTER_URL" >&2
  exit 1
fi

unset CLUSTER_SECRET
folder=$1 redis='' pause_s=1
program="$(find_program)"
# Redis does not outlive this script, however it ends.
bound=()
! setpriv --pdeathsig TERM true 2>/dev/null || bound=(setpriv --pdeathsig TERM)
# Reading from it waits without a process: it never has anything to read.
mkfifo "$folder/idle" && exec {idle}<>"$folder/idle" && rm "$folder/idle"

start_redis() {
  rm -f "$folder/redis.sock"
  "${bound[@]}" "$program" --port 0 --unixsocket "$folder/redis.sock" --unixsocketperm 700 --save '' --appendonly no \
    --dir "$folder" --loglevel warning --daemonize no >"$folder/redis.log" 2>&1 {idle}>&- &
  redis=$!
}

end() {
  trap '' TERM INT HUP
  kill -TERM "$redis" 2>/dev/null || true
  wait "$redis" 2>/dev/null || true
  rm -rf "$folder"
  exit 0
}

wait_s() {
  read -rt "$1" -u "$idle" _ || true
}

trap end TERM
trap '' INT HUP
exec {log}>&2
start_redis
while read -r supervisor <"$folder/supervisor" && kill -0 "$supervisor"; do
  wait_s 1
  kill -0 "$redis" && continue
  status=0
  wait "$redis" || status=$?
  echo "start.sh: Redis ended with status $status, and is started again in $pause_s s" >&"$log"
  wait_s "$pause_s"
  pause_s=$(( pause_s * 2 < PAUSE_S_MAX ? pause_s * 2 : PAUSE_S_MAX ))
  start_redis
  # Without the shell's own message about a killed process.
done 2>/dev/null
end
