#!/bin/sh
# Installs the programs that the tests run from Debian packages, unless all of them are present.
set -eu
needed=
need() { needed="$needed $1:$2"; }
need nginx nginx-light            # tests/admission/proxies
need haproxy haproxy              # tests/admission/proxies
need redis-server redis-server  # tests/cluster
need openssl openssl              # tests/admission/proxies: certificates, a client over TLS
need ip iproute2                  # tests/overload: network namespaces
need strace strace                # tests/process, tests/overload: faults in system calls
need systemd-analyze systemd      # tests/process: the unit
need setpriv util-linux           # tests/process, tests/overload: without privileges
need promtool prometheus          # tests/documents: alert rules
need docker-compose docker-compose  # tests/documents: the stack
need socat socat                  # tests/documents: the way from another server
need curl curl                    # tests/documents
need node nodejs                  # tests/tools, tests/protocol: JavaScript
need python3 python3              # tests/documents: a login page
need jq jq                        # tests/documents
need logrotate logrotate          # tests/process: log rotation
need sysctl procps                # tools/ops: tune
need mandoc mandoc                # tools/ops: the manual pages
need zsh zsh                      # tools/ops: completions
need dpkg-shlibdeps dpkg-dev      # tests/process: the package
need fish fish                    # tools/ops: completions
exec "$(dirname "$0")/../tools/need.sh" $needed
