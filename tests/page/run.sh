#!/usr/bin/env bash
# Runs browser tests of this directory: run.sh page.test.mjs nodes.test.mjs. Installs missing dependencies:
# Node.js, npm and Chromium from Debian's packages, the others from npm. BUILD=release tests the optimized programs.
set -euo pipefail
cd "$(dirname "$0")/../.."

tools/need.sh node:nodejs npm:npm chromium:chromium
# node_modules/.installed is a copy of the lock file at the last install, so that an update of it installs again.
cmp --silent tests/page/package-lock.json tests/page/node_modules/.installed || {
  npm ci --prefix tests/page --ignore-scripts --no-audit --no-fund >&2
  cp tests/page/package-lock.json tests/page/node_modules/.installed
}
# Checks the types in the comments of the pages' modules.
tests/page/node_modules/.bin/tsc --project tests/page

BUILD=${BUILD:-debug}
# After `cargo test` the programs exist (IS_BUILT): this selection of packages would compile dependencies with other features.
[[ ${IS_BUILT:-} == true ]] ||
  tools/cargo.sh build --package pixi-game-server --package loadtest --bins --profile "${BUILD/debug/dev}"
PROGRAMS="$(realpath "${CARGO_TARGET_DIR:-target}")/$BUILD" CHROMIUM="$(command -v chromium)"
export PROGRAMS CHROMIUM
exec node --test --test-concurrency=2 --test-reporter=spec "${@/#/tests/page/}"
