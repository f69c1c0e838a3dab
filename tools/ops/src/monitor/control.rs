//! Asks the control socket of a server on this machine, on a thread: players, kicks and bans.

use std::ffi::OsString;
use std::io;
use std::net::UdpSocket;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use game_client::endpoint::{Lookup, Server};
use game_client::text::{printable, printable_json};
use pixi_game_server::control::players::PlayerList;
use pixi_game_server::control::{Command, KICK_CODE, Network, Sort, ctl};
use serde_json::Value as Json;

/// Longest time for an answer.
const TIMEOUT: Duration = Duration::from_secs(3);

/// Most players listed. The filter finds others.
pub const LISTED_MAX: usize = 100;

/// Duration of a ban.
const BAN_S: u64 = 3_600;

/// A question to a server.
#[derive(Clone, Debug, PartialEq)]
pub enum Ask {
    /// List players, at most [`LISTED_MAX`].
    List(Sort, Option<Network>),
    /// Close the connection of a player, provided that it still has this address.
    Kick(u32, Option<String>),
    /// Refuse a network for an hour, and close its players' connections.
    Ban(Network),
}

/// An answer. Its texts are escaped for the terminal.
#[derive(Debug)]
pub enum Answer {
    /// The players, or why there are none.
    List(Result<PlayerList, String>),
    /// What was done, or why not.
    Action(Result<String, String>),
}

/// The asking thread. It has one question at a time.
pub struct Control {
    questions: SyncSender<(usize, Ask)>,
    answers: Receiver<(usize, Answer)>,
}

impl Control {
    /// Starts the thread, which ends with the process. Without `socket`, each server has that of `ctl` for its port.
    ///
    /// # Errors
    /// The operating system refuses the thread.
    pub fn start(servers: &[Server], socket: Option<&PathBuf>) -> io::Result<Control> {
        let (sender, questions) = sync_channel::<(usize, Ask)>(1);
        let (answer, answers) = sync_channel(1);
        let mut targets: Vec<Target> = servers.iter().map(|server| Target::new(server, socket)).collect();
        thread::Builder::new().name("control".to_owned()).spawn(move || {
            for (server, ask) in questions {
                if answer.send((server, targets[server].answer(ask))).is_err() {
                    return;
                }
            }
        })?;
        Ok(Control { questions: sender, answers })
    }

    /// Asks the server of this index. The caller waits for the answer before it asks again.
    pub fn ask(&self, server: usize, ask: Ask) {
        // It fails only if the thread has panicked, and then no answer comes.
        let _ = self.questions.try_send((server, ask));
    }

    /// Returns the answer and the index of its server, if there is one.
    pub fn answer(&self) -> Option<(usize, Answer)> {
        self.answers.try_recv().ok()
    }
}

/// A server, and where its control socket is.
struct Target {
    lookup: Lookup,
    port: u16,
    socket: Option<PathBuf>,
}

impl Target {
    fn new(server: &Server, socket: Option<&PathBuf>) -> Target {
        let lookup = Lookup::new(server.host.clone(), server.port);
        Target { lookup, port: server.port, socket: socket.cloned() }
    }

    fn answer(&mut self, ask: Ask) -> Answer {
        let deadline = Instant::now() + TIMEOUT;
        let send = |command: &Command| {
            let answer = self.socket(deadline).and_then(|socket| ctl::ask_all(command, &socket, deadline));
            answer.map(printable_json).map_err(|problem| printable(&problem).into_owned())
        };
        match ask {
            Ask::List(sort, filter) => Answer::List(list(send, sort, filter)),
            Ask::Kick(id, address) => Answer::Action(kick(send, id, address.as_deref())),
            Ask::Ban(network) => Answer::Action(ban(send, network)),
        }
    }

    /// Returns the control socket, after checks that it is the server's.
    fn socket(&mut self, deadline: Instant) -> Result<PathBuf, String> {
        // Only an address of this machine can be bound.
        let addresses = self.lookup.addresses(deadline)?;
        if !addresses.iter().any(|address| UdpSocket::bind((address.ip(), 0)).is_ok()) {
            return Err("the server is on another machine, and a control socket is local".to_owned());
        }
        let socket = self.socket.clone().map_or_else(|| default_socket(self.port), Ok)?;
        let status = ctl::ask_all(&Command::Status {}, &socket, deadline)?;
        // Of several processes, each has its own status.
        let all = if status.get("port").is_some() {
            vec![&status]
        } else {
            status.as_object().into_iter().flatten().map(|(_, status)| status).collect()
        };
        let port = Json::from(self.port);
        if !all.iter().any(|status| [&status["port"], &status["admin_port"]].contains(&&port)) {
            let (path, port) = (socket.display(), all.first().map_or(&Json::Null, |status| &status["port"]));
            return Err(format!("{path} belongs to port {port}; see --control"));
        }
        Ok(socket)
    }
}

/// Returns the socket that `ctl` asks with this environment. The port is the server's, unless the environment has one.
fn default_socket(port: u16) -> Result<PathBuf, String> {
    let is_in_environment = std::env::var_os("PORT").is_some_and(|port| !port.is_empty());
    let flags = [OsString::from("--port"), OsString::from(port.to_string())];
    ctl::default_socket(flags.into_iter().filter(|_| !is_in_environment))
}

fn list(
    mut send: impl FnMut(&Command) -> Result<Json, String>,
    sort: Sort,
    address: Option<Network>,
) -> Result<PlayerList, String> {
    let list = send(&Command::Players { sort, near: None, address, limit: LISTED_MAX })?;
    serde_json::from_value(list).map_err(|error| error.to_string())
}

fn kick(
    mut send: impl FnMut(&Command) -> Result<Json, String>,
    id: u32,
    address: Option<&str>,
) -> Result<String, String> {
    // Another process at this socket gives its ids to other players.
    if send(&Command::Player { id })?["address"].as_str() != address {
        return Err(format!("player {id}: now at another address; not kicked"));
    }
    let reason = "kicked by an operator".to_owned();
    let result = send(&Command::Kick { id: Some(id), address: None, code: KICK_CODE, reason })?;
    if result["kicked"] == 1 {
        Ok(format!("kicked player {id}"))
    } else {
        Err(format!("player {id}: not kicked"))
    }
}

fn ban(mut send: impl FnMut(&Command) -> Result<Json, String>, network: Network) -> Result<String, String> {
    let result = send(&Command::Ban { network, seconds: Some(BAN_S) })?;
    // Of several processes, each has kicked its own.
    let by_node =
        result.as_object().into_iter().flatten().filter_map(|(_, result)| result["kicked"].as_u64());
    let kicked = result["kicked"].as_u64().unwrap_or_else(|| by_node.sum());
    Ok(format!("banned {network} for 1 h, and kicked its players: {kicked}"))
}
