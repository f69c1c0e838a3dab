#!/usr/bin/env bash
# Runs Artillery's players against a server: run.sh quick, or run.sh full. Without SERVER (host:port) it starts a server and
# always stops it. Installs Artillery here, and Node.js from Debian's packages, when missing.
# Exits with 1 when a MOVE was not acknowledged or a player failed.
set -euo pipefail
cd "$(dirname "$0")/../.."

environment="${1:-}"
case "$environment" in
  quick | full) ;;
  *) echo "artillery: '$environment': expected quick or full" >&2; exit 2 ;;
esac

here=tools/artillery
tools/need.sh node:nodejs npm:npm
if [ ! -x "$here/node_modules/.bin/artillery" ]; then
  echo "installing Artillery below $here/node_modules: 600 MB, some minutes, once" >&2
  # Installation scripts of its packages would download browsers, which are not needed.
  npm install --prefix "$here" --no-package-lock --ignore-scripts --no-audit --no-fund >&2
fi

export ARTILLERY_DISABLE_TELEMETRY=true
players() { # host:port
  "$here/node_modules/.bin/artillery" run --environment "$environment" --target "ws://$1/ws" "$here/players.yml"
}

if [ -n "${SERVER:-}" ]; then
  players "$SERVER"
else
  export -f players
  export here environment
  tools/with-server.sh bash -c 'players "$HOST:$PORT"'
fi
