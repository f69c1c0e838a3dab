//! SIGHUP: the server applies settings and static files, completely or not at all, without effect on players.

use std::fs;
use std::path::PathBuf;

use game_client::Vector;
use nix::sys::signal::Signal;

use crate::support::http::get;
use crate::support::process::stderr_text;
use crate::support::raw::{Raw, upgrade_with};
use crate::support::server::program;
use crate::support::wait::wait_until;
use crate::support::{Client, Server, Settings, folder, wait_for_acks};

/// A server with an environment file that tests rewrite.
struct Subject {
    server: Server,
    file: PathBuf,
    /// Number of reloads that have been waited for.
    reloads: usize,
}

impl Subject {
    fn start(name: &str, settings: &Settings, text: &str) -> Subject {
        let file = folder(name).join("game.env");
        fs::write(&file, text).expect("a file");
        let mut command = settings.command();
        command.arg("--env-file").arg(&file);
        Subject { server: Server::run(command), file, reloads: 0 }
    }

    /// Reloads with this file, and returns the new log lines.
    fn reload(&mut self, text: &str) -> String {
        fs::write(&self.file, text).expect("a file");
        self.signal()
    }

    fn signal(&mut self) -> String {
        let before = self.server.log();
        self.server.signal(Signal::SIGHUP);
        self.reloads += 1;
        let ends = |log: &str| log.matches("files are served").count() + log.matches("[ERROR]").count();
        wait_until("the reload to end", || ends(&self.server.log()) >= self.reloads);
        self.server.log().strip_prefix(&before).expect("a log only grows").to_owned()
    }

    fn upgrade_status(&self, origin: &str) -> u16 {
        Raw::exchange(self.server.address(), upgrade_with(&[&format!("Origin: {origin}")])).status
    }
}

#[test]
fn limits_change_without_affecting_players() {
    let mut subject = Subject::start("limits", &Settings::new(), "MAX_VISIBLE=100\n");
    assert_eq!(subject.server.count("max_visible"), 100);
    let mut players = [Client::join(&subject.server), Client::join(&subject.server)];
    let reload_log = subject.reload("MAX_VISIBLE=40\nBATCH_INTERVAL_MS=100\nMAX_CONNECTIONS=2\n");
    for change in ["BATCH_INTERVAL_MS=100, was 50", "MAX_CONNECTIONS=2, was 12000", "MAX_VISIBLE=40, was 100"]
    {
        assert!(reload_log.contains(&format!("[INFO] reload: {change}")), "{reload_log}");
    }
    assert!(reload_log.contains("3 settings changed"), "{reload_log}");
    let metrics = subject.server.metrics();
    assert_eq!(
        (metrics["max_visible"].as_u64(), metrics["flush_interval_ms"].as_u64()),
        (Some(40), Some(100))
    );
    assert_eq!(subject.upgrade_status("https://a.example"), 503, "both slots are taken");
    players[0].step(Vector::RIGHT);
    wait_for_acks(&mut players);
    let reload_log = subject.reload("MAX_CONNECTIONS=3\n");
    assert!(
        reload_log.contains("MAX_VISIBLE=128, was 40"),
        "a removed line restores the default: {reload_log}"
    );
    assert_eq!(subject.upgrade_status("https://a.example"), 101);
    players[1].step(Vector::LEFT);
    wait_for_acks(&mut players);
}

#[test]
fn a_new_address_limit_counts_existing_connections() {
    let mut subject = Subject::start("held", &Settings::new(), "");
    let players = [Client::join(&subject.server), Client::join(&subject.server)];
    subject.reload("MAX_CONNS_PER_IP=2\n");
    let upgrade = || subject.upgrade_status("https://a.example");
    assert_eq!(upgrade(), 429);
    assert_eq!(get(subject.server.address(), "/health").status, 200, "plain HTTP does not count");
    let [first, _second] = players;
    first.reset();
    wait_until("a free slot", || upgrade() == 101);
}

#[test]
fn rates_and_origins_change() {
    let settings = Settings::new().set("ALLOWED_ORIGINS", "https://a.example");
    let mut subject = Subject::start("rates", &settings, "RATE_LIMIT_BURST=1000\n");
    assert_eq!(subject.upgrade_status("https://b.example"), 403);
    let mut players = [Client::join(&subject.server)];
    let reload_log =
        subject.reload("RATE_LIMIT_BURST=1\nRATE_LIMIT_MSG_SEC=1\nALLOWED_ORIGINS=https://b.example\n");
    assert!(reload_log.contains("ALLOWED_ORIGINS=https://b.example, was https://a.example"), "{reload_log}");
    assert_eq!(
        [subject.upgrade_status("https://a.example"), subject.upgrade_status("https://b.example")],
        [403, 101]
    );
    for _ in 0..5 {
        players[0].send_payload(&[4, 1]);
    }
    wait_until("messages over the new rate", || subject.server.count("rate_limited_total") > 0);
}

#[test]
fn a_new_keepalive_timeout_applies_to_idle_connections() {
    let mut subject = Subject::start("idle", &Settings::new(), "");
    let mut idle = Raw::connect(subject.server.address());
    idle.send(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_eq!(idle.response().status, 200);
    let reload_log = subject.reload("KEEPALIVE_TIMEOUT_SEC=1\n");
    assert!(reload_log.contains("KEEPALIVE_TIMEOUT_SEC=1, was 75"), "{reload_log}");
    assert_eq!(idle.read_to_end(), b"");
}

#[test]
fn a_reload_serves_changed_files() {
    let site = folder("reloaded-site");
    fs::write(site.join("index.html"), "before").expect("a file");
    let settings = Settings::new().set("STATIC_DIR", site.to_str().expect("UTF-8"));
    let mut subject = Subject::start("files", &settings, "");
    let address = subject.server.address();
    let before = get(address, "/");
    fs::write(site.join("index.html"), "after").expect("a file");
    fs::write(site.join("new.js"), "export {};").expect("a file");
    assert_eq!(get(address, "/").text(), "before", "files are not read per request");
    let reload_log = subject.signal();
    assert!(reload_log.contains("0 settings changed, 2 files are served"), "{reload_log}");
    let after = get(address, "/");
    assert_eq!((after.text(), get(address, "/new.js").status), ("after", 200));
    assert_ne!(before.header("etag"), after.header("etag"));
    fs::remove_file(site.join("new.js")).expect("an existing file");
    subject.signal();
    assert_eq!(get(address, "/new.js").status, 404);
}

#[test]
fn an_invalid_file_changes_nothing_and_is_logged() {
    let mut subject = Subject::start("bad", &Settings::new(), "MAX_VISIBLE=100\n");
    let file = subject.file.display().to_string();
    for (text, problem) in [
        (
            "MAX_VISIBLE=50\nRATE_LIMIT_BURST=0\n",
            ":2:18: RATE_LIMIT_BURST=0: expected a whole number from 1 to 100000",
        ),
        ("MAX_VISIBEL=50\n", ":1:1: MAX_VISIBEL: no setting has this name; see --help"),
        ("MAX_VISIBLE=50\nPING_INTERVAL_SEC=90\n", ": must be greater than "),
        (
            "MAX_VISIBLE=50\nSTATIC_DIR=/nowhere\n",
            ":2:12: STATIC_DIR=/nowhere: expected the path of an existing directory",
        ),
    ] {
        let reload_log = subject.reload(text);
        assert!(
            reload_log.contains("[ERROR] reload: nothing changes: ") && reload_log.contains(problem),
            "{reload_log}"
        );
        assert!(reload_log.contains(&file), "{reload_log}");
        assert_eq!(subject.server.count("max_visible"), 100);
    }
    fs::remove_file(&subject.file).expect("an existing file");
    let reload_log = subject.signal();
    assert!(
        reload_log.contains(&format!("nothing changes: --env-file {file}: can't be read: ")),
        "{reload_log}"
    );
    let reload_log = subject.reload("MAX_VISIBLE=50\n");
    assert!(reload_log.contains("MAX_VISIBLE=50, was 100"), "{reload_log}");
}

#[test]
fn settings_that_need_a_restart_are_logged_and_kept() {
    let mut subject = Subject::start("restart", &Settings::new(), "TICK_RATE=30\n");
    for _ in 0..2 {
        let reload_log = subject.reload("TICK_RATE=20\nPLAYER_SPEED=8\n");
        for change in ["TICK_RATE=20, was 30", "PLAYER_SPEED=8, was 4"] {
            assert!(
                reload_log.contains(&format!("[WARN] reload: {change}, effective at the next start")),
                "{reload_log}"
            );
        }
        assert!(reload_log.contains("0 settings changed"), "{reload_log}");
    }
    subject.server.assert_healthy();
}

#[test]
fn the_log_level_can_be_reloaded() {
    let mut subject = Subject::start("level", &Settings::new(), "LOG_LEVEL=info\n");
    let joined = |subject: &Subject| {
        let player = Client::join(&subject.server);
        format!("[DEBUG] player {} joined", player.id())
    };
    let quiet = joined(&subject);
    subject.reload("DEBUG=true\n");
    let loud = joined(&subject);
    subject.server.wait_for_log(&loud);
    assert!(!subject.server.log().contains(&quiet));
}

#[test]
fn many_signals_apply_the_last_file() {
    let subject = Subject::start("storm", &Settings::new(), "MAX_VISIBLE=100\n");
    for max_visible in 1..=50 {
        fs::write(&subject.file, format!("MAX_VISIBLE={max_visible}\n")).expect("a file");
        subject.server.signal(Signal::SIGHUP);
    }
    wait_until("the value of the last file", || subject.server.count("max_visible") == 50);
}

#[test]
fn a_flag_wins_over_the_file_and_the_file_over_the_environment() {
    let file = folder("order").join("game.env");
    fs::write(&file, "# limits\nMAX_VISIBLE=100\nTICK_RATE = '50'\nGOGC=off\n").expect("a file");
    let mut command = program();
    command.args(["--print-config", "--tick-rate=40", "-env-file"]).arg(&file);
    let output = command.envs([("MAX_VISIBLE", "5"), ("TICK_RATE", "5"), ("PLAYER_SPEED", "5")]).output();
    let printed = String::from_utf8(output.expect("the program runs").stdout).expect("UTF-8");
    for line in ["MAX_VISIBLE=100", "TICK_RATE=40", "PLAYER_SPEED=5"] {
        assert!(printed.lines().any(|printed| printed == line), "{printed}");
    }
    fs::write(&file, printed).expect("a file");
    let status = program().arg("--check-config").arg("--env-file").arg(&file).status();
    assert!(
        status.expect("the program runs").success(),
        "the output of --print-config is a valid environment file"
    );
}

#[test]
fn an_invalid_file_at_the_start_is_a_configuration_error() {
    let file = folder("wrong").join("game.env");
    fs::write(&file, "PORT=0\nMAX_VISIBLE=none\n").expect("a file");
    let output = program().arg("--env-file").arg(&file).output().expect("the program runs");
    let problem = stderr_text(&output);
    assert_eq!(output.status.code(), Some(2), "{problem}");
    let expected =
        format!("{}:2:13: MAX_VISIBLE=none: expected a whole number from 1 to 4096", file.display());
    assert!(problem.contains(&expected), "{problem}");
}
