#!/usr/bin/env bash
# Builds the server for release, raises the limit of open files to the hard limit, and runs the server in its place.
# The server reads its settings from the environment and has its own defaults (`--help`). Arguments go to the server.
set -euo pipefail
cd "$(dirname "$0")"

# Requests huge pages for the heap, where the kernel grants them with madvise: fewer TLB misses.
export GLIBC_TUNABLES="${GLIBC_TUNABLES:-glibc.malloc.hugetlb=1}"

cargo build --release --package pixi-game-server --bin pixi-game-server

# Raises the soft limit to the hard limit; the server logs a limit that is still too low.
ulimit -n "$(ulimit -Hn)" 2>/dev/null || true

exec "${CARGO_TARGET_DIR:-target}/release/pixi-game-server" "$@"
