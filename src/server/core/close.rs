//! Closes connections: close handshakes, deadlines, the shutdown drain, and the reaper.

use super::connection::{ConnectionClass, Phase};
use super::deadlines::{Deadlines, Overdue};
use super::system::{Socket as _, System};
use super::table::Token;
use super::{Core, accept, cluster, http_slice, player, port_group, reconnect, takeover};
use crate::limits::CLOSE_TIMEOUT_MS;
use crate::ops::metrics::{Closed, FrameOut, Refused};
use crate::replication::pool::Pool;
use crate::wire::websocket::Code;

/// A shutdown in progress.
#[derive(Debug)]
pub(super) struct Drain {
    /// Time at which the server stops waiting for clients to take their last bytes, in milliseconds of the loop's clock.
    deadline_ms: u64,
    /// The players have been closed: the batch that was being written at the start precedes that.
    is_closed: bool,
}

/// Removes a player from the world. The connection closes after its last bytes are written.
pub(super) fn remove_player<S: System>(core: &mut Core<S>, token: Token, reason: Closed) {
    let Some((slot, player)) = core.connections.player(token) else { return };
    // Deferred messages of a leaving player are dropped: they exceeded its rate.
    core.metrics.rate_limited_total += player.deferred.len() as u64;
    reconnect::end_session(core, token);
    core.accounts.remove(token);
    core.metrics.closed[reason] += 1;
    log::debug!("player {} closed: {reason:?}", core.engine.world().id(slot).unwrap_or(0));
    core.engine.leave(slot);
    start_close(core, token, true);
}

/// Sends a close frame to a player and removes it.
pub(super) fn close_player<S: System>(
    core: &mut Core<S>,
    token: Token,
    code: impl Into<u16>,
    why: &str,
    reason: Closed,
) {
    let Some(connection) = core.connections.get_mut(token) else { return };
    let Phase::Player { player, .. } = &mut connection.phase else { return };
    player.websocket.close(code.into(), why, connection.outbox.bytes());
    core.metrics.frames_out[FrameOut::Close] += 1;
    player::queue_write(core, token);
    remove_player(core, token, reason);
}

/// Starts closing a connection: its outbox is written, then the write side is shut down.
pub(super) fn start_close<S: System>(core: &mut Core<S>, token: Token, was_player: bool) {
    let deadline_ms = core.clock.now_ms() + CLOSE_TIMEOUT_MS;
    let Some(connection) = core.connections.get_mut(token) else { return };
    connection.phase = Phase::Closing { half_closed: false, was_player, deadline_ms };
    if was_player { player::queue_write(core, token) } else { http_slice::queue_http(core, token) }
}

/// Shuts down the write side of a connection whose outbox is empty. The socket stays open until the peer closes its side: closing it with
/// unread input would send a reset, and the peer may then lose the close frame.
pub(super) fn finish_close<S: System>(core: &mut Core<S>, token: Token) {
    let now_ms = core.clock.now_ms();
    let Some(connection) = core.connections.get_mut(token) else { return };
    let Phase::Closing { half_closed, deadline_ms, .. } = &mut connection.phase else { return };
    if !*half_closed {
        *half_closed = true;
        *deadline_ms = now_ms + CLOSE_TIMEOUT_MS;
        let is_done = connection.has_ended() || connection.class != ConnectionClass::Regular;
        if connection.stream.shut_down_write().is_err() || is_done {
            disconnect(core, token);
        }
    }
}

/// Handles the end of the peer's input. Queued output is still written. A player that sent no close frame is disconnected.
pub(super) fn handle_eof<S: System>(core: &mut Core<S>, token: Token) {
    let Some(connection) = core.connections.get_mut(token) else { return };
    connection.end_input();
    match connection.phase {
        Phase::Closing { half_closed: false, .. } if !connection.outbox.is_empty() => {}
        // HTTP is read only once no request is left to answer.
        _ => disconnect(core, token),
    }
}

/// Marks a connection as dead: its socket failed, or both sides have been shut down.
pub(super) fn disconnect<S: System>(core: &mut Core<S>, token: Token) {
    remove_player(core, token, Closed::Reset);
    if core.connections.get(token).is_none() {
        return;
    }
    core.gate.http_connections.remove(token);
    core.gate.admin_connections.remove(token);
    core.connections.bury(token);
}

/// Frees the connections that died in this turn. Until then, late events for their tokens find a dead connection.
pub(super) fn reap<S: System>(core: &mut Core<S>) {
    for (token, mut connection) in core.connections.take_dead() {
        core.gate.peer_addresses.remove(token);
        core.system.deregister(&mut connection.stream);
        let class = connection.class;
        drop(connection);
        accept::release_reserves(core, token, class);
    }
}

/// Checks deadlines and saves sessions for one tick's share of the connections, so that each is visited once a second.
pub(super) fn sweep<S: System>(core: &mut Core<S>) {
    let (now_ms, deadlines) = (core.clock.now_ms(), Deadlines::new(&core.config));
    let share = core.connections.table.capacity().div_ceil(core.config.tick_rate_hz as usize);
    for _ in 0..share {
        let Some(token) = core.connections.next_swept() else { continue };
        reconnect::maintain_session(core, token);
        let is_pending = core.sessions.pending.contains(token);
        let Some(connection) = core.connections.get_mut(token) else { continue };
        match deadlines.check(connection, is_pending, now_ms) {
            Overdue::Nothing => {}
            Overdue::Ping => takeover::ping_player(core, token),
            Overdue::CloseIdle => {
                close_player(core, token, Code::GoingAway, "nothing heard", Closed::Idle);
            }
            Overdue::DropStalled => {
                remove_player(core, token, Closed::Stalled);
                disconnect(core, token);
            }
            Overdue::DropHandshake => {
                core.metrics.refused[Refused::HandshakeTimeout] += 1;
                disconnect(core, token);
            }
            Overdue::Truncated(cut) => {
                core.metrics.responses_truncated[cut] += 1;
                disconnect(core, token);
            }
            Overdue::Drop => disconnect(core, token),
        }
    }
}

/// Starts the shutdown. [`close_drained`] closes the players.
pub(super) fn drain<S: System>(core: &mut Core<S>) {
    let players = core.engine.players();
    log::info!("shutting down: closing {players} player connections");
    let timeout_ms = u64::from(core.config.shutdown_timeout_s) * 1000;
    core.lifecycle.draining = Some(Drain { deadline_ms: core.clock.now_ms() + timeout_ms, is_closed: false });
}

/// Closes every player of a shutdown, and announces it to the cluster, once the frames of the current batch are written.
///
/// The existing client does not reconnect: it extrapolates all players until its page is loaded again. A stop for each mover
/// that it shows precedes the close frame. All stops are encoded before the first player leaves the world.
pub(super) fn close_drained<S: System>(core: &mut Core<S>, pool: &Pool) {
    let Some(Drain { is_closed, .. }) = &mut core.lifecycle.draining else { return };
    if *is_closed || !pool.batch_is_written() {
        return;
    }
    *is_closed = true;
    let tokens = core.connections.table.tokens();
    for &token in &tokens {
        player::reply(core, token, |engine, slot, _, out, metrics| engine.stop_movers(slot, out, metrics));
    }
    for token in tokens {
        close_player(core, token, Code::GoingAway, "the server is shutting down", Closed::Shutdown);
    }
    port_group::stop_listening(core);
    cluster::leave_cluster(core);
}

/// Whether the loop may end: every player has taken its last bytes and closed, or the deadline has passed.
pub(super) fn is_over<S: System>(core: &Core<S>) -> bool {
    let Some(Drain { deadline_ms, is_closed }) = core.lifecycle.draining else { return false };
    let waits = |phase: &Phase| matches!(phase, Phase::Closing { was_player: true, .. });
    core.clock.now_ms() >= deadline_ms
        || is_closed && !core.connections.table.iter().any(|(_, connection)| waits(&connection.phase))
}
