//! Server faults that the browser client does not tolerate.

use displaydoc::Display;

use crate::codec::{DecodeError, PlayerId};

/// A server fault that the browser client does not tolerate or the protocol forbids.
#[derive(Clone, Copy, Debug, Display, PartialEq, Eq)]
#[ignore_extra_doc_attributes]
#[allow(clippy::doc_markdown, reason = "the documentation is the error's text")]
pub enum Violation {
    /// not a message of the protocol: {0}
    Undecodable(DecodeError),
    /// the first frame is not a GAME_STATE
    FirstFrameNotGameState,
    /// the first GAME_STATE is empty
    ///
    /// The client does not learn its own id.
    IdentityMissing,
    /// JOINED with the viewer's own id
    ///
    /// The client draws a ghost of itself.
    OwnIdJoined,
    /// a later GAME_STATE lists the viewer itself
    ///
    /// Its predicted position stutters.
    OwnEntryInLaterGameState,
    /// one GAME_STATE lists player {0} twice
    ListedTwice(PlayerId),
    /// GAME_STATE {after_ms} ms after the first remote player entered
    ///
    /// Every listed player gets a permanent duplicate sprite.
    GameStateWhileLoadingFirstSprite {
        /// Time since that enter, in milliseconds.
        after_ms: u64,
    },
    /// player {0} entered a second time
    DuplicateEnter(PlayerId),
    /// LEFT of player {0}, which is not shown
    LeftUnknown(PlayerId),
    /// LEFT of player {id} {after_ms} ms after it entered
    ///
    /// Its sprite had not loaded: a ghost stays until the next GAME_STATE.
    LeftWhileLoading {
        /// The player.
        id: PlayerId,
        /// Time since it entered, in milliseconds.
        after_ms: u64,
    },
    /// MOVEMENT of unknown player {0}
    UnknownIdInMovement(PlayerId),
    /// DIRECTION of unknown player {0}
    UnknownIdInDirection(PlayerId),
    /// ATTACK of unknown player {0}
    UnknownIdInAttack(PlayerId),
    /// {visible} remote players shown, {visible_max} allowed
    MoreThanVisibleMax {
        /// Remote players in the replica.
        visible: usize,
        /// The server's limit.
        visible_max: usize,
    },
    /// player {id} at ({x}, {y}), outside the world
    OutsideWorld {
        /// The player.
        id: PlayerId,
        /// Position received, in world units.
        x: u16,
        /// Position received, in world units.
        y: u16,
    },
    /// ACK for another player, {0}
    AckForOtherPlayer(PlayerId),
    /// ACK of sequence {0}, which was never sent
    AckForUnknownSequence(u32),
    /// second ACK of sequence {0}
    DuplicateAck(u32),
    /// ACK of sequence {sequence} before the ACK of {expected}
    AckOutOfOrder {
        /// The sequence number in the ack.
        sequence: u32,
        /// The expected sequence number.
        expected: u32,
    },
}
