//! The configuration reports that secrets are set, and never prints them.

use std::os::unix::ffi::OsStringExt as _;

use super::tests::command;
use super::*;
use crate::ops::secret::{MASK, Secrecy};

const URL: &str = "redis://user:hunter2@127.0.0.1:6379/1";

fn config(url: &str) -> Config {
    match command(&[], &[("CLUSTER_URL", url)]) {
        Ok(Command::Run(config, _)) => config,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_printed_configuration_mentions_a_secret_and_parses_without_it() {
    let Ok(Command::PrintConfig(text)) = command(&["--print-config"], &[("CLUSTER_URL", URL)]) else {
        panic!("expected a printed configuration")
    };
    let line = "# CLUSTER_URL is set; its value is secret: redis://***@127.0.0.1:6379/1";
    assert!(text.lines().any(|printed| printed == line), "{text}");
    let lines: Vec<_> = text.lines().filter_map(|line| line.split_once('=')).collect();
    assert!(matches!(command(&[], &lines), Ok(Command::Run(read, _)) if read.cluster_url.is_none()));
}

#[test]
fn a_secret_in_another_setting_is_not_printed() {
    let Ok(Command::PrintConfig(text)) = command(&["--print-config"], &[("LOG_FILE", URL)]) else {
        panic!("expected a printed configuration")
    };
    assert!(!text.contains("hunter2") && text.contains("# LOG_FILE is set"), "{text}");
}

#[test]
fn a_secret_is_refused_as_a_flag_and_never_repeated() {
    for args in [&["--cluster-url", URL][..], &["-cluster-url=redis://:hunter2@host"]] {
        let error = command(args, &[("CLUSTER_URL", "redis://host")]).unwrap_err();
        assert_eq!(
            error.problems,
            [
                "--cluster-url: refused, since every user of this machine can read flags: set this secret as CLUSTER_URL in the \
              environment or in the file of --env-file"
            ]
        );
    }
    let Ok(Command::Run(config, _)) = command(&["--cluster-url=redis://host"], &[]) else {
        panic!("a URL without a password is a flag like any other")
    };
    assert_eq!(config.cluster_url.unwrap().reveal(), "redis://host");
}

#[test]
fn a_reload_reports_a_changed_secret_without_its_values() {
    let reloaded = config(URL).reloaded(config("redis://user:other@127.0.0.1:6379/1"));
    let lines: Vec<_> = reloaded.needs_restart.iter().map(ToString::to_string).collect();
    assert_eq!(
        lines,
        ["CLUSTER_URL=redis://***@127.0.0.1:6379/1, was redis://***@127.0.0.1:6379/1"],
        "the change is detected although both values are masked"
    );
    assert!(!format!("{reloaded:?}").contains("hunter2") && !format!("{reloaded:?}").contains("other@"));
}

#[test]
fn the_secrets_of_a_configuration_follow_the_table() {
    let secrets = config(URL).secrets();
    assert_eq!(secrets.first().map(Secret::reveal), Some("hunter2"));
    assert_eq!(Config::default().secrets(), []);
    let named: Vec<_> = SETTINGS.iter().filter(|row| row.secrecy != Secrecy::Public).collect();
    assert!(named.iter().all(|row| row.default.is_empty()), "no default is a secret");
    assert!(named.iter().any(|row| row.variable == "CLUSTER_URL"));
}

#[test]
fn a_value_that_is_not_utf8_is_reported_with_its_setting() {
    let bad = || OsString::from_vec(b"a\xff".to_vec());
    let none = Vec::<OsString>::new();
    for Setting { variable, secrecy, .. } in SETTINGS {
        let shown = if *secrecy == Secrecy::Public { "a\u{fffd}" } else { MASK };
        let error = parse(none.clone(), |name| (name == *variable).then(bad)).unwrap_err();
        assert_eq!(error.problems, [format!("{variable}={shown}: not valid UTF-8")]);
    }
    let flag = OsString::from_vec(b"--log-file=\xff".to_vec());
    let error = parse([flag, bad()], |_| None).unwrap_err();
    assert_eq!(error.problems, ["argument 1: not valid UTF-8", "argument 2: not valid UTF-8"]);
}
