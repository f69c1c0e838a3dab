#!/bin/sh
# Installs everything that belongs to the server, or takes it away again: tools/install.sh install|uninstall
# PREFIX [/usr/local] is where, SYSCONFDIR [/etc] where settings are, DESTDIR what is put before both (for packages).
# The programs and the files of tools/manual must have been built: `make install` does that first.
set -eu
cd "$(dirname "$0")/.."
PREFIX="${PREFIX:-/usr/local}" SYSCONFDIR="${SYSCONFDIR:-/etc}" DESTDIR="${DESTDIR:-}"
target="${CARGO_TARGET_DIR:-target}" build="${INSTALL_BUILD:-release}"
settings="$SYSCONFDIR/pixi-game-server.env"
# Debian's zsh looks elsewhere for what packages bring.
zsh="$PREFIX/share/zsh/site-functions"
if [ "$PREFIX" = /usr ] && [ -e /etc/debian_version ]; then zsh=/usr/share/zsh/vendor-completions; fi

# Source, mode, where to: all that is installed but the settings.
files() {
    cat <<LIST
$target/$build/pixi-game-server 755 $PREFIX/bin/pixi-game-server
$target/$build/pixi-game-tune 755 $PREFIX/bin/pixi-game-tune
$target/manual/pixi-game-server.service 644 $PREFIX/lib/systemd/system/pixi-game-server.service
deploy/pixi-game-server.sysusers 644 $PREFIX/lib/sysusers.d/pixi-game-server.conf
deploy/pixi-game-server.logrotate 644 $SYSCONFDIR/logrotate.d/pixi-game-server
$target/manual/pixi-game-server.8 644 $PREFIX/share/man/man8/pixi-game-server.8
$target/manual/pixi-game-tune.8 644 $PREFIX/share/man/man8/pixi-game-tune.8
$target/manual/pixi-game-server.bash 644 $PREFIX/share/bash-completion/completions/pixi-game-server
$target/manual/_pixi-game-server 644 $zsh/_pixi-game-server
$target/manual/pixi-game-server.fish 644 $PREFIX/share/fish/vendor_completions.d/pixi-game-server.fish
README.md 644 $PREFIX/share/doc/pixi-game-server/README.md
CHANGELOG.md 644 $PREFIX/share/doc/pixi-game-server/CHANGELOG.md
SECURITY.md 644 $PREFIX/share/doc/pixi-game-server/SECURITY.md
deploy/haproxy.cfg 644 $PREFIX/share/doc/pixi-game-server/examples/haproxy.cfg
deploy/nginx.conf 644 $PREFIX/share/doc/pixi-game-server/examples/nginx.conf
LIST
}

install_all() {
    # The unit names the program and its settings by where they are.
    sed "s|/usr/local/bin|$PREFIX/bin|; s|/etc/pixi-game-server.env|$settings|" \
        deploy/pixi-game-server.service >"$target/manual/pixi-game-server.service"
    files | while read -r source mode file; do
        install -D -m "$mode" "$source" "$DESTDIR$file"
    done
    if [ -e "$DESTDIR$settings" ]; then
        echo "kept: $settings"
    else
        install -D -m 644 "$target/manual/pixi-game-server.env" "$DESTDIR$settings"
    fi
    if [ -z "$DESTDIR" ] && [ -d /run/systemd/system ]; then
        systemd-sysusers pixi-game-server.conf
        systemctl daemon-reload
        echo "installed below $PREFIX; next: edit $settings, then run: systemctl enable --now pixi-game-server"
    elif [ -z "$DESTDIR" ]; then
        echo "installed below $PREFIX; systemd does not run here: start $PREFIX/bin/pixi-game-server as you like"
    fi
}

uninstall_all() {
    if [ -z "$DESTDIR" ] && [ -d /run/systemd/system ]; then
        systemctl disable --now pixi-game-server.service || true
    fi
    files | while read -r _ _ file; do
        rm -f "$DESTDIR$file"
    done
    rmdir "$DESTDIR$PREFIX/share/doc/pixi-game-server/examples" "$DESTDIR$PREFIX/share/doc/pixi-game-server" 2>/dev/null || true
    # Settings that somebody made are theirs.
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
*)
    echo "tools/install.sh: ${1:-nothing}: expected install or uninstall" >&2
    exit 2
    ;;
esac
