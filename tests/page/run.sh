#!/usr/bin/env bash
# Runs one of the scripts beside it, which drive the pages in a browser: run.sh page.test.mjs. Installs what is missing:
# Node.js, npm and Chromium from Debian's packages, playwright-core from npm.
set -euo pipefail
cd "$(dirname "$0")/../.."

tools/need.sh node:nodejs npm:npm chromium:chromium
[ -d tests/page/node_modules/playwright-core ] ||
  npm ci --prefix tests/page --ignore-scripts --no-audit --no-fund >&2

cargo build --release --quiet --package pixi-game-server --package loadtest --bins
PROGRAMS="$(realpath "${CARGO_TARGET_DIR:-target}")/release" CHROMIUM="$(command -v chromium)"
export PROGRAMS CHROMIUM
exec node --test --test-reporter=spec "tests/page/$1"
