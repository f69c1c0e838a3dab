#!/usr/bin/env bash
# Builds the server for release, raises the limit of open files to the hard limit, and runs the server in its place.
# The server reads its settings from the environment and has its own defaults (`--help`). Arguments go to the server.
#
# PROCESSES=4 or --processes 4 runs several servers that share the port and the world: see tools/processes.sh.
set -euo pipefail
cd "$(dirname "$0")"

die() { echo "start.sh: $2" >&2; exit "$1"; }

# The last value counts, as for the flags of the server.
given='' processes="${PROCESSES:-}" arguments=()
[[ -z $processes ]] || given="PROCESSES=$processes"
while (( $# )); do
  case $1 in
    --processes | -processes) processes="${2:-}" given="$1 ${2:-}" && shift $(( $# > 1 ? 2 : 1 )) ;;
    --processes=* | -processes=*) processes="${1#*=}" given="$1" && shift ;;
    *) arguments+=("$1") && shift ;;
  esac
done
if [[ -n $given ]]; then
  [[ $processes =~ ^[0-9]{1,2}$ ]] && (( 10#$processes >= 1 && 10#$processes <= 64 )) ||
    die 2 "$given: expected a whole number from 1 to 64"
  processes=$((10#$processes))
fi

# Takeovers concern as many processes as run. Other actions, such as --help, need one.
for argument in "${arguments[@]}"; do
  case ${argument#-} in
    -takeover | takeover) processes="${processes:-0}" ;;
    -background-takeover | background-takeover | -check-config | check-config | -print-config | print-config | \
      -health-check | health-check | -help | help | h | -version | version | V) processes=1 && break ;;
  esac
done
[[ ${arguments[0]:-} != ctl ]] || processes=1

# Both before the build, which takes minutes. An environment file may name another Redis, and is read after it.
tools/cargo.sh --version >/dev/null
if (( ${processes:-1} > 1 )) && [[ " ${arguments[*]}" != *[\ -]-env-file* && " ${arguments[*]}" != *[\ -]-cluster-url* &&
  " ${arguments[*]}" != *[\ -]-takeover* ]]; then
  tools/local-redis.sh --find "$processes"
fi

# Requests huge pages for the heap, where the kernel grants them with madvise: fewer TLB misses.
export GLIBC_TUNABLES="${GLIBC_TUNABLES:-glibc.malloc.hugetlb=1}"

tools/cargo.sh build --release --package pixi-game-server --bin pixi-game-server

# Raises the soft limit to the hard limit; the server logs a limit that is still too low.
ulimit -n "$(ulimit -Hn)" 2>/dev/null || true

program="${CARGO_TARGET_DIR:-target}/release/pixi-game-server"
if [[ ${processes:-1} == 1 ]]; then
  exec "$program" "${arguments[@]}"
fi
exec tools/processes.sh "$processes" "$program" "${arguments[@]}"
