#!/usr/bin/env bash
# Builds the server for release, raises the limit of open files as far as it goes, and becomes the server.
# Every variable below may be set from outside; so may all others that `--help` lists. Arguments go to the server.
set -euo pipefail
cd "$(dirname "$0")"

export PORT="${PORT:-8108}"
export HOST="${HOST:-0.0.0.0}"
export WORKERS="${WORKERS:-0}"
export MAX_CONNECTIONS="${MAX_CONNECTIONS:-12000}"
export TICK_RATE="${TICK_RATE:-60}"
export SYNC_INTERVAL_SEC="${SYNC_INTERVAL_SEC:-5}"
export BATCH_INTERVAL_MS="${BATCH_INTERVAL_MS:-50}"
export MAX_VISIBLE="${MAX_VISIBLE:-128}"
export RATE_LIMIT_MSG_SEC="${RATE_LIMIT_MSG_SEC:-60}"
export RATE_LIMIT_BURST="${RATE_LIMIT_BURST:-60}"
export LOG_LEVEL="${LOG_LEVEL:-info}"

# The heap in huge pages, where the kernel gives them on demand: fewer addresses for the processor to look up.
export GLIBC_TUNABLES="${GLIBC_TUNABLES:-glibc.malloc.hugetlb=1}"

cargo build --release --package pixi-game-server --bin pixi-game-server

# The soft limit up to the hard one; the server itself says what it lacks, and how to get it.
ulimit -n "$(ulimit -Hn)" 2>/dev/null || true

exec "${CARGO_TARGET_DIR:-target}/release/pixi-game-server" "$@"
