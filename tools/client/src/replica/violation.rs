//! Server faults that the browser client does not tolerate.

use std::fmt;

use crate::codec::{DecodeError, PlayerId};

/// A server fault that the browser client does not tolerate or the protocol forbids.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Violation {
    /// A payload that is not a message of the protocol.
    Undecodable(DecodeError),
    /// A message arrived before the first `GAME_STATE`.
    FirstFrameNotGameState,
    /// The first `GAME_STATE` is empty: the client does not learn its own id.
    IdentityMissing,
    /// `PLAYER_JOINED` with the viewer's own id: the client draws a ghost of itself.
    OwnIdJoined,
    /// The viewer's own entry in a later `GAME_STATE`: its predicted position stutters.
    OwnEntryInLaterGameState,
    /// One `GAME_STATE` lists a player twice.
    ListedTwice {
        /// The player.
        id: PlayerId,
    },
    /// A later `GAME_STATE` too soon after the first remote enter: every listed player gets a permanent duplicate
    /// sprite.
    GameStateWhileLoadingFirstSprite {
        /// Time since that enter, in milliseconds.
        after_ms: u64,
    },
    /// `PLAYER_JOINED` of a player that is already in the replica.
    DuplicateEnter {
        /// The player.
        id: PlayerId,
    },
    /// `PLAYER_LEFT` of a player that is not in the replica.
    LeftUnknown {
        /// The player.
        id: PlayerId,
    },
    /// `PLAYER_LEFT` before the sprite had loaded: a ghost stays until the next `GAME_STATE`.
    LeftWhileLoading {
        /// The player.
        id: PlayerId,
        /// Time since it entered, in milliseconds.
        after_ms: u64,
    },
    /// `PLAYER_MOVEMENT` of a player that is not in the replica, or of the viewer itself.
    UnknownIdInMovement {
        /// The player.
        id: PlayerId,
    },
    /// `PLAYER_DIRECTION` of a player that is not in the replica, or of the viewer itself.
    UnknownIdInDirection {
        /// The player.
        id: PlayerId,
    },
    /// `PLAYER_ATTACK` of a player that is not in the replica, or of the viewer itself.
    UnknownIdInAttack {
        /// The player.
        id: PlayerId,
    },
    /// More remote players in the replica than the server's limit.
    MoreThanVisibleMax {
        /// Remote players in the replica.
        visible: usize,
        /// The limit.
        visible_max: usize,
    },
    /// A position outside the world.
    OutsideWorld {
        /// The player.
        id: PlayerId,
        /// Position received, in world units.
        x: u16,
        /// Position received, in world units.
        y: u16,
    },
    /// `MOVEMENT_ACK` with an id that is not the viewer's.
    AckForOtherPlayer {
        /// The player in the ack.
        id: PlayerId,
    },
    /// `MOVEMENT_ACK` of a MOVE that was never sent.
    AckForUnknownSequence {
        /// The sequence number in the ack.
        sequence: u32,
    },
    /// A second `MOVEMENT_ACK` of one MOVE.
    DuplicateAck {
        /// The sequence number in the ack.
        sequence: u32,
    },
    /// `MOVEMENT_ACK` of a MOVE before the ack of an earlier one.
    AckOutOfOrder {
        /// The sequence number in the ack.
        sequence: u32,
        /// The expected sequence number.
        expected: u32,
    },
}

impl fmt::Display for Violation {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Violation::Undecodable(error) => write!(formatter, "not a message of the protocol: {error}"),
            Violation::FirstFrameNotGameState => write!(formatter, "the first frame is not a GAME_STATE"),
            Violation::IdentityMissing => write!(formatter, "the first GAME_STATE is empty"),
            Violation::OwnIdJoined => write!(formatter, "JOINED with the viewer's own id"),
            Violation::OwnEntryInLaterGameState => {
                write!(formatter, "a later GAME_STATE lists the viewer itself")
            }
            Violation::ListedTwice { id } => write!(formatter, "one GAME_STATE lists player {id} twice"),
            Violation::GameStateWhileLoadingFirstSprite { after_ms } => {
                write!(formatter, "GAME_STATE {after_ms} ms after the first remote player entered")
            }
            Violation::DuplicateEnter { id } => write!(formatter, "player {id} entered a second time"),
            Violation::LeftUnknown { id } => write!(formatter, "LEFT of player {id}, which is not shown"),
            Violation::LeftWhileLoading { id, after_ms } => {
                write!(formatter, "LEFT of player {id} {after_ms} ms after it entered")
            }
            Violation::UnknownIdInMovement { id } => write!(formatter, "MOVEMENT of unknown player {id}"),
            Violation::UnknownIdInDirection { id } => write!(formatter, "DIRECTION of unknown player {id}"),
            Violation::UnknownIdInAttack { id } => write!(formatter, "ATTACK of unknown player {id}"),
            Violation::MoreThanVisibleMax { visible, visible_max } => {
                write!(formatter, "{visible} remote players shown, {visible_max} allowed")
            }
            Violation::OutsideWorld { id, x, y } => {
                write!(formatter, "player {id} at ({x}, {y}), outside the world")
            }
            Violation::AckForOtherPlayer { id } => write!(formatter, "ACK for another player, {id}"),
            Violation::AckForUnknownSequence { sequence } => {
                write!(formatter, "ACK of sequence {sequence}, which was never sent")
            }
            Violation::DuplicateAck { sequence } => write!(formatter, "second ACK of sequence {sequence}"),
            Violation::AckOutOfOrder { sequence, expected } => {
                write!(formatter, "ACK of sequence {sequence} before the ACK of {expected}")
            }
        }
    }
}
