#!/bin/sh
# Installs the proxies that the tests run, when they are missing. Nothing is done when all are there.
set -eu
PATH="$PATH:/usr/sbin"
missing=
command -v nginx >/dev/null || missing="$missing nginx-light"
command -v haproxy >/dev/null || missing="$missing haproxy"
command -v openssl >/dev/null || missing="$missing openssl"
[ -n "$missing" ] || exit 0

as_root=
if [ "$(id -u)" -ne 0 ]; then
    as_root=sudo
    if ! sudo -n true 2>/dev/null; then
        echo "the tests need$missing; run: sudo apt-get install --yes --no-install-recommends$missing" >&2
        exit 1
    fi
fi
$as_root apt-get update
# RUNLEVEL=1: without systemd the packages do not start their services.
$as_root env RUNLEVEL=1 DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends $missing
