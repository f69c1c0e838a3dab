//! Facts about a process, read from `/proc`.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use pixi_game_server::server::driver::os::page_bytes;

/// State of a listening socket in `/proc/net/tcp`.
const LISTENING: &str = "0A";

/// A file of a process; empty if the process is gone.
fn read(pid: u32, file: &str) -> String {
    fs::read_to_string(format!("/proc/{pid}/{file}")).unwrap_or_default()
}

/// Paths that the descriptors of a process refer to; none if the process is gone.
fn open_files(pid: u32) -> impl Iterator<Item = PathBuf> {
    let entries = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
    entries.filter_map(|entry| fs::read_link(entry.path()).ok())
}

pub fn exists(pid: u32) -> bool {
    Path::new("/proc").join(pid.to_string()).exists()
}

pub fn descriptors(pid: u32) -> usize {
    fs::read_dir(format!("/proc/{pid}/fd")).expect("a running process").count()
}

pub fn has_open(pid: u32, file: &Path) -> bool {
    open_files(pid).any(|target| target == file)
}

pub fn pid_with_open(file: &Path) -> u32 {
    let processes = fs::read_dir("/proc").expect("processes").flatten();
    let mut pids = processes.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.find(|&pid| has_open(pid, file)).expect("a process with this file")
}

pub fn resident_bytes(pid: u32) -> u64 {
    let statm = read(pid, "statm");
    let pages = statm.split(' ').nth(1).and_then(|pages| pages.parse::<u64>().ok());
    pages.expect("a number of pages") * page_bytes()
}

/// One field of `/proc/PID/status`, which also takes the id of a thread; `None` if the process is gone.
pub fn status_field(pid: u32, name: &str) -> Option<String> {
    let status = read(pid, "status");
    let mut lines = status.lines();
    lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).map(|value| value.trim().to_owned())
}

/// Soft and hard limit of open files.
pub fn open_files_limits(pid: u32) -> (String, String) {
    let limits = read(pid, "limits");
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files")).expect("its limit");
    let mut words = line.split_whitespace().map(str::to_owned);
    (words.next().expect("a soft limit"), words.next().expect("a hard limit"))
}

/// The command line, which every user of the machine can read.
pub fn command_line(pid: u32) -> String {
    fs::read_to_string(format!("/proc/{pid}/cmdline")).expect("a running process")
}

pub fn children(pid: u32) -> Vec<u32> {
    let children = read(pid, &format!("task/{pid}/children"));
    children.split_whitespace().map(|child| child.parse().expect("a process id")).collect()
}

/// Name of a process or thread.
pub fn name(pid: u32) -> String {
    read(pid, "comm").trim_end().to_owned()
}

/// Id of the thread with this name. The main thread has the name of the program.
pub fn thread_id(pid: u32, thread: &str) -> u32 {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).expect("a running process").flatten();
    let mut ids = tasks.filter_map(|task| task.file_name().to_str()?.parse().ok());
    ids.find(|&id| name(id) == thread).unwrap_or_else(|| panic!("no thread is named {thread}"))
}

/// The file system as the process sees it, in its own mount namespace.
pub fn root(pid: u32) -> PathBuf {
    format!("/proc/{pid}/root").into()
}

/// The first IPv4 address on which the process listens; `None` until it does.
pub fn listening_address(pid: u32) -> Option<SocketAddr> {
    listening_addresses(pid).into_iter().next()
}

/// Whether the process listens at this address.
pub fn listens_on(pid: u32, address: SocketAddr) -> bool {
    listening_addresses(pid).contains(&address)
}

fn listening_addresses(pid: u32) -> Vec<SocketAddr> {
    let sockets: Vec<PathBuf> = open_files(pid).collect();
    let table = read(pid, "net/tcp");
    let listening = table.lines().skip(1).filter_map(|line| {
        let columns: Vec<&str> = line.split_whitespace().collect();
        let is_ours = sockets.contains(&format!("socket:[{}]", columns.get(9)?).into());
        let (address, port) = columns.get(1)?.split_once(':')?;
        let address = Ipv4Addr::from(u32::from_str_radix(address, 16).ok()?.to_le_bytes());
        let port = u16::from_str_radix(port, 16).ok()?;
        (is_ours && columns.get(3) == Some(&LISTENING)).then_some((address, port).into())
    });
    listening.collect()
}
