//! `start.sh` with `PROCESSES`: servers that share a port and a world, as one program. The build is a stub.

use std::fs::{self, File};
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::thread;
use std::time::Duration;

use game_client::Vector;
use nix::sys::signal::Signal;
use serde_json::Value;

use crate::support::debian::program;
use crate::support::http::get;
use crate::support::process::{send_signal, stderr_text, with_default_signals, write_script};
use crate::support::server::PROGRAM;
use crate::support::wait::wait_until;
use crate::support::{Client, folder, free_port, free_ports, poll_until, proc, wait_for_acks};

/// A clone of the project that has been built, and a runtime directory.
struct Place {
    folder: PathBuf,
    /// Short, because a socket's path has a limit.
    runtime: PathBuf,
    port: u16,
}

impl Place {
    fn new(name: &str) -> Place {
        program("redis-server");
        let folder = folder(name);
        fs::create_dir_all(folder.join("target")).expect("a folder");
        symlink(Path::new(PROGRAM).parent().expect("a folder"), folder.join("target/release"))
            .expect("a link");
        fs::create_dir(folder.join("bin")).expect("a folder");
        write_script(&folder.join("bin/cargo"), "#!/bin/sh\necho NOTED build\n");
        let runtime = std::env::temp_dir().join(format!("pixi-{}-{name}", std::process::id()));
        fs::create_dir_all(&runtime).expect("a folder");
        Place { folder, runtime, port: free_port() }
    }

    fn command(&self, processes: &str) -> Command {
        let mut command = with_default_signals(concat!(env!("CARGO_MANIFEST_DIR"), "/start.sh"));
        let path = std::env::var("PATH").expect("a PATH");
        command.env("PATH", format!("{}:{path}", self.folder.join("bin").display()));
        command.env("CARGO_TARGET_DIR", self.folder.join("target")).env("XDG_RUNTIME_DIR", &self.runtime);
        command.env("HOST", "127.0.0.1").env("PORT", self.port.to_string()).env("PROCESSES", processes);
        for inherited in ["CLUSTER_URL", "CLUSTER_SECRET", "NODE_NAME", "ADMIN_ADDR"] {
            command.env_remove(inherited);
        }
        command.stdin(Stdio::null());
        command
    }

    /// Starts servers whose metrics are at `admin` and the ports above it, and waits until they know each other.
    fn start(&self, count: usize) -> Group {
        let admin = free_ports(count as u16);
        let address = format!("127.0.0.1:{admin}");
        let group = self.run(self.command(&count.to_string()).env("ADMIN_ADDR", address), count, admin);
        group.wait_until_whole();
        group
    }

    fn run(&self, command: &mut Command, count: usize, admin: u16) -> Group {
        let log =
            self.folder.join(format!("log-{admin}-{}", fs::read_dir(&self.folder).expect("it").count()));
        let output = File::create(&log).expect("a file");
        command.stdout(Stdio::null()).stderr(output);
        let child = command.spawn().expect("the script starts");
        Group { child, address: ([127, 0, 0, 1], self.port).into(), admin, count, log }
    }

    /// The folder that the script makes.
    fn made(&self) -> PathBuf {
        self.runtime.join(format!("pixi-game-server-{}-{}.d", nix::unistd::getuid(), self.port))
    }

    /// Whether no file of the servers and of Redis is left.
    fn is_empty(&self) -> bool {
        fs::read_dir(&self.runtime).expect("a folder").next().is_none()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.runtime);
    }
}

/// A running `start.sh`.
struct Group {
    child: Child,
    address: SocketAddr,
    admin: u16,
    count: usize,
    log: PathBuf,
}

impl Group {
    fn log(&self) -> String {
        fs::read_to_string(&self.log).expect("the log")
    }

    fn servers(&self) -> Vec<u32> {
        let is_server = |pid: &u32| proc::name(*pid).starts_with("pixi-game");
        proc::children(self.child.id()).into_iter().filter(is_server).collect()
    }

    fn redis(&self) -> u32 {
        let keepers = proc::children(self.child.id());
        let mut all = keepers.into_iter().flat_map(proc::children);
        all.find(|pid| proc::name(*pid) == "redis-server").expect("a Redis")
    }

    fn admin_addresses(&self) -> impl Iterator<Item = SocketAddr> {
        (self.admin..).take(self.count).map(|port| ([127, 0, 0, 1], port).into())
    }

    /// Metrics of all servers that listen.
    fn metrics(&self) -> Vec<Value> {
        let listening = self.admin_addresses().filter(|to| std::net::TcpStream::connect(to).is_ok());
        listening.map(|to| serde_json::from_slice(&get(to, "/metrics").body).expect("JSON")).collect()
    }

    fn wait_until_whole(&self) {
        wait_until("all servers to discover each other and to admit players", || {
            let metrics = self.metrics();
            metrics.len() == self.count
                && metrics.iter().all(|one| one["cluster"]["peers"] == self.count - 1)
                && self.admin_addresses().all(|to| get(to, "/health").status == 200)
        });
    }

    fn signal(&self, signal: Signal) {
        send_signal(self.child.id(), signal);
    }

    fn join(&self, count: usize) -> Vec<Client> {
        (0..count).map(|_| Client::join_at(self.address)).collect()
    }

    fn wait(&mut self) -> ExitStatus {
        let mut status = None;
        wait_until("the script to end", || {
            status = self.child.try_wait().expect("a status");
            status.is_some()
        });
        status.expect("waited for")
    }

    fn end(mut self) {
        self.signal(Signal::SIGTERM);
        assert_eq!(self.wait().code(), Some(0), "{}", self.log());
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if thread::panicking() {
            eprintln!("---- the log ----\n{}", self.log());
        }
    }
}

#[test]
fn four_processes_are_one_world_and_one_program() {
    let place = Place::new("four");
    let group = place.start(4);
    let (servers, redis) = (group.servers(), group.redis());
    // With 40 connections, a server gets none in one of 25,000 runs.
    let mut clients = group.join(40);
    let players = || group.metrics().iter().filter_map(|one| one["players"].as_u64()).collect::<Vec<_>>();
    wait_until("the players of all", || players().iter().sum::<u64>() == 40);
    assert!(players().iter().filter(|count| **count > 0).count() > 2, "{:?}", players());
    let counted = |group: &Group| group.metrics().iter().all(|one| one["cluster"]["peer_players"] != 0);
    wait_until("all to count the players of others", || counted(&group));
    clients[0].step(Vector::RIGHT);
    wait_for_acks(&mut clients);

    group.signal(Signal::SIGHUP);
    wait_until("a reload of each", || group.log().matches("] reload: ").count() == 4);
    let secret = fs::read_to_string(place.made().join("secret")).expect("a secret");
    assert!(secret.len() == 64 && !group.log().contains(&secret));
    assert!(servers.iter().all(|pid| !proc::command_line(*pid).contains(&secret)));
    group.end();
    for pid in servers.into_iter().chain([redis]) {
        assert!(!proc::exists(pid));
    }
    assert!(place.is_empty());
}

#[test]
fn a_killed_process_costs_its_own_connections_and_comes_back() {
    let place = Place::new("killed");
    let group = place.start(4);
    let mut clients = group.join(40);
    // A player is saved within a second of its join.
    let mut saved = false;
    thread::scope(|scope| {
        let timer = scope.spawn(|| thread::sleep(Duration::from_secs(3)));
        while !saved {
            saved = timer.is_finished();
            for client in &mut clients {
                client.step(Vector::ZERO);
            }
            wait_for_acks(&mut clients);
        }
    });
    let servers = group.servers();
    let of_killed = group.metrics()[0]["players"].as_u64().expect("a count") as usize;
    let admin = group.admin_addresses().next().expect("an address");
    let killed = servers.iter().copied().find(|pid| proc::listens_on(*pid, admin)).expect("a server");
    send_signal(killed, Signal::SIGKILL);
    poll_until(&mut clients, "the connections to end", |clients| {
        clients.iter().filter(|client| client.ended).count() >= of_killed
    });
    for client in clients.iter_mut().filter(|client| !client.ended) {
        client.step(Vector::ZERO);
    }
    let (lost, mut others): (Vec<Client>, Vec<Client>) = clients.into_iter().partition(|client| client.ended);
    wait_for_acks(&mut others);
    assert_eq!((lost.len(), others.len()), (of_killed, 40 - of_killed));
    for client in lost {
        let place = client.position();
        assert_eq!(Client::reconnect_at(group.address, &client.cookie()).position(), place);
    }
    group.wait_until_whole();
    assert!(!group.servers().contains(&killed) && group.servers().len() == 4);
    assert!(group.log().contains("ended with status 137, and is started again"), "{}", group.log());
    assert!(others.iter().all(|client| !client.ended));
    group.end();
}

#[test]
fn a_takeover_reaches_all_processes_and_keeps_redis() {
    let place = Place::new("both");
    let mut old = place.start(2);
    let (redis, servers) = (old.redis(), old.servers());
    let mut clients = old.join(20);
    let refused = place.command("3").arg("--takeover").output().expect("it runs");
    assert_eq!(refused.status.code(), Some(1), "{}", stderr_text(&refused));
    assert!(stderr_text(&refused).contains(": expected PROCESSES=2"), "{}", stderr_text(&refused));
    let admin = format!("127.0.0.1:{}", old.admin);
    let new = place.run(place.command("").arg("--takeover").env("ADMIN_ADDR", admin), 2, old.admin);
    assert_eq!(old.wait().code(), Some(0), "{}{}", old.log(), new.log());
    new.wait_until_whole();
    assert!(new.servers().iter().all(|pid| !servers.contains(pid)) && proc::exists(redis));
    for client in &mut clients {
        client.step(Vector::RIGHT);
    }
    wait_for_acks(&mut clients);
    assert!(clients.iter().all(|client| !client.ended));
    new.end();
    assert!(place.is_empty() && !proc::exists(redis));
}

#[test]
fn a_redis_that_ends_is_started_again() {
    let place = Place::new("redis");
    let group = place.start(2);
    let redis = group.redis();
    send_signal(redis, Signal::SIGKILL);
    wait_until("both to connect again", || {
        let log = group.log();
        log.contains("Redis ended with status 137")
            && log.matches("cluster: connected to the bus").count() == 4
    });
    group.wait_until_whole();
    assert_ne!(group.redis(), redis);
    group.end();
    assert!(place.is_empty());
}

#[test]
fn nothing_outlives_the_script() {
    let place = Place::new("orphans");
    let mut group = place.start(2);
    let pids: Vec<u32> = group.servers().into_iter().chain([group.redis()]).collect();
    group.signal(Signal::SIGKILL);
    assert_eq!(group.wait().code(), None);
    wait_until("all to end", || pids.iter().all(|pid| !proc::exists(*pid)) && place.is_empty());
    // Its folder is free for the next.
    place.start(2).end();
}

#[test]
fn a_process_that_ends_repeatedly_stays_down() {
    let place = Place::new("bounded");
    let mut group = place.start(2);
    let admin = group.admin_addresses().next().expect("an address");
    wait_until("the process to stay down", || {
        if let Some(pid) = group.servers().into_iter().find(|pid| proc::listens_on(*pid, admin)) {
            send_signal(pid, Signal::SIGKILL);
        }
        group.log().contains("for the fifth time in five minutes, and stays down")
    });
    assert_eq!(group.servers().len(), 1);
    group.signal(Signal::SIGINT);
    assert_eq!(group.wait().code(), Some(137), "the script reports the failure");
    // A killed server leaves its control socket, which the next one replaces.
    assert!(!place.made().exists());
}

#[test]
fn a_failure_at_the_start_ends_all() {
    let place = Place::new("taken");
    let _other = TcpListener::bind(("127.0.0.1", place.port)).expect("the port");
    let output = place.command("2").output().expect("it runs");
    assert_eq!(output.status.code(), Some(1), "{}", stderr_text(&output));
    assert!(stderr_text(&output).contains("Address already in use"), "{}", stderr_text(&output));
    assert!(place.is_empty());
    let output = place.command("2").env("MAX_VISIBLE", "0").output().expect("it runs");
    assert_eq!(output.status.code(), Some(2), "{}", stderr_text(&output));
    assert!(stderr_text(&output).contains("MAX_VISIBLE=0: expected"), "{}", stderr_text(&output));
    assert!(place.is_empty());
}

#[test]
fn a_number_that_is_not_allowed_is_named() {
    let place = Place::new("numbers");
    let complaint = |output: Output| (output.status.code(), stderr_text(&output));
    for value in ["0", "65", "-1", "two", "1.5"] {
        let allowed = "expected a whole number from 1 to 64\n";
        let output = place.command(value).output().expect("it runs");
        assert_eq!(complaint(output), (Some(2), format!("start.sh: PROCESSES={value}: {allowed}")));
        let output = place.command("2").arg(format!("--processes={value}")).output().expect("it runs");
        assert_eq!(complaint(output), (Some(2), format!("start.sh: --processes={value}: {allowed}")));
        let output = place.command("2").args(["--processes", value]).output().expect("it runs");
        assert_eq!(complaint(output), (Some(2), format!("start.sh: --processes {value}: {allowed}")));
    }
    // Other arguments are the server's.
    let output = place.command("4").args(["-p=0", "--print-config"]).output().expect("it runs");
    assert_eq!(output.status.code(), Some(0));
    assert!(String::from_utf8_lossy(&output.stdout).contains("\nPORT=0\n"));
    let output = place.command("2").arg("-p=0").output().expect("it runs");
    assert_eq!(
        complaint(output),
        (Some(2), "start.sh: PORT=0: expected a port that 2 processes can share\n".to_owned())
    );
}

#[test]
fn without_redis_one_line_says_what_to_install() {
    let place = Place::new("without");
    let bare = place.folder.join("bare");
    fs::create_dir(&bare).expect("a folder");
    for name in ["bash", "env", "dirname"] {
        symlink(program(name), bare.join(name)).expect("a link");
    }
    symlink(place.folder.join("bin/cargo"), bare.join("cargo")).expect("a link");
    let output = place.command("2").env("PATH", &bare).output().expect("it runs");
    let text = stderr_text(&output);
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(
        text.starts_with("start.sh: 2 processes need Redis or Valkey (apt-get install redis-server, "),
        "{text}"
    );
    assert!(text.lines().count() == 1 && output.stdout.is_empty(), "nothing is built before: {text}");
}
