//! Addresses that can't be had: the last line names the setting and says what helps, and the status is 1.

use std::net::TcpListener;
use std::process::Output;

use crate::support::Settings;
use crate::support::debian::is_root;

/// Runs a server that must not start, and gives its last words.
fn last_words(output: &Output) -> &str {
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let log = std::str::from_utf8(&output.stderr).expect("text");
    log.lines().last().expect("a last line")
}

fn assert_names(line: &str, parts: &[&str]) {
    for part in parts {
        assert!(line.contains(part), "{part} in {line}");
    }
}

#[test]
fn a_port_in_use_is_named_with_what_helps() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = taken.local_addr().expect("its address").port();
    let output = Settings::new().set("PORT", port).command().output().expect("the program runs");
    let named = format!("HOST=127.0.0.1 PORT={port}");
    assert_names(last_words(&output), &[&named, "Address already in use", "another program", "another port"]);
    let address = taken.local_addr().expect("its address").to_string();
    let output = Settings::new().set("ADMIN_ADDR", address.as_str()).command().output().expect("it runs");
    assert_names(last_words(&output), &[&format!("ADMIN_ADDR={address}"), "Address already in use"]);
}

#[test]
fn a_privileged_port_without_permission_is_named_with_what_helps() {
    // In a network namespace of its own, low ports are privileged whatever the machine's own rule is.
    let as_root = ["unshare", "--net", "setpriv", "--bounding-set=-net_bind_service"];
    let as_user = ["unshare", "--user", "--net"];
    let wrapper = if is_root() { &as_root[..] } else { &as_user[..] };
    let settings = Settings::new().set("HOST", "0.0.0.0").set("PORT", 80);
    let output = settings.command_through(wrapper).output().expect("unshare runs");
    let parts = ["HOST=0.0.0.0 PORT=80", "Permission denied", "CAP_NET_BIND_SERVICE", "another port"];
    assert_names(last_words(&output), &parts);
}

#[test]
fn an_address_of_another_machine_is_named() {
    let output = Settings::new().set("HOST", "192.0.2.1").command().output().expect("the program runs");
    assert_names(last_words(&output), &["HOST=192.0.2.1 PORT=0", "no such address"]);
}
