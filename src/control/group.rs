//! Commands to all processes that share a port: each has a control socket, named after its node.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use serde_json::{Value as Json, json};

use super::players::PlayerList;
use super::{Command, ctl, table};

/// A process of the port: the name of its node, and its socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Member {
    /// Empty for a process that does not share its port.
    pub node: String,
    pub socket: PathBuf,
}

/// Which of the processes execute a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reach {
    /// Any: it answers for all.
    Any,
    /// The one that has the player.
    Owner,
    /// All, and their lists become one.
    Lists,
    All,
}

fn reach(command: &Command) -> Reach {
    match command {
        Command::Nodes {} => Reach::Any,
        Command::Players { .. } => Reach::Lists,
        Command::Player { .. } | Command::Trace { .. } | Command::Kick { id: Some(_), .. } => Reach::Owner,
        _ => Reach::All,
    }
}

/// Returns the processes of a server with this socket: itself, or else those whose sockets have a node's name behind its name.
pub(super) fn members(socket: &Path) -> Vec<Member> {
    let itself = Member { node: String::new(), socket: socket.to_owned() };
    let (Some(folder), Some(name)) = (socket.parent(), socket.file_stem().and_then(|name| name.to_str()))
    else {
        return vec![itself];
    };
    if socket.exists() {
        return vec![itself];
    }
    let node_of = |entry: &fs::DirEntry| {
        let found = entry.file_name();
        let rest = found.to_str()?.strip_prefix(name)?.strip_prefix('-')?;
        Some(rest.strip_suffix(".sock").filter(|node| !node.is_empty())?.to_owned())
    };
    let entries = fs::read_dir(folder).into_iter().flatten().filter_map(Result::ok);
    let mut members: Vec<Member> =
        entries.filter_map(|entry| Some(Member { node: node_of(&entry)?, socket: entry.path() })).collect();
    members.sort_by(|one, other| one.node.cmp(&other.node));
    if members.is_empty() { vec![itself] } else { members }
}

/// Sends a command to the processes that it concerns, and returns what to print.
///
/// # Errors
/// As for [`ask`].
pub(super) fn send(command: &Command, members: &[Member], is_json: bool) -> Result<String, String> {
    let result = ask(command, members, Instant::now() + ctl::TIMEOUT)?;
    let by_node = result.as_object().filter(|_| members.len() > 1 && reach(command) == Reach::All);
    Ok(match by_node {
        _ if is_json => result.to_string(),
        Some(by_node) => {
            let parts = by_node.iter().map(|(node, result)| format!("{node}\n{}", table::of(result)));
            parts.collect::<Vec<_>>().join("\n\n")
        }
        None => table::of(&result),
    })
}

/// Sends a command to the processes that it concerns, and returns the result: that of the one process, all lists of players as one,
/// or else an object with the result of each node. Processes that do not answer are left out, if another one does.
///
/// # Errors
/// No process answers before the deadline, or all refuse the command; the message is for the operator.
pub(super) fn ask(command: &Command, members: &[Member], deadline: Instant) -> Result<Json, String> {
    if let [only] = members {
        return ctl::ask(command, &only.socket, deadline);
    }
    let (mut results, mut problem) = (Vec::new(), String::new());
    for member in members {
        match ctl::ask(command, &member.socket, deadline) {
            Ok(result) if matches!(reach(command), Reach::All | Reach::Lists) => {
                results.push((member, result));
            }
            Ok(result) => return Ok(result),
            Err(other) => problem = other,
        }
    }
    if results.is_empty() {
        return Err(problem);
    }
    let Command::Players { sort, near, limit, .. } = *command else {
        return Ok(results.into_iter().map(|(member, result)| (member.node.clone(), result)).collect());
    };
    let mut all = PlayerList::default();
    for (member, list) in results {
        all.add(&member.node, serde_json::from_value(list).map_err(|error| error.to_string())?);
    }
    all.sort(sort, near, limit);
    Ok(json!(all))
}

/// Returns the process that has this player.
///
/// # Errors
/// No process answers, or none has the player.
pub(super) fn owner(id: u32, members: &[Member]) -> Result<&Member, String> {
    let mut problem = String::new();
    for member in members {
        match ctl::ask(&Command::Player { id }, &member.socket, Instant::now() + ctl::TIMEOUT) {
            Ok(_) => return Ok(member),
            Err(other) => problem = other,
        }
    }
    Err(problem)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_processes_of_a_port_are_found_by_their_sockets() {
        let folder = std::env::temp_dir().join(format!("pixi-members-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        for name in
            ["game-81-two.sock", "game-81-one.sock", "game-81-.sock", "game-810-x.sock", "game-81-x.new"]
        {
            fs::write(folder.join(name), "").unwrap();
        }
        let nodes = |name: &str| -> Vec<String> {
            members(&folder.join(name)).into_iter().map(|member| member.node).collect()
        };
        assert_eq!(nodes("game-81.sock"), ["one", "two"]);
        assert_eq!(nodes("game-82.sock"), [""]);
        fs::write(folder.join("game-81.sock"), "").unwrap();
        assert_eq!(nodes("game-81.sock"), [""]);
        fs::remove_dir_all(&folder).unwrap();
    }
}
