//! Migration from another server, step by step as in `docs/MIGRATION.md`: two servers, a real `HAProxy`
//! between them, and the commands of the page.

use std::fs;
use std::net::SocketAddr;
use std::process::Command;

use super::programs::{Place, Proxy, example};
use crate::support::debian::program;
use crate::support::http::get;
use crate::support::process::{stderr_text, stdout_text, succeed};
use crate::support::server::path_with_program;
use crate::support::wait::{poll_until, wait_until};
use crate::support::{Client, Server, Settings, wait_for_acks};

/// Environment file of an operator who migrates from the Go server.
const OLD_SETTINGS: &str = "MAX_CONNECTIONS=200\nTICK_RATE=60\nGOGC=200\nGOMAXPROCS=4\nBROADCAST_WORKERS=8\nRATE_LIMIT_WINDOW_MS=1000\n";

/// Files and addresses that the page refers to.
struct Stage {
    folder: std::path::PathBuf,
    old: SocketAddr,
    new: SocketAddr,
    proxy: SocketAddr,
}

impl Stage {
    /// The commands of one step of the page, adapted to these files and addresses.
    fn commands(&self, step: &str) -> String {
        let page = include_str!("../../../docs/MIGRATION.md");
        let (_, rest) =
            page.split_once(&format!("```sh step {step}\n")).unwrap_or_else(|| panic!("no step {step}"));
        let (commands, _) = rest.split_once("```").expect("its end");
        let folder = self.folder.display();
        commands
            .replace("target/release/", "")
            .replace("old.env", &format!("{folder}/old.env"))
            .replace("/run/haproxy/game.sock", &format!("{folder}/game.sock"))
            .replace("127.0.0.1:8107", &self.old.to_string())
            .replace("127.0.0.1:8108", &self.proxy.to_string())
            .replace("127.0.0.1:8110", &self.new.to_string())
    }

    /// Runs a step, and returns its output.
    fn run(&self, step: &str) -> String {
        let _ = program("socat");
        sh(&self.commands(step))
    }

    /// Runs a step before the proxy is started, when the old server still has the public port. It uses the
    /// test builds of the programs, and a small load.
    fn run_before_proxy(&self, step: &str) -> String {
        let commands = self.commands(step).replace(&self.proxy.to_string(), &self.old.to_string());
        let commands =
            commands.replace("--clients 1000", "--clients 20").replace("--duration 60s", "--duration 1s");
        sh(&commands.replace("make test-protocol SERVER=", "pixi-game-ops conform --server "))
    }

    /// The proxy's configuration, adapted to these files and addresses.
    fn configuration(&self) -> String {
        example(
            "haproxy-migration.cfg",
            &[
                // A value that fits any limit of open files.
                ("maxconn 26000", "maxconn 100".to_owned()),
                ("/run/haproxy/game.sock", format!("{}/game.sock", self.folder.display())),
                ("bind :8108", format!("bind {}", self.proxy)),
                ("127.0.0.1:8107", self.old.to_string()),
                ("127.0.0.1:8110", self.new.to_string()),
            ],
        )
    }
}

fn sh(commands: &str) -> String {
    let output = succeed(
        Command::new("sh").args(["-eu", "-c", commands]).env("PATH", path_with_program()).env_remove("PORT"),
    );
    stdout_text(&output)
}

fn players(server: &Server) -> u64 {
    server.count("players")
}

/// Connects players one by one through the proxy.
fn connect_through(proxy: SocketAddr, count: usize) -> Vec<Client> {
    (0..count).map(|_| Client::join_at(proxy)).collect()
}

#[test]
fn every_step_works_as_documented_without_disconnects() {
    let place = Place::new();
    let old_env = place.write("old.env", OLD_SETTINGS);
    let from_file = || {
        let mut settings = Settings::new();
        for line in fs::read_to_string(&old_env).expect("the file").lines() {
            let (name, value) = line.split_once('=').expect("a setting");
            settings = settings.set(name, value);
        }
        settings
    };
    let (old, new) = (from_file().start(), from_file().set("TRUSTED_PROXIES", "127.0.0.1").start());
    let stage =
        Stage { folder: place.folder.clone(), old: old.address(), new: new.address(), proxy: place.address };

    assert!(stage.run("check").contains("valid"));
    let compared = stage.run_before_proxy("validate");
    assert_eq!(compared.matches("22 of 22 that the client needs").count(), 2, "{compared}");
    assert!(stage.run_before_proxy("load").contains("nothing was lost or wrong"));
    let proxy = Proxy::haproxy(place, &stage.configuration());
    wait_until("both servers to be healthy", || get(proxy.place.address, "/health").status == 200);
    let paths = ["/metrics", "/dashboard"];
    assert_eq!(paths.map(|path| get(proxy.place.address, path).status), [404, 404]);
    assert_eq!(paths.map(|path| get(new.address(), path).status), [200, 200]);

    let mut clients = connect_through(stage.proxy, 3);
    assert_eq!((players(&old), players(&new)), (3, 0), "all players are on the old server at first");

    stage.run("tenth");
    clients.append(&mut connect_through(stage.proxy, 20));
    assert_eq!((players(&old), players(&new)), (3 + 18, 2), "a tenth of the new players");
    assert!(stage.run("look").contains("\"players\":21"));

    stage.run("all");
    clients.append(&mut connect_through(stage.proxy, 5));
    assert_eq!((players(&old), players(&new)), (21, 7), "all newcomers");
    wait_for_acks(&mut clients);
    assert!(clients.iter().all(|client| !client.ended), "connected players stay");

    stage.run("back");
    clients.append(&mut connect_through(stage.proxy, 4));
    assert_eq!((players(&old), players(&new)), (25, 7), "after the rollback");

    stage.run("all");
    drop(old);
    poll_until(&mut clients, "the old server to close its connections", |clients| {
        clients.iter().filter(|client| client.ended).count() == 25
    });
    let back = connect_through(stage.proxy, 25);
    assert_eq!(players(&new), 7 + 25, "pages that are loaded again reach the new server");
    drop((clients, back));
}

#[test]
fn the_documented_commands_name_existing_programs() {
    let page = include_str!("../../../docs/MIGRATION.md");
    let steps: Vec<&str> = page.lines().filter_map(|line| line.strip_prefix("```sh step ")).collect();
    assert_eq!(steps, ["check", "beside", "validate", "load", "proxy", "tenth", "look", "all", "back"]);
    let place = Place::new();
    let old = Settings::new().start();
    place.write("old.env", OLD_SETTINGS);
    let stage =
        Stage { folder: place.folder.clone(), old: old.address(), new: old.address(), proxy: place.address };
    // The same command with another port and a time limit.
    let beside = stage.commands("beside").replace("8110 &", "0 & sleep 1; kill $!; wait $!");
    let output = succeed(Command::new("sh").args(["-eu", "-c", &beside]).env("PATH", path_with_program()));
    let error = stderr_text(&output);
    assert!(error.contains("listening on") && error.contains("GOGC"), "{error}");
    assert!(error.contains("RATE_LIMIT_WINDOW_MS has no effect"), "{error}");
    succeed(
        Command::new(program("haproxy"))
            .arg("-c")
            .arg("-f")
            .arg(place.write("h.cfg", &stage.configuration())),
    );
}
