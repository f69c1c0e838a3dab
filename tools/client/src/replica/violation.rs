//! What a server must never do to the browser client.

use std::fmt;

use crate::codec::{DecodeError, PlayerId};

/// One thing the server did that the browser client does not forgive, or that the protocol forbids.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Violation {
    /// A payload that is no message of the protocol.
    Undecodable(DecodeError),
    /// Something came before the first `GAME_STATE`.
    FirstFrameNotGameState,
    /// The first `GAME_STATE` lists nobody: the client does not know who it is.
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
    /// A later `GAME_STATE` too soon after the first remote entrance: everybody listed is drawn twice for good.
    GameStateWhileLoadingFirstSprite {
        /// Time since that entrance, in milliseconds.
        after_ms: u64,
    },
    /// `PLAYER_JOINED` of a player that is on the picture already.
    DuplicateEnter {
        /// The player.
        id: PlayerId,
    },
    /// `PLAYER_LEFT` of a player that is not on the picture.
    LeftUnknown {
        /// The player.
        id: PlayerId,
    },
    /// `PLAYER_LEFT` before the sprite had loaded: a ghost stays until the next `GAME_STATE`.
    LeftWhileLoading {
        /// The player.
        id: PlayerId,
        /// Time since its entrance, in milliseconds.
        after_ms: u64,
    },
    /// `PLAYER_MOVEMENT` of a player that is not on the picture, or of the viewer itself.
    UnknownIdInMovement {
        /// The player.
        id: PlayerId,
    },
    /// `PLAYER_DIRECTION` of a player that is not on the picture, or of the viewer itself.
    UnknownIdInDirection {
        /// The player.
        id: PlayerId,
    },
    /// `PLAYER_ATTACK` of a player that is not on the picture, or of the viewer itself.
    UnknownIdInAttack {
        /// The player.
        id: PlayerId,
    },
    /// More remote players on the picture than the server is set to show.
    MoreThanVisibleMax {
        /// Remote players on the picture.
        visible: usize,
        /// The most there may be.
        visible_max: usize,
    },
    /// A position outside the world.
    OutsideWorld {
        /// The player.
        id: PlayerId,
        /// Position told, in world units.
        x: u16,
        /// Position told, in world units.
        y: u16,
    },
    /// `MOVEMENT_ACK` with an id that is not the viewer's.
    AckForOtherPlayer {
        /// The player it names.
        id: PlayerId,
    },
    /// `MOVEMENT_ACK` of a MOVE that was never sent.
    AckForUnknownSequence {
        /// The sequence it names.
        sequence: u32,
    },
    /// A second `MOVEMENT_ACK` of one MOVE.
    DuplicateAck {
        /// The sequence it names.
        sequence: u32,
    },
    /// `MOVEMENT_ACK` of a MOVE while an earlier one is still unanswered.
    AckOutOfOrder {
        /// The sequence it names.
        sequence: u32,
        /// The sequence that was due.
        expected: u32,
    },
}

impl fmt::Display for Violation {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Violation::Undecodable(error) => write!(formatter, "not a message of the protocol: {error}"),
            Violation::FirstFrameNotGameState => write!(formatter, "the first frame is not a GAME_STATE"),
            Violation::IdentityMissing => write!(formatter, "the first GAME_STATE lists nobody"),
            Violation::OwnIdJoined => write!(formatter, "JOINED with the viewer's own id"),
            Violation::OwnEntryInLaterGameState => {
                write!(formatter, "a later GAME_STATE lists the viewer itself")
            }
            Violation::ListedTwice { id } => write!(formatter, "one GAME_STATE lists player {id} twice"),
            Violation::GameStateWhileLoadingFirstSprite { after_ms } => {
                write!(formatter, "GAME_STATE {after_ms} ms after the first remote entrance")
            }
            Violation::DuplicateEnter { id } => write!(formatter, "player {id} entered a second time"),
            Violation::LeftUnknown { id } => write!(formatter, "LEFT of player {id}, who is not shown"),
            Violation::LeftWhileLoading { id, after_ms } => {
                write!(formatter, "LEFT of player {id} {after_ms} ms after its entrance")
            }
            Violation::UnknownIdInMovement { id } => write!(formatter, "MOVEMENT of unknown player {id}"),
            Violation::UnknownIdInDirection { id } => write!(formatter, "DIRECTION of unknown player {id}"),
            Violation::UnknownIdInAttack { id } => write!(formatter, "ATTACK of unknown player {id}"),
            Violation::MoreThanVisibleMax { visible, visible_max } => {
                write!(formatter, "{visible} remote players shown, and {visible_max} allowed")
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
                write!(formatter, "ACK of sequence {sequence} before that of {expected}")
            }
        }
    }
}
