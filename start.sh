#!/usr/bin/env bash
# Builds the server for release, raises the limit of open files as far as it goes, and becomes the server.
# The server reads its settings from the environment, with its own defaults (`--help`). Arguments go to the server.
set -euo pipefail
cd "$(dirname "$0")"

# The heap in huge pages, where the kernel gives them on demand: fewer addresses for the processor to look up.
export GLIBC_TUNABLES="${GLIBC_TUNABLES:-glibc.malloc.hugetlb=1}"

cargo build --release --package pixi-game-server --bin pixi-game-server

# The soft limit up to the hard one; the server itself says what it lacks, and how to get it.
ulimit -n "$(ulimit -Hn)" 2>/dev/null || true

exec "${CARGO_TARGET_DIR:-target}/release/pixi-game-server" "$@"
