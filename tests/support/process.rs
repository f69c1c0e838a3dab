//! What Linux tells about a process: its descriptors, where it listens.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::process::{Command, Output};

use super::debian::is_root;

/// State of a listening socket in `/proc/net/tcp`.
const LISTENING: &str = "0A";

/// Open descriptors of a process.
pub fn descriptors(pid: u32) -> usize {
    fs::read_dir(format!("/proc/{pid}/fd")).expect("a process of ours").count()
}

/// The IPv4 address a process listens on, once it does.
pub fn listening_address(pid: u32) -> Option<SocketAddr> {
    let sockets: Vec<String> = fs::read_dir(format!("/proc/{pid}/fd"))
        .ok()?
        .filter_map(|entry| fs::read_link(entry.ok()?.path()).ok()?.into_os_string().into_string().ok())
        .collect();
    let table = fs::read_to_string(format!("/proc/{pid}/net/tcp")).ok()?;
    table.lines().skip(1).find_map(|line| {
        let columns: Vec<&str> = line.split_whitespace().collect();
        let is_ours = sockets.contains(&format!("socket:[{}]", columns.get(9)?));
        let (address, port) = columns.get(1)?.split_once(':')?;
        let address = Ipv4Addr::from(u32::from_str_radix(address, 16).ok()?.to_le_bytes());
        let port = u16::from_str_radix(port, 16).ok()?;
        (is_ours && columns.get(3) == Some(&LISTENING)).then_some((address, port).into())
    })
}

/// Words before a command that take this capability, or these, from it. Only root has any to lose.
pub fn without(capability: &'static str) -> Vec<&'static str> {
    let flag = match capability {
        "sys_resource" => "--bounding-set=-sys_resource",
        // A file's mode binds root as well.
        "dac" => "--bounding-set=-dac_override,-dac_read_search",
        "net_bind_service" => "--bounding-set=-net_bind_service",
        _ => panic!("name {capability} here"),
    };
    if is_root() { vec!["setpriv", flag] } else { Vec::new() }
}

/// Words before a command that give it a namespace of its own, such as `--net`, where a shell's lines run first; they end
/// with `exec "$@"`.
pub fn unshared<'a>(namespace: &'a str, script: &'a str) -> Vec<&'a str> {
    let root: &[&str] = if is_root() { &[] } else { &["--map-root-user"] };
    [&["unshare", namespace], root, &["sh", "-c", script, "sh"]].concat()
}

/// Runs a command to its end, which must be a good one.
pub fn succeed(command: &mut Command) -> Output {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(output.status.success(), "{command:?}: {output:?}");
    output
}
