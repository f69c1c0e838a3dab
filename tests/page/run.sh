#!/usr/bin/env bash
# Runs scripts beside it, which drive the pages in a browser: run.sh page.test.mjs files.test.mjs package.test.mjs. Installs what is missing:
# Node.js, npm and Chromium from Debian's packages, the rest from npm. BUILD=release: against the optimised programs.
set -euo pipefail
cd "$(dirname "$0")/../.."

tools/need.sh node:nodejs npm:npm chromium:chromium
# Which versions are there is noted beside them: an update of the lock file is noticed.
cmp --silent tests/page/package-lock.json tests/page/node_modules/.installed || {
  npm ci --prefix tests/page --ignore-scripts --no-audit --no-fund >&2
  cp tests/page/package-lock.json tests/page/node_modules/.installed
}
# The types in the comments of the pages' modules are true.
tests/page/node_modules/.bin/tsc --project tests/page

BUILD=${BUILD:-debug}
cargo build --quiet --package pixi-game-server --package loadtest --bins --profile "${BUILD/debug/dev}"
PROGRAMS="$(realpath "${CARGO_TARGET_DIR:-target}")/$BUILD" CHROMIUM="$(command -v chromium)"
export PROGRAMS CHROMIUM
exec node --test --test-reporter=spec "${@/#/tests/page/}"
