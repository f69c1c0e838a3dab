//! Secrets planted in every setting and message must not appear in any output of the program.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::Output;
use std::thread;

use nix::sys::signal::Signal;
use pixi_game_server::config::SETTINGS;

use super::run;
use crate::support::http::get;
use crate::support::wait::wait_until;
use crate::support::{Settings, folder, proc};

/// Part of every planted secret, in lower case; outputs are compared in lower case.
const PLANTED: &str = "pl4nt3d";

const URL: &str = "redis://bus:pl4nt3d-s3cr3t@127.0.0.1:1/0";

/// Invalid spellings of the URL.
const BROKEN: [&str; 9] = [
    "redis://bus:pl4nt3d@host:port/x",
    "redis://bus:pl4nt3d/0@host",
    "redis://host:1?pl4nt3d@x",
    "redis:/bus:pl4nt3d@host",
    "rediss://:pl4nt3d@host",
    "http://pl4nt3d@host",
    ":pl4nt3d@host:6379",
    "pl4nt3d",
    "redis://:pl4nt3d",
];

const ACTIONS: [&[&str]; 4] = [&[], &["--check-config"], &["--print-config"], &["--health-check"]];

fn assert_clean(what: &str, output: &Output) {
    for text in [&output.stdout, &output.stderr] {
        let text = String::from_utf8_lossy(text).to_lowercase();
        assert!(!text.contains(PLANTED), "{what}: {text}");
    }
}

fn assert_refused(what: &str, output: &Output) {
    assert_clean(what, output);
    assert_eq!(output.status.code(), Some(2), "{what}: {output:?}");
    assert!(!output.stderr.is_empty(), "{what}");
}

#[test]
fn no_action_prints_a_valid_secret() {
    let folder = folder("secret-actions");
    let file = folder.join("game.env");
    fs::write(&file, format!("PORT=0\nCLUSTER_URL={URL}\n")).expect("a file");
    let from_file = ["--env-file", file.to_str().expect("text")];
    for action in
        [&["--check-config"][..], &["--print-config"], &["--help"], &["--version"], &["--health-check"]]
    {
        assert_clean("variable", &run(&[("CLUSTER_URL", URL), ("PORT", "1")], action));
        assert_clean("file", &run(&[], &[&from_file, action].concat()));
    }
    let printed = run(&[("CLUSTER_URL", URL)], &["--print-config"]);
    let line = "# CLUSTER_URL is set; its value is secret: redis://***@127.0.0.1:1/0";
    assert!(super::stdout(&printed).lines().any(|printed| printed == line));
    fs::write(&file, &printed.stdout).expect("a file");
    assert_eq!(run(&[], &[&from_file[..], &["--check-config"]].concat()).status.code(), Some(0));
}

#[test]
fn an_invalid_secret_is_refused_and_not_printed() {
    let folder = folder("secret-forms");
    let file = folder.join("game.env");
    for form in BROKEN {
        for action in ACTIONS {
            assert_refused(form, &run(&[("CLUSTER_URL", form)], action));
            assert_refused(form, &run(&[], &[&["--cluster-url", form], action].concat()));
            for line in [
                format!("CLUSTER_URL={form}"),
                format!("CLUSTERURL={form}"),
                form.to_owned(),
                format!("{form}=="),
            ] {
                fs::write(&file, format!("PORT=0\n{line}\n")).expect("a file");
                let output = run(&[], &[&["--env-file", file.to_str().expect("text")], action].concat());
                assert_refused(&line, &output);
            }
        }
    }
}

#[test]
fn a_secret_in_the_arguments_is_refused_and_not_printed() {
    let attached = format!("--cluster-ulr={URL}");
    let (dashed, short) = (format!("--{PLANTED}"), format!("-x{URL}"));
    let cases: [&[&str]; 10] = [
        &["--cluster-url", URL],
        &["-cluster-url", URL],
        &[URL],
        &[PLANTED],
        &["--", PLANTED],
        &["--cluster-ulr", URL],
        &[&attached],
        &[&dashed],
        &[&short],
        &["--env-file", URL],
    ];
    for arguments in cases {
        assert_refused(&format!("{arguments:?}"), &run(&[], arguments));
    }
    let takes_it = |name: &str| ["CLUSTER_URL", "CLUSTER_SECRET"].contains(&name);
    for name in SETTINGS.iter().map(|setting| setting.variable).filter(|name| !takes_it(name)) {
        for action in [&[][..], &["--check-config"]] {
            assert_refused(name, &run(&[(name, URL)], action));
        }
    }
}

/// A peer that accepts any client and answers every command by repeating the password.
fn repeating_redis() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(stream) = stream else { return };
            thread::spawn(move || repeat(stream));
        }
    });
    address
}

fn repeat(mut stream: TcpStream) {
    let mut request = [0; 4096];
    loop {
        let Ok(count @ 1..) = stream.read(&mut request) else { return };
        let text = String::from_utf8_lossy(&request[..count]).into_owned();
        for order in text.split('*').skip(1) {
            let is_greeting =
                ["AUTH", "CLIENT", "SELECT", "SUBSCRIBE"].iter().any(|word| order.contains(word));
            let refusal = "-ERR unknown, with args beginning with: 'pl4nt3d-one' \u{1b}[2J\r\n";
            let _ = stream.write_all(if is_greeting { "+OK\r\n" } else { refusal }.as_bytes());
        }
    }
}

#[test]
fn a_running_server_never_logs_a_secret_even_from_redis() {
    let folder = folder("secret-running");
    let (file, log) = (folder.join("game.env"), folder.join("server.log"));
    let write = |text: String| fs::write(&file, text).expect("a file");
    let redis = repeating_redis();
    write(format!("CLUSTER_URL=redis://bus:pl4nt3d-one@{redis}/0\nLOG_LEVEL=trace\n"));
    let mut command = Settings::new().set("LOG_FILE", log.to_str().expect("text")).command();
    command.arg("--env-file").arg(&file);
    let mut server = crate::support::Server::run_logging_to(command, &log);
    let read = || fs::read_to_string(&log).expect("the log");
    wait_until("the error of the Redis", || read().contains("args beginning with"));

    write(format!("CLUSTER_URL=redis://bus:pl4nt3d-two@{redis}/0\n"));
    server.signal(Signal::SIGHUP);
    wait_until("the changed setting", || read().contains("CLUSTER_URL=redis://***@"));
    write("CLUSTER_URL=redis://bus:pl4nt3d-two@host:x/\npl4nt3d==\n".to_owned());
    server.signal(Signal::SIGHUP);
    wait_until("the refusal", || read().contains("game.env:2:1: "));

    for path in ["/metrics", "/health"] {
        let text = get(server.address(), path).text().to_lowercase();
        assert!(!text.contains(PLANTED), "{path}: {text}");
    }
    assert!(!proc::command_line(server.pid()).contains(PLANTED));
    server.terminate();
    let text = read();
    assert!(!text.contains(PLANTED) && !text.contains('\u{1b}'), "{text}");
    assert!(text.contains("args beginning with") && text.contains("***"), "{text}");
    assert!(!server.log().contains(PLANTED), "{}", server.log());
}
