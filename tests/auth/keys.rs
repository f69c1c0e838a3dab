//! The file of keys: at the start, with `--check-config`, and at a reload.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;

use nix::sys::signal::Signal;
use serde_json::json;

use super::login::{Login, base64, hs256, now_s, secret, token};
use crate::support::process::output_text;
use crate::support::raw::{Raw, upgrade_with_cookie};
use crate::support::wait::wait_until;
use crate::support::{Server, Settings};

fn status(server: &Server, token: &str) -> u16 {
    Raw::exchange(server.address(), upgrade_with_cookie(&format!("pixi_auth={token}"))).status
}

/// Reloads, and returns the new log lines.
fn reload(server: &Server, reloads: &mut usize) -> String {
    let before = server.log();
    server.signal(Signal::SIGHUP);
    *reloads += 1;
    let ends = |log: &str| log.matches("files are served").count() + log.matches("nothing changes").count();
    wait_until("the reload to end", || ends(&server.log()) >= *reloads);
    server.log()[before.len()..].to_owned()
}

#[test]
fn a_reload_rotates_keys_and_a_broken_file_keeps_them() {
    let (login, mut reloads) = (Login::new("auth-rotation"), 0);
    let server = login.settings().start();
    let new_token = {
        let header = base64(json!({ "alg": "HS256", "kid": "new" }).to_string());
        let message =
            format!("{header}.{}", base64(json!({ "sub": "anna", "exp": now_s() + 60 }).to_string()));
        format!("{message}.{}", base64(hs256(&message, &[8; 32])))
    };
    assert_eq!((status(&server, &token("anna")), status(&server, &new_token)), (101, 401));
    let both = json!({ "keys": [secret("secret", &[7; 32]), secret("new", &[8; 32])] });
    login.write(&both.to_string());
    assert_eq!(status(&server, &new_token), 401, "the file is not read again by itself");
    assert!(reload(&server, &mut reloads).contains("2 keys verify tokens"));
    assert_eq!((status(&server, &token("anna")), status(&server, &new_token)), (101, 101));
    for broken in ["", "{\"keys\":[]}", "{\"keys\":[{\"kty\":\"oct\",\"kid\":\"a\",\"k\":\"AAAA\"}]}"] {
        login.write(broken);
        let log = reload(&server, &mut reloads);
        assert!(log.contains("[ERROR] reload: nothing changes: AUTH_KEYS="), "{log}");
        assert_eq!((status(&server, &token("anna")), status(&server, &new_token)), (101, 101), "{broken}");
    }
    fs::remove_file(&login.file).expect("a file");
    assert!(reload(&server, &mut reloads).contains(": expected the path of an existing file"));
    login.write(&json!({ "keys": [secret("new", &[8; 32])] }).to_string());
    reload(&server, &mut reloads);
    assert_eq!((status(&server, &token("anna")), status(&server, &new_token)), (401, 101));
}

/// The output of a start that ends, and of `--check-config`, with the exit status of both.
fn outputs(settings: &Settings) -> (String, String, Option<i32>) {
    let start = settings.command().output().expect("it runs");
    let check = settings.command().arg("--check-config").output().expect("it runs");
    assert_eq!(start.status.code(), check.status.code());
    (output_text(&start), output_text(&check), check.status.code())
}

#[test]
fn a_start_needs_usable_keys_and_so_does_a_check() {
    let login = Login::new("auth-start");
    let (start, check, status) = outputs(&Settings::new().set("AUTH", "jwt"));
    assert_eq!(status, Some(2));
    for output in [start, check] {
        assert!(output.contains("must be none unless a file with keys is named by AUTH_KEYS"), "{output}");
    }
    for (text, why) in [
        ("", "line 1, column 0: not a JSON Web Key Set"),
        ("{\"keys\":[]}", "no usable key"),
        ("{\"keys\":[{\"kty\":\"oct\",\"k\":\"c2VjcmV0\"}]}", "k is too short"),
    ] {
        login.write(text);
        let (start, check, status) = outputs(&login.settings());
        assert_eq!(status, Some(1));
        for output in [start, check] {
            assert!(output.contains(&format!("AUTH_KEYS={}", login.file.display())), "{output}");
            assert!(output.contains(why) && !output.contains("c2VjcmV0"), "{output}");
        }
    }
    fs::remove_file(&login.file).expect("a file");
    let (start, check, status) = outputs(&login.settings());
    let expected = ": expected the path of an existing file";
    assert!(status == Some(2) && start.contains(expected) && check.contains(expected), "{start}{check}");
}

#[test]
fn a_file_that_others_can_read_or_change_is_warned_about() {
    let login = Login::new("auth-mode");
    let check = || {
        let output = login.settings().command().arg("--check-config").output().expect("it runs");
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        output_text(&output)
    };
    for (mode, readable, writable) in
        [(0o600, false, false), (0o640, false, false), (0o644, true, false), (0o660, false, true)]
    {
        fs::set_permissions(&login.file, Permissions::from_mode(mode)).expect("its mode");
        let output = check();
        assert_eq!(output.contains("every user can read the secret"), readable, "{mode:o}: {output}");
        assert_eq!(output.contains("other users can change it"), writable, "{mode:o}: {output}");
    }
    let rsa = json!({ "kty": "RSA", "kid": "r", "n": "AQAB", "e": "AQAB" });
    login.write(&json!({ "keys": [rsa, secret("s", &[7; 32])] }).to_string());
    assert!(
        check().contains("key \"r\" is ignored: only oct, EC on P-256 and OKP on Ed25519"),
        "{}",
        check()
    );
}
