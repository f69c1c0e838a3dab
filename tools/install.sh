#!/bin/sh
# Installs or removes the server and its files: tools/install.sh install|uninstall
# PREFIX [/usr/local] is the destination, SYSCONFDIR [/etc] that of settings; DESTDIR is prepended to both (for packages).
# The programs and the files of `pixi-game-ops manual` must have been built: `make install` does that first.
set -eu
cd "$(dirname "$0")/.."
PREFIX="${PREFIX:-/usr/local}" SYSCONFDIR="${SYSCONFDIR:-/etc}" DESTDIR="${DESTDIR:-}"
target="${CARGO_TARGET_DIR:-target}" build="${INSTALL_BUILD:-release}"
settings="$SYSCONFDIR/pixi-game-server.env" service=pixi-game-server
# Debian has another folder for zsh completions from packages.
zsh="$PREFIX/share/zsh/site-functions"
if [ "$PREFIX" = /usr ] && [ -e /etc/debian_version ]; then zsh=/usr/share/zsh/vendor-completions; fi

complain() {
    printf '%s\n' "tools/install.sh: $1" >&2
    exit "$2"
}

# Characters that a systemd unit does not allow in the path of a program.
case "$PREFIX$SYSCONFDIR" in
*[\"\\\$\']* | *"
"*) complain "PREFIX=$PREFIX, SYSCONFDIR=$SYSCONFDIR: expected paths without quotes, backslashes, dollars and newlines" 2 ;;
esac

# Calls "$1" with source, mode and destination of a program with its manual page and completions: built name, installed name.
each_file_of() {
    "$1" "$target/$build/$2" 755 "$PREFIX/bin/$3"
    "$1" "$target/manual/$3.8" 644 "$PREFIX/share/man/man8/$3.8"
    "$1" "$target/manual/$3.bash" 644 "$PREFIX/share/bash-completion/completions/$3"
    "$1" "$target/manual/_$3" 644 "$zsh/_$3"
    "$1" "$target/manual/$3.fish" 644 "$PREFIX/share/fish/vendor_completions.d/$3.fish"
}

# Calls "$1" with source, mode and destination of every installed file except the settings.
each_file() {
    doc="$PREFIX/share/doc/pixi-game-server"
    each_file_of "$1" pixi-game-server pixi-game-server
    each_file_of "$1" pixi-game-ops pixi-game-ops
    each_file_of "$1" loadtest pixi-game-loadtest
    for unit in pixi-game-server.service pixi-game-server@.service; do
        "$1" "$target/manual/$unit" 644 "$PREFIX/lib/systemd/system/$unit"
    done
    for unit in pixi-game-server.target pixi-game-server.slice; do
        "$1" "deploy/$unit" 644 "$PREFIX/lib/systemd/system/$unit"
    done
    "$1" deploy/pixi-game-server.sysusers 644 "$PREFIX/lib/sysusers.d/pixi-game-server.conf"
    "$1" deploy/pixi-game-server.logrotate 644 "$SYSCONFDIR/logrotate.d/pixi-game-server"
    for document in README.md README.ru.md CHANGELOG.md SECURITY.md ARCHITECTURE.md LICENSE docs/*.md docs/*.png; do
        "$1" "$document" 644 "$doc/$document"
    done
    for example in deploy/haproxy*.cfg deploy/nginx*.conf deploy/prometheus/alerts.yml deploy/prometheus/prometheus.yml \
        deploy/grafana/dashboards/*.json deploy/grafana/provisioning/*/*.yml; do
        "$1" "$example" 644 "$doc/examples/${example#deploy/}"
    done
}

install_file() { install -D -m "$2" "$1" "$DESTDIR$3"; }
uninstall_file() { rm -f "$DESTDIR$3"; }

# Removes the programs of earlier versions, which are subcommands of pixi-game-ops now.
remove_former() {
    each_file_of uninstall_file tune pixi-game-tune
    each_file_of uninstall_file monitor pixi-game-monitor
}

# Writes the template of several processes: the unit with the head of the other file, and with its lines in place of those of the
# same name in the same section.
template() {
    awk '
        /^\[/ { section = $0; is_head = 0 }
        { name = section ($0 ~ /^[A-Za-z]+=/ ? substr($0, 1, index($0, "=")) : "") }
        FNR == 1 { is_head = 1 }
        FNR == NR && is_head { print; next }
        FNR == NR { if (name != section) given[name] = 1; if ($0 != "" && $0 != section) added[section] = added[section] $0 "\n"; next }
        is_head || name in given { next }
        { print }
        $0 == section { printf "%s", added[section] }
    ' deploy/pixi-game-server@.conf deploy/pixi-game-server.service
}

# Writes a unit with the paths of the program and its settings. Works character by character instead of with sed, so that no
# character is special, and quotes a path that systemd would split.
with_paths() {
    PROGRAM="$PREFIX/bin/pixi-game-server" SETTINGS="$settings" awk '
        function word(text,    at, one, quoted) {
            if (text ~ /^[A-Za-z0-9_.,:@+\/=-]+$/) return text
            for (at = 1; at <= length(text); at++) {
                one = substr(text, at, 1)
                quoted = quoted (one == "%" ? "%%" : one)
            }
            return "\"" quoted "\""
        }
        { at = index($0, "/etc/pixi-game-server.env"); rest = substr($0, at + length("/etc/pixi-game-server.env")) }
        /^Exec(Start|Reload)=/ {
            print substr($0, 1, index($0, "=")) word(ENVIRON["PROGRAM"]) " --env-file " word(ENVIRON["SETTINGS"]) rest
            next
        }
        at { $0 = substr($0, 1, at - 1) ENVIRON["SETTINGS"] rest }
        { print }'
}

# Settings may contain secrets: only root may write them and only the service may read them. Earlier installations made them
# world-readable. A group chosen by the administrator is kept.
protect_settings() {
    file="$DESTDIR$settings"
    mode="$(stat -L -c %a "$file")" group="$(stat -L -c %G "$file")"
    if [ -n "$DESTDIR" ]; then
        chmod o-rwx "$file"
    elif ! getent group "$service" >/dev/null; then
        # Without the service's group, a restricted mode could lock out the user of the server.
        case "$mode" in *0) ;; *) echo "world-readable, and may contain secrets: $settings" ;; esac
    elif [ "$(id -u)" -eq 0 ]; then
        case "$mode:$group" in
        *0:root) chgrp "$service" "$file" && chmod g+r,g-wx "$file" ;;
        *0:*) ;;
        *) chgrp "$service" "$file" && chmod 640 "$file" ;;
        esac
    fi
}

install_all() {
    with_paths <deploy/pixi-game-server.service >"$target/manual/pixi-game-server.service"
    template | with_paths >"$target/manual/pixi-game-server@.service"
    each_file install_file
    remove_former
    if [ -z "$DESTDIR" ] && [ -d /run/systemd/system ]; then
        systemd-sysusers pixi-game-server.conf
        systemctl daemon-reload
    fi
    if [ -e "$DESTDIR$settings" ]; then
        echo "kept: $settings"
    else
        install -D -m 640 "$target/manual/pixi-game-server.env" "$DESTDIR$settings"
    fi
    protect_settings
    if [ -z "$DESTDIR" ] && [ -d /run/systemd/system ]; then
        echo "installed below $PREFIX; next: edit $settings, then run: systemctl enable --now pixi-game-server"
    elif [ -z "$DESTDIR" ]; then
        echo "installed below $PREFIX; systemd is not running: start $PREFIX/bin/pixi-game-server by other means"
    fi
}

uninstall_all() {
    if [ -z "$DESTDIR" ] && [ -d /run/systemd/system ]; then
        systemctl disable --now pixi-game-server.service pixi-game-server.target || true
        systemctl stop 'pixi-game-server@*.service' || true
        # All instances.
        systemctl disable pixi-game-server@.service || true
    fi
    each_file uninstall_file
    remove_former
    for folder in examples/grafana/provisioning/dashboards examples/grafana/provisioning/datasources \
        examples/grafana/provisioning examples/grafana/dashboards examples/grafana examples/prometheus examples docs .; do
        rmdir "$DESTDIR$PREFIX/share/doc/pixi-game-server/$folder" 2>/dev/null || true
    done
    # Changed settings are kept.
    if cmp -s "$target/manual/pixi-game-server.env" "$DESTDIR$settings"; then
        rm "$DESTDIR$settings"
    elif [ -e "$DESTDIR$settings" ]; then
        echo "kept: $settings"
    fi
    if [ -z "$DESTDIR" ] && [ -d /run/systemd/system ]; then
        systemctl daemon-reload
    fi
}

case "${1:-}" in
install) install_all ;;
uninstall) uninstall_all ;;
*) complain "${1:-nothing}: expected install or uninstall" 2 ;;
esac
