//! Another player's sprite, and its extrapolation between two messages.

use super::{ReplicaOptions, STEPS_PER_S};
use crate::codec::{Entry, Facing, PlayerId, State, Vector};

/// Duration of the attack animation, in milliseconds.
const ATTACK_ANIMATION_MS: u64 = 1_000;

/// Another player as the client draws it. The position is extrapolated up to the last
/// [`Replica::advance`](super::Replica::advance).
#[derive(Clone, Debug, PartialEq)]
pub struct RemotePlayer {
    /// The player.
    pub id: PlayerId,
    /// Position drawn, in world units.
    pub x: f64,
    /// Position drawn, in world units.
    pub y: f64,
    /// Direction in which the sprite moves. Only `PLAYER_MOVEMENT` changes it.
    pub vector: Vector,
    /// The side it faces.
    pub facing: Facing,
    /// The state last received.
    pub state: State,
    /// Time at which it entered, in the caller's milliseconds.
    pub entered_at_ms: u64,
    /// Time at which its sprite has loaded. Messages that arrive earlier are lost.
    pub loaded_at_ms: u64,
    /// Whether the sprite had loaded at the last [`Replica::advance`](super::Replica::advance).
    pub is_shown: bool,
    /// Whether the player has left and only its sprite remains on the screen.
    pub is_ghost: bool,
    attack_ends_at_ms: Option<u64>,
}

impl RemotePlayer {
    /// Returns a player that enters. Like the browser, this ignores the entry's vector.
    pub(super) fn enter(entry: &Entry, now_ms: u64, loading_ms: u64) -> RemotePlayer {
        RemotePlayer {
            id: entry.id,
            x: f64::from(entry.x),
            y: f64::from(entry.y),
            vector: Vector::ZERO,
            facing: entry.facing,
            state: entry.state,
            entered_at_ms: now_ms,
            loaded_at_ms: now_ms + loading_ms,
            is_shown: loading_ms == 0,
            is_ghost: false,
            attack_ends_at_ms: None,
        }
    }

    /// Extrapolates by the time since the last call, and ends a finished attack animation.
    pub(super) fn advance(&mut self, elapsed_ms: u64, now_ms: u64, options: &ReplicaOptions) {
        let distance = options.step_units * STEPS_PER_S * elapsed_ms as f64 / 1_000.0;
        let side = f64::from(options.world_side);
        self.x = (self.x + f64::from(self.vector.dx()) * distance).clamp(0.0, side);
        self.y = (self.y + f64::from(self.vector.dy()) * distance).clamp(0.0, side);
        self.is_shown = self.is_shown || now_ms >= self.loaded_at_ms;
        if self.attack_ends_at_ms.is_some_and(|end| now_ms >= end) {
            self.attack_ends_at_ms = None;
            self.state = self.walking_state();
        }
    }

    /// Moves the player to its position in a `GAME_STATE`. The entry's vector is ignored.
    pub(super) fn correct(&mut self, entry: &Entry) {
        self.x = f64::from(entry.x);
        self.y = f64::from(entry.y);
        self.facing = entry.facing;
        self.state = entry.state;
        self.attack_ends_at_ms = None;
    }

    pub(super) fn attack(&mut self, now_ms: u64) {
        self.state = State::Attacking;
        self.attack_ends_at_ms = Some(now_ms + ATTACK_ANIMATION_MS);
    }

    /// Sets the direction of movement. Walking ends an attack; a zero vector does not.
    pub(super) fn head(&mut self, vector: Vector) {
        self.vector = vector;
        if vector != Vector::ZERO || self.state != State::Attacking {
            self.attack_ends_at_ms = None;
            self.state = self.walking_state();
        }
    }

    fn walking_state(&self) -> State {
        if self.vector == Vector::ZERO { State::Idle } else { State::Moving }
    }
}
