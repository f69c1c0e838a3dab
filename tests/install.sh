#!/bin/sh
# Installs the programs that the tests run, from Debian's packages, when they are missing. Does nothing when all are there.
set -eu
PATH="$PATH:/usr/sbin:/sbin"
missing=
need() { command -v "$1" >/dev/null || missing="$missing $2"; }
need nginx nginx-light            # tests/proxies
need haproxy haproxy              # tests/proxies
need openssl openssl              # tests/proxies: certificates, a client over TLS
need ip iproute2                  # tests/hostile, tests/exhaustion: network namespaces
need strace strace                # tests/process, tests/exhaustion: faults in system calls
need systemd-analyze systemd      # tests/process: the unit
need setpriv util-linux           # tests/process, tests/exhaustion: without privileges
need promtool prometheus          # tests/documents: alert rules
need docker-compose docker-compose  # tests/documents: the stack
need socat socat                  # tests/documents: the way from another server
need curl curl                    # tests/documents
need node nodejs                 # tests/operation: the players of Artillery
need jq jq                        # tests/documents
need logrotate logrotate          # tests/exhaustion
need sysctl procps                # tools/tune
need mandoc mandoc                # tools/manual: the manual pages
need zsh zsh                      # tools/manual: completions
need fish fish                    # tools/manual: completions
[ -n "$missing" ] || exit 0

as_root=
if [ "$(id -u)" -ne 0 ]; then
    as_root=sudo
    if ! sudo -n true 2>/dev/null; then
        echo "the tests need$missing; run: sudo apt-get install --yes --no-install-recommends$missing" >&2
        exit 1
    fi
fi
$as_root apt-get update >&2
# RUNLEVEL=1: without systemd the packages do not start their services.
$as_root env RUNLEVEL=1 DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends $missing >&2
