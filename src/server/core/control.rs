//! Commands of operators. Each is bounded; a list of players looks at a part of the connections a turn.

use std::net::IpAddr;

use serde_json::{Value as Json, json};

use super::bans::BanDecision;
use super::peer_address::PeerAddresses;
use super::system::System;
use super::table::Token;
use super::trace::Trace;
use super::{Core, close, cluster, port_group, reload};
use crate::control::players::{Listed, PlayerList};
use crate::control::{Command, Network, Sort};
use crate::limits::LIST_CONNECTIONS_PER_TURN;
use crate::ops::metrics::Closed;
use crate::replication::Viewer;
use crate::world::State;

/// Seconds for which a command may ask: ten years.
const SECONDS_MAX: u64 = 10 * 365 * 24 * 3600;

/// How a command goes on.
#[derive(Debug)]
pub enum Progress {
    /// It is done; the result.
    Done(Json),
    /// A list of players is in progress: [`List::advance`] continues it.
    List(Box<List>),
    /// A trace has begun; the result, and the player's connection.
    Trace(Json, Token),
}

/// A list of players in progress.
#[derive(Debug)]
pub struct List {
    sort: Sort,
    near: Option<(u16, u16)>,
    address: Option<Network>,
    limit: usize,
    next_index: usize,
    found: PlayerList,
}

/// Executes a command of a user of this machine.
///
/// # Errors
/// The command can't be executed; the message is for the operator.
pub(super) fn execute<S: System>(core: &mut Core<S>, command: Command, uid: u32) -> Result<Progress, String> {
    let (now_ms, now_us) = (core.clock.now_ms(), core.system.unix_time().as_micros() as u64);
    let now_s = now_us / 1_000_000;
    let done = match command {
        Command::Players { sort, near, address, limit } => {
            let list = List { sort, near, address, limit, next_index: 0, found: PlayerList::default() };
            return Ok(Progress::List(Box::new(list)));
        }
        Command::Trace { id } => {
            let token = token_of(core, id)?;
            log::info!("control: user {uid} follows player {id}");
            core.trace = Some(Box::new(Trace::new(token)));
            return Ok(Progress::Trace(json!({ "following": id }), token));
        }
        Command::Status {} => status(core, now_ms, now_s),
        Command::Nodes {} => json!({ "nodes": port_group::nodes_for_operators(core) }),
        Command::Player { id } => player(core, id)?,
        Command::Bans {} => bans(core, now_s),
        Command::Kick { id, address, code, reason } => {
            let tokens = match (id, address) {
                (Some(id), _) => vec![token_of(core, id)?],
                (None, address) => address.map_or_else(Vec::new, |network| tokens_of(core, network)),
            };
            let who =
                address.map_or_else(|| format!("player {}", id.unwrap_or(0)), |network| network.to_string());
            log::info!(
                "control: user {uid} kicks {who}: {} connections, code {code}, {reason:?}",
                tokens.len()
            );
            json!({ "kicked": kick(core, tokens, code, &reason, Closed::Kicked) })
        }
        Command::Ban { network, seconds } => {
            let until_s = seconds.map(|seconds| now_s + seconds.min(SECONDS_MAX));
            core.operations.bans.ban(network.0, until_s, now_us)?;
            bans_changed(core);
            let tokens = tokens_of(core, network);
            let end = seconds.map_or("for good".to_owned(), |seconds| format!("for {seconds} s"));
            log::info!("control: user {uid} bans {network} {end}: {} connections", tokens.len());
            json!({ "kicked": kick(core, tokens, crate::control::KICK_CODE, "banned", Closed::Banned) })
        }
        Command::Unban { network } => {
            if !core.operations.bans.unban(network.0, now_us) {
                return Err(format!("network {network}: not banned"));
            }
            bans_changed(core);
            log::info!("control: user {uid} unbans {network}");
            json!({ "unbanned": network })
        }
        Command::Drain { seconds } => {
            core.operations.close(now_ms, seconds.map(|seconds| seconds.min(SECONDS_MAX) * 1000));
            let end = seconds.map_or("until undrain".to_owned(), |seconds| format!("for {seconds} s"));
            log::info!("control: user {uid} drains: no new players {end}");
            json!({ "players": core.engine.players() })
        }
        Command::Undrain {} => {
            core.operations.open();
            log::info!("control: user {uid} undrains: players are admitted");
            json!({ "players": core.engine.players() })
        }
        Command::Set { name, value } => {
            let change = reload::set(core, &name, &value)?;
            log::info!("control: user {uid} sets {change}");
            json!({ "changed": change })
        }
        Command::Reload {} => {
            log::info!("control: user {uid} reloads");
            core.begin_reload();
            json!({ "reload": "started; the log tells its result" })
        }
    };
    Ok(Progress::Done(done))
}

fn status<S: System>(core: &Core<S>, now_ms: u64, now_s: u64) -> Json {
    let state = match () {
        () if core.is_draining() => "shutting down",
        () if core.operations.is_closed(now_ms) => "draining",
        () => "serving",
    };
    let usage = core.system.usage();
    json!({
        "state": state,
        "version": env!("CARGO_PKG_VERSION"),
        "pid": std::process::id(),
        "port": core.system.public_port(),
        "admin_port": core.system.admin_port(),
        "uptime_s": core.clock.uptime_ms() / 1000,
        "players": core.engine.players(),
        "players_max": core.config.max_connections,
        "connections": core.connections.table.len(),
        "addresses": core.gate.peer_addresses.counted_addresses(),
        "resident_bytes": usage.resident_bytes,
        "cpu_s": usage.cpu_ns / 1_000_000_000,
        "governor_level": core.engine.governor.level(),
        "max_visible": core.engine.viewers().settings().max_visible,
        "bans": core.operations.bans.in_force(now_s).count(),
        "node": core.node().map(crate::cluster::Node::name),
    })
}

fn bans<S: System>(core: &Core<S>, now_s: u64) -> Json {
    let bans = core.operations.bans.in_force(now_s).map(|ban| ban_json(ban, now_s));
    json!({ "bans": bans.collect::<Vec<_>>() })
}

fn ban_json(ban: &BanDecision, now_s: u64) -> Json {
    let left_s = ban.until_s.map(|until_s| until_s.saturating_sub(now_s));
    json!({ "network": Network(ban.network), "seconds_left": left_s })
}

fn player<S: System>(core: &Core<S>, id: u32) -> Result<Json, String> {
    let token = token_of(core, id)?;
    let no_player = || format!("player {id}: not here");
    let listed = listed(core, token).ok_or_else(no_player)?;
    let (slot, player) = core.connections.player(token).ok_or_else(no_player)?;
    let connection = core.connections.get(token).ok_or_else(no_player)?;
    let view = core.engine.viewers().viewer(slot);
    let mut result = serde_json::to_value(listed).map_err(|error| error.to_string())?;
    let state = match core.engine.world().state(slot) {
        State::Idle => "idle",
        State::Moving => "moving",
        State::Attacking => "attacking",
    };
    let viewport = view.and_then(Viewer::half_sides);
    let age_ms = core.clock.now_ms().saturating_sub(player.history.joined_ms).max(1);
    let per_s = |count: u64| count * 1_000 / age_ms;
    let more = json!({
        "acks_per_s": per_s(player.history.acks),
        "bytes_in_per_s": per_s(player.history.bytes_in),
        "bytes_out_per_s": per_s(connection.written_bytes),
        "state": state,
        "viewport": viewport.map(|(width, height)| format!("{}x{}", 2 * width, 2 * height)),
        "visible": view.map(|view| view.visible_ids().count()),
        "silent_ms": core.clock.now_ms().saturating_sub(player.last_frame_ms),
        "unsent_bytes": connection.outbox.len(),
    });
    if let (Json::Object(result), Json::Object(more)) = (&mut result, more) {
        result.extend(more);
    }
    Ok(result)
}

/// Returns the row of a player in a list; `None` if the connection is no player.
fn listed<S: System>(core: &Core<S>, token: Token) -> Option<Listed> {
    let (slot, player) = core.connections.player(token)?;
    let position = core.engine.world().position(slot);
    let history = &player.history;
    Some(Listed {
        id: core.engine.world().id(slot)?,
        node: None,
        account: core.accounts.of(token).map(ToString::to_string),
        address: core.gate.peer_addresses.player_network(token).map(|network| network.to_string()),
        age_s: core.clock.now_ms().saturating_sub(history.joined_ms) / 1000,
        x: position.x,
        y: position.y,
        acks: history.acks,
        rejected: history.corrections,
        rate_limited: history.rate_limited,
        invalid: history.protocol_errors,
        bytes_in: history.bytes_in,
        bytes_out: core.connections.get(token)?.written_bytes,
        round_trip_ms: history.round_trip_ms,
    })
}

impl List {
    /// Looks at the next part of the connections. Returns the list once it has seen all.
    pub(super) fn advance<S: System>(&mut self, core: &Core<S>) -> Option<Json> {
        let (from, capacity) = (self.next_index, core.connections.table.capacity());
        self.next_index = capacity.min(from + LIST_CONNECTIONS_PER_TURN);
        for index in from..self.next_index {
            let Some(token) = core.connections.table.token_at(index) else { continue };
            if !self.address.is_none_or(|network| is_of(&core.gate.peer_addresses, token, network)) {
                continue;
            }
            if let Some(listed) = listed(core, token) {
                self.found.matching += 1;
                self.found.players.push(listed);
            }
        }
        self.found.sort(self.sort, self.near, self.limit);
        if self.next_index < capacity {
            return None;
        }
        Some(json!(self.found))
    }
}

/// Whether a player's address is of a network.
fn is_of(addresses: &PeerAddresses, token: Token, network: Network) -> bool {
    addresses.player_network(token).is_some_and(|of| network.0.contains(&IpAddr::from(of)))
}

fn token_of<S: System>(core: &Core<S>, id: u32) -> Result<Token, String> {
    let world = core.engine.world();
    let slot = (0..world.slots() as u32).find(|&slot| world.id(slot) == Some(id));
    let token = slot.and_then(|slot| {
        let token = core.connections.of_slot_checked(slot)?;
        (core.connections.player(token)?.0 == slot).then_some(token)
    });
    token.ok_or_else(|| format!("player {id}: not here"))
}

fn tokens_of<S: System>(core: &Core<S>, network: Network) -> Vec<Token> {
    let mut tokens = core.connections.table.tokens();
    tokens.retain(|&token| is_of(&core.gate.peer_addresses, token, network));
    tokens
}

fn kick<S: System>(
    core: &mut Core<S>,
    tokens: Vec<Token>,
    code: u16,
    reason: &str,
    counted: Closed,
) -> usize {
    let before = core.engine.players();
    for token in tokens {
        close::close_player(core, token, code, reason, counted);
    }
    before - core.engine.players()
}

/// Saves the decisions about banned networks, and publishes them to other nodes.
fn bans_changed<S: System>(core: &mut Core<S>) {
    save_bans(core);
    cluster::bans_changed(core);
}

fn save_bans<S: System>(core: &mut Core<S>) {
    let text = serde_json::to_string_pretty(core.operations.bans.decisions()).unwrap_or_default();
    core.system.save_bans(text);
}

/// Applies decisions of another node.
pub(super) fn merge_bans<S: System>(core: &mut Core<S>, decisions: &[BanDecision]) {
    let before = core.operations.bans.clone();
    let banned = core.operations.bans.merge(decisions, core.system.unix_time().as_micros() as u64);
    if core.operations.bans == before {
        return;
    }
    save_bans(core);
    for network in banned.into_iter().map(Network) {
        let tokens = tokens_of(core, network);
        log::info!("control: another node bans {network}: {} connections", tokens.len());
        kick(core, tokens, crate::control::KICK_CODE, "banned", Closed::Banned);
    }
}
