#!/usr/bin/env bash
# Runs one of the scripts beside it, which drive the pages in a browser: run.sh page.test.mjs. Installs what is missing:
# Node.js, npm and Chromium from Debian's packages, playwright-core from npm.
set -euo pipefail
cd "$(dirname "$0")/../.."

missing=
for need in node:nodejs npm:npm chromium:chromium; do
  command -v "${need%:*}" >/dev/null || missing="$missing ${need#*:}"
done
if [ -n "$missing" ]; then
  as_root=
  [ "$(id -u)" -eq 0 ] || as_root=sudo
  $as_root apt-get update >&2
  $as_root env DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends $missing >&2
fi
[ -d tests/page/node_modules/playwright-core ] ||
  npm ci --prefix tests/page --ignore-scripts --no-audit --no-fund >&2

cargo build --release --quiet --package pixi-game-server --package loadtest --bins
PROGRAMS="$(realpath "${CARGO_TARGET_DIR:-target}")/release" CHROMIUM="$(command -v chromium)"
export PROGRAMS CHROMIUM
exec node --test --test-reporter=spec "tests/page/$1"
