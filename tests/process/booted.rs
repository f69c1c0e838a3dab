//! The package on a machine that systemd has booted, as an operator uses it: `make test-systemd`.
//!
//! The machine is a container on an overlay over this system, with a network of its own. Containers need root and control
//! groups, which not every machine that runs the other tests grants.

use std::process::Command;

use super::package::package;
use crate::support::debian::{is_root, program};
use crate::support::folder;
use crate::support::process::{stdout_text, succeed, unshared};

/// Boots systemd with the steps as its only service besides systemd's own, until they end. Prints what they printed.
const BOOT: &str = r#"set -e
mount -t tmpfs tmpfs "$1"
mkdir "$1/upper" "$1/work" "$1/root"
mount -t overlay overlay -o "lowerdir=/,upperdir=$1/upper,workdir=$1/work" "$1/root"
cd "$1/root"
cp "$2" package.deb
printf '%s\n' "$3" >steps
rm -rf etc/systemd/system/*.wants
mkdir -p etc/systemd/system/multi-user.target.wants
ln -s ../steps.service etc/systemd/system/multi-user.target.wants/
cat >etc/systemd/system/steps.service <<'END'
[Unit]
SuccessAction=poweroff
FailureAction=poweroff
[Service]
Type=oneshot
ExecStart=/bin/sh -ex /steps
StandardOutput=truncate:/printed
StandardError=append:/printed
END
timeout 120 systemd-nspawn --directory="$PWD" --boot --private-network --register=no --keep-unit --link-journal=no \
    --machine=pixi-game-test --console=pipe --quiet </dev/null >&2 || true
cat printed
"#;

/// What an operator does. The first failure ends the steps.
const STEPS: &str = r#"
export DEBIAN_FRONTEND=noninteractive
main_pid() { systemctl show --property MainPID --value "$1"; }
players() { pixi-game-server ctl status | awk '$1 == "players" { print $2 }'; }
wait_for() { for _ in $(seq 150); do if eval "$1"; then return; fi; sleep 0.1; done; false; }
is_new() { [ "$(main_pid "$1")" != "$2" ] && [ "$(main_pid "$1")" != 0 ] && systemctl --quiet is-active "$1"; }
journal() { journalctl --unit 'pixi-game-server*' --output cat; }
fails() { if "$@"; then return 1; fi; }
never_logged() { if journal | grep "$1"; then return 1; fi; }
load() { pixi-game-loadtest --clients 50 --viewers 10 --warm-up 500ms --duration 8s --metrics "$1" & load=$!; }
service=pixi-game-server

dpkg --install /package.deb
fails systemctl --quiet is-enabled $service
printf '%s\n' HOST=127.0.0.1 ADMIN_ADDR=127.0.0.1:9108 >>/etc/pixi-game-server.env
systemctl enable --now $service
systemctl --quiet is-active $service
journal | grep 'metrics at http://127.0.0.1:9108/metrics'

: a reload and an upgrade take over all players
load 127.0.0.1:9108
wait_for '[ "$(players)" = 50 ]'
old=$(main_pid $service)
systemctl reload $service
is_new $service "$old"
[ "$(players)" = 50 ]
old=$(main_pid $service)
dpkg --install /package.deb
is_new $service "$old"
[ "$(players)" = 50 ]
wait $load
never_logged 'not our child'

: a reload with invalid settings fails, and the server goes on
old=$(main_pid $service)
cp /etc/pixi-game-server.env /saved
echo TICK_RATE=many >>/etc/pixi-game-server.env
fails systemctl reload $service
journal | grep 'TICK_RATE=many'
[ "$(main_pid $service)" = "$old" ]
cp /saved /etc/pixi-game-server.env

: a killed server is started again
kill -KILL "$old"
wait_for "is_new $service $old"
[ "$(players)" = 0 ]

: a server that took over is stopped as gently as any
systemctl reload $service
systemctl disable --now $service
journal | tail | grep '\] stopped'
never_logged 'signal SIGKILL'

: several processes are one world
mkdir -p /run/redis
chown redis:redis /run/redis
setpriv --reuid redis --regid redis --init-groups redis-server --port 0 --save '' --dir /tmp --daemonize yes \
    --unixsocket /run/redis/redis-server.sock --unixsocketperm 770
usermod --append --groups redis pixi-game-server
sed -i 's/^ADMIN_ADDR=.*/ADMIN_ADDR=127.0.0.1:9108-9109/' /etc/pixi-game-server.env
echo CLUSTER_URL=redis+unix:///run/redis/redis-server.sock >>/etc/pixi-game-server.env
echo CLUSTER_SECRET="$(head -c 32 /dev/urandom | basenc --base16 -w 0)" >>/etc/pixi-game-server.env
systemctl enable --now $service@1 $service@2 $service.target
wait_for '[ "$(pixi-game-server ctl nodes | grep --count serving)" = 2 ]'
wait_for 'pixi-game-server --health-check'
load 127.0.0.1:9108,127.0.0.1:9109
wait_for '[ "$(pixi-game-server ctl nodes | awk "{ all += \$4 } END { print all }")" = 50 ]'
old=$(main_pid $service@1)
systemctl reload "$service@*"
is_new $service@1 "$old"
wait $load
never_logged 'Redis unreachable'
old=$(main_pid $service@1)
kill -KILL "$old"
wait_for "is_new $service@1 $old"
systemctl stop $service.target
fails systemctl --quiet is-active $service@1
fails systemctl --quiet is-active $service@2

: removal stops and disables all
systemctl start $service.target
dpkg --remove pixi-game-server
fails systemctl --quiet is-active $service@1
fails systemctl --quiet is-enabled $service.target
never_logged 'not our child'
echo all steps done
"#;

#[test]
#[ignore = "boots a container as root: make test-systemd"]
fn systemd_starts_reloads_and_stops_what_the_package_installs() {
    assert!(is_root(), "a container that boots needs root");
    for needed in ["systemd-nspawn", "redis-server"] {
        program(needed);
    }
    let words = unshared("--mount", BOOT);
    let mut command = Command::new(words[0]);
    command.args(&words[1..]).arg(folder("booted")).arg(package()).arg(STEPS);
    let printed = stdout_text(&succeed(&mut command));
    assert!(printed.ends_with("all steps done\n"), "{printed}");
}
