#!/bin/sh
# Installs the Debian packages of missing programs: tools/need.sh program:package ... Does nothing if none is missing.
set -eu
PATH="$PATH:/usr/sbin:/sbin"
missing=
for need in "$@"; do
    command -v "${need%%:*}" >/dev/null || missing="$missing ${need#*:}"
done
[ -n "$missing" ] || exit 0

as_root=
if [ "$(id -u)" -ne 0 ]; then
    as_root=sudo
    if ! sudo -n true 2>/dev/null; then
        echo "needed:$missing; run: sudo apt-get install --yes --no-install-recommends$missing" >&2
        exit 1
    fi
fi
$as_root apt-get update >&2
# RUNLEVEL=1 keeps packages from starting their services where systemd does not run.
$as_root env RUNLEVEL=1 DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends $missing >&2
