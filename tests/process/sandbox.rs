//! The server under the restrictions of its systemd unit, without systemd. The tests apply the unit's system
//! call filter (expanded by systemd's own tool) and its address families as seccomp rules. They also apply its ban on
//! writable and executable memory, no new privileges, no capabilities, the user `nobody`, and its limit of files.
//!
//! Not applied here: the mounts (`ProtectSystem`, `PrivateTmp` and others) and `MemoryMax`. The peak of
//! memory is compared with `MemoryMax` instead.

use std::collections::BTreeSet;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::{env, iter};

use game_client::Vector;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::signal::Signal;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socket};
use pixi_game_server::ops::crash::PANICKED;
use seccompiler::{BpfMap, TargetArch, apply_filter, compile_from_json};
use serde_json::{Value, json};

use super::fault::{Fault, send_request};
use super::unit;
use crate::support::http::get;
use crate::support::process::send_signal;
use crate::support::raw::Raw;
use crate::support::server::PROGRAM;
use crate::support::wait::wait_until;
use crate::support::{Client, Server, Settings, debian, proc, wait_for_acks};

/// User id of `nobody`.
const NOBODY: u32 = 65_534;

/// Name of [`enter_the_sandbox`] in the test harness.
const HELPER: &str = "process::sandbox::enter_the_sandbox";

const FILTER_VARIABLE: &str = "TEST_SECCOMP_FILTER";
const PROGRAM_VARIABLE: &str = "TEST_PROGRAM";
const ARGUMENT_VARIABLE: &str = "TEST_ARGUMENT";

/// `PROT_WRITE` and `PROT_EXEC`.
const WRITE_AND_EXECUTE: u32 = 6;

const EXECUTE: u32 = 4;

/// Names of the system calls that the unit allows.
fn allowed() -> BTreeSet<String> {
    // systemd allows these implicitly.
    let mut allowed: BTreeSet<String> = unit::group("@default").into_iter().collect();
    for line in unit::values("SystemCallFilter") {
        let (names, is_denied) = line.strip_prefix('~').map_or((line.as_str(), false), |names| (names, true));
        for name in names.split_whitespace() {
            let members = if name.starts_with('@') { unit::group(name) } else { vec![name.to_owned()] };
            for member in members {
                if is_denied {
                    allowed.remove(&member)
                } else {
                    allowed.insert(member)
                };
            }
        }
    }
    allowed
}

/// The rules for a system call.
fn rules(name: &str) -> Vec<Value> {
    let with = |index: u32, op: &Value, value: u32| json!({"syscall": name, "args": [{"index": index, "type": "dword", "op": op, "val": value}]});
    match name {
        "socket" => unit::values("RestrictAddressFamilies")
            .iter()
            .flat_map(|line| line.split_whitespace())
            .map(|family| match family {
                "AF_UNIX" => with(0, &json!("eq"), 1),
                "AF_INET" => with(0, &json!("eq"), 2),
                "AF_INET6" => with(0, &json!("eq"), 10),
                other => panic!("unknown rule {other}"),
            })
            .collect(),
        "mmap" => [0, 2, 4].map(|value| with(2, &json!({"masked_eq": WRITE_AND_EXECUTE}), value)).to_vec(),
        "mprotect" | "pkey_mprotect" => vec![with(2, &json!({"masked_eq": EXECUTE}), 0)],
        _ => vec![json!({"syscall": name})],
    }
}

fn compile(rules: &[Value]) -> Option<BpfMap> {
    let filter =
        json!({"server": {"mismatch_action": {"errno": 1}, "match_action": "allow", "filter": rules}});
    let arch = TargetArch::try_from(env::consts::ARCH).expect("a known processor");
    compile_from_json(filter.to_string().as_bytes(), arch).ok()
}

/// A new folder that all users may read and write.
fn public_folder(name: &str) -> PathBuf {
    let folder = env::temp_dir().join(format!("pixi-game-server-{}-{name}", std::process::id()));
    fs::create_dir_all(&folder).expect("a folder");
    fs::set_permissions(&folder, Permissions::from_mode(0o777)).expect("a public folder");
    folder
}

/// The command that becomes the server in the sandbox, from copies in a folder that `nobody` may read.
fn command(settings: &Settings, folder: &Path) -> Command {
    let (helper, program) = (folder.join("helper"), folder.join("pixi-game-server"));
    fs::copy(env::current_exe().expect("this program"), &helper).expect("a copy of this program");
    fs::copy(PROGRAM, &program).expect("a copy of the server");
    let known: Vec<Value> =
        allowed().iter().map(|name| rules(name)).filter(|rules| compile(rules).is_some()).flatten().collect();
    assert!(known.len() > 100, "few system calls are known: {known:?}");

    let mut command = Command::new(debian::program("setpriv"));
    if debian::is_root() {
        let nobody = NOBODY.to_string();
        command.args(["--reuid", &nobody, "--regid", &nobody, "--clear-groups"]);
        command.args(["--bounding-set=-all", "--inh-caps=-all"]);
    }
    command.arg("--no-new-privs").arg(helper).args(["--ignored", "--exact", HELPER, "--nocapture"]);
    command.env_clear().envs(settings.command().get_envs().filter_map(|(name, value)| Some((name, value?))));
    command.env(FILTER_VARIABLE, Value::from(known).to_string()).env(PROGRAM_VARIABLE, program);
    command.current_dir(folder);
    command
}

// Started by the tests below as `nobody`: sets the limits, applies the filter and becomes the server.
#[test]
#[ignore = "becomes a server in a sandbox"]
fn enter_the_sandbox() {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).expect("the limit of files");
    let files = unit::values("LimitNOFILE")[0].parse::<u64>().expect("a number").min(hard);
    setrlimit(Resource::RLIMIT_NOFILE, files, files).expect("a lower limit of files");
    let rules: Vec<Value> = serde_json::from_str(&env::var(FILTER_VARIABLE).unwrap()).unwrap();
    let filter = compile(&rules).expect("the caller has compiled every rule");
    apply_filter(&filter["server"]).expect("the filter is applied");
    let netlink = socket(AddressFamily::Netlink, SockType::Raw, SockFlag::empty(), None);
    assert!(netlink.is_err(), "an address family that the unit does not allow");
    let error = Command::new(env::var_os(PROGRAM_VARIABLE).unwrap())
        .env_remove(FILTER_VARIABLE)
        .env_remove(PROGRAM_VARIABLE)
        .args(env::var(ARGUMENT_VARIABLE).ok())
        .exec();
    panic!("the server does not start: {error}");
}

fn status(server: &Server, field: &str) -> String {
    proc::status_field(server.pid(), field).expect("a running server")
}

fn assert_restricted(server: &Server) {
    assert_eq!(status(server, "Seccomp"), "2", "a filter is active");
    assert_eq!(status(server, "NoNewPrivs"), "1");
    assert_eq!(status(server, "CapEff").trim_start_matches('0'), "");
    assert_eq!(status(server, "CapPrm").trim_start_matches('0'), "");
    if debian::is_root() {
        assert_eq!(status(server, "CapBnd").trim_start_matches('0'), "");
        let expected: Vec<String> = iter::repeat_n(NOBODY.to_string(), 4).collect();
        assert_eq!(status(server, "Uid").split_whitespace().collect::<Vec<_>>(), expected);
    }
}

#[test]
fn the_filter_refuses_changes_to_the_system_and_other_processes() {
    let allowed = allowed();
    let powers = [
        "mount", "umount2", "pivot_root", "chroot", "ptrace", "process_vm_readv", "process_vm_writev",
        "kexec_load", "init_module", "finit_module", "delete_module", "reboot", "swapon", "setuid", "setgid",
        "setresuid", "chown", "fchownat", "keyctl", "add_key", "bpf", "perf_event_open", "settimeofday",
        "clock_settime", "sethostname", "open_by_handle_at", "io_uring_setup", "userfaultfd", "syslog",
        "acct",
    ];
    let left: Vec<&str> = powers.into_iter().filter(|name| allowed.contains(*name)).collect();
    assert!(left.is_empty(), "allowed: {left:?}");
}

#[test]
fn the_server_works_under_the_unit_restrictions() {
    let folder = public_folder("sandbox");
    fs::create_dir_all(folder.join("static")).expect("a folder");
    fs::write(folder.join("static/index.html"), "the client").expect("a file");
    let settings = Settings::new().set("WORKERS", 3).set("STATIC_DIR", "static").set("LOG_FILE", "log");
    let settings = settings.set("STATE_DIR", ".");
    let mut server = Server::run_logging_to(command(&settings, &folder), &folder.join("log"));
    assert_restricted(&server);

    let mut clients = Client::connect_many(&server, 300, crate::support::client::replica_options());
    wait_for_acks(&mut clients);
    for client in &mut clients {
        client.step(Vector::RIGHT);
        client.step(Vector::ZERO);
    }
    wait_for_acks(&mut clients);
    assert!(clients.iter().all(|client| !client.ended && client.acknowledged() == client.position()));
    let _silent = Raw::upgraded(server.address());
    server.assert_healthy();
    assert_eq!(get(server.address(), "/").text(), "the client");
    assert!(server.metrics().to_string().len() > 1_000);
    clients.pop().expect("there are many clients").reset();
    wait_until("one saved session", || server.count("resumes_remembered") == 1);

    fs::write(folder.join("static/index.html"), "another client").expect("a file");
    server.signal(Signal::SIGHUP);
    wait_until("the reload", || get(server.address(), "/").text() == "another client");

    let peak_kib: u64 = status(&server, "VmHWM").trim_end_matches(" kB").parse().expect("a number");
    let cap = unit::values("MemoryMax")[0].trim_end_matches('M').parse::<u64>().expect("mebibytes");
    assert!(peak_kib < cap * 1_024 / 2, "{peak_kib} KiB of {cap} MiB");
    drop(clients);
    server.terminate();
    let log = fs::read_to_string(folder.join("log")).expect("the log");
    assert!(log.lines().last().is_some_and(|line| line.ends_with("stopped")), "{log}");
    assert!(
        !log.contains("[WARN]") && !log.contains("[ERROR]"),
        "the server needs nothing that the unit refuses: {log}"
    );
    let settings = settings.set("LOG_FILE", "log-2");
    let mut server = Server::run_logging_to(command(&settings, &folder), &folder.join("log-2"));
    assert_eq!(server.count("resumes_remembered"), 301, "all sessions survive the restart");
    server.terminate();
    let _ = fs::remove_dir_all(folder);
}

#[test]
fn a_panic_under_the_unit_restrictions_logs_a_last_line() {
    let folder = public_folder("sandbox-panic");
    let mut server = Server::run(command(&Settings::new(), &folder));
    let fault = Fault::inject(server.pid(), "recvfrom:retval=1000000");
    wait_until("the last line to be logged", || {
        send_request(server.address());
        server.log().contains("thread 'main' panicked at ")
    });
    drop(fault);
    assert_eq!(server.wait_for_exit().code(), Some(i32::from(PANICKED)));
    let _ = fs::remove_dir_all(folder);
}

#[test]
fn a_takeover_works_under_the_unit_restrictions() {
    let (folder, next) = (public_folder("takeover"), public_folder("takeover-next"));
    let socket = folder.join("control.sock");
    let settings = Settings::new().set("CONTROL_SOCKET", socket.to_str().expect("UTF-8"));
    let settings = settings.set("STATE_DIR", folder.to_str().expect("UTF-8")).set("LOG_FILE", "log");
    let mut old = Server::run_logging_to(command(&settings, &folder), &folder.join("log"));
    let mut clients = Client::join_many(&old, 20, crate::support::client::replica_options());
    let mut takeover = command(&settings, &next);
    takeover.env(ARGUMENT_VARIABLE, "--background-takeover").stdout(Stdio::null()).stderr(Stdio::null());
    assert_eq!(takeover.status().expect("it ran").code(), Some(0));
    assert_eq!(old.wait_for_exit().code(), Some(0));
    for client in &mut clients {
        client.step(Vector::RIGHT);
    }
    wait_for_acks(&mut clients);
    assert!(clients.iter().all(|client| !client.ended));
    let new = proc::pid_with_open(&next.join("log"));
    send_signal(new, Signal::SIGTERM);
    wait_until("the new process to end", || !proc::exists(new));
    for folder in [folder, next] {
        let log = fs::read_to_string(folder.join("log")).expect("a log");
        assert!(!log.contains("[WARN]") && !log.contains("[ERROR]"), "{log}");
    }
}
