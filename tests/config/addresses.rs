//! Unusable addresses: the last line names the setting and a remedy, and the status is 1.

use std::net::TcpListener;
use std::process::Output;

use crate::support::Settings;
use crate::support::debian::is_root;

/// Last log line of a server that failed to start.
fn last_line(output: &Output) -> &str {
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
fn a_port_in_use_is_named_with_a_remedy() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = taken.local_addr().expect("its address").port();
    let output = Settings::new().set("PORT", port).command().output().expect("the program runs");
    let named = format!("HOST=127.0.0.1 PORT={port}");
    assert_names(last_line(&output), &[&named, "Address already in use", "another program", "another port"]);
    let address = taken.local_addr().expect("its address").to_string();
    let output = Settings::new().set("ADMIN_ADDR", address.as_str()).command().output().expect("it runs");
    assert_names(last_line(&output), &[&format!("ADMIN_ADDR={address}"), "Address already in use"]);
}

#[test]
fn a_privileged_port_is_named_with_a_remedy() {
    // In a network namespace, low ports are privileged independently of the machine's settings.
    let as_root = ["unshare", "--net", "setpriv", "--bounding-set=-net_bind_service"];
    let as_user = ["unshare", "--user", "--net"];
    let wrapper = if is_root() { &as_root[..] } else { &as_user[..] };
    let settings = Settings::new().set("HOST", "0.0.0.0").set("PORT", 80);
    let output = settings.command_through(wrapper).output().expect("unshare runs");
    let parts = ["HOST=0.0.0.0 PORT=80", "Permission denied", "CAP_NET_BIND_SERVICE", "another port"];
    assert_names(last_line(&output), &parts);
}

#[test]
fn a_foreign_address_is_named() {
    let output = Settings::new().set("HOST", "192.0.2.1").command().output().expect("the program runs");
    assert_names(last_line(&output), &["HOST=192.0.2.1 PORT=0", "no such address"]);
}
