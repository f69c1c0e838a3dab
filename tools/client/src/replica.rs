//! The browser client's replica of the world, built only from the messages it received.
//!
//! The client trusts the server. It takes the highest id of the first `GAME_STATE` as its own, and extrapolates other
//! players by their last vector. It creates sprites asynchronously, so messages about a player whose sprite is still
//! loading are lost. [`Replica`] reproduces this behavior, defects included, and records the server's faults.

mod own;
mod prediction;
mod remote;
#[cfg(test)]
mod tests;
mod violation;

use std::collections::{BTreeMap, BTreeSet};

use crate::codec::{ClientMessage, DecodeError, Entry, PlayerId, ServerMessage, Vector};

pub use own::OwnPlayer;
pub use prediction::Prediction;
pub use remote::RemotePlayer;
pub use violation::Violation;

/// Distance of one step of the client along each axis, in units. A later version of the client takes longer steps.
pub const STEP_UNITS: f64 = 4.0;

/// Steps of the client per second.
pub const STEPS_PER_S: f64 = 24.0;

/// Time after the first remote enter within which no `GAME_STATE` may arrive, in milliseconds.
pub const FIRST_SPRITE_LOAD_MS: u64 = 15_000;

/// Most violations kept; later ones are dropped.
const VIOLATIONS_MAX: usize = 100;

/// Assumptions of a replica about the browser and the server.
#[derive(Clone, Copy, Debug)]
pub struct ReplicaOptions {
    /// Loading time of a sprite after its player enters, in milliseconds.
    pub loading_ms: u64,
    /// Loading time of the sprite sheet after the first remote enter, in milliseconds. No remote sprite loads before.
    pub sheet_ms: u64,
    /// Longest delay between the arrival of a message and its delivery to the replica, in milliseconds. The time
    /// between two messages may appear shorter by this delay.
    pub lateness_ms: u64,
    /// The server's limit of visible remote players; `None` disables the check.
    pub visible_max: Option<usize>,
    /// Side of the world, in units.
    pub world_side: u16,
    /// Distance of one step of the client, in units: `PLAYER_SPEED` of the server.
    pub step_units: f64,
    /// Whether the client exceeds the server's rate limit. An ack then implies that the server dropped all earlier MOVEs
    /// without an ack.
    pub exceeds_rate: bool,
}

impl Default for ReplicaOptions {
    fn default() -> ReplicaOptions {
        ReplicaOptions {
            loading_ms: 300,
            sheet_ms: 0,
            lateness_ms: 0,
            visible_max: None,
            world_side: 2_000,
            step_units: STEP_UNITS,
            exceeds_rate: false,
        }
    }
}

/// One client's replica of the world.
#[derive(Clone, Debug)]
pub struct Replica {
    options: ReplicaOptions,
    now_ms: u64,
    own: OwnPlayer,
    remotes: BTreeMap<PlayerId, RemotePlayer>,
    duplicates: Vec<PlayerId>,
    first_enter_ms: Option<u64>,
    has_received: bool,
    violations: Vec<Violation>,
}

impl Replica {
    /// Returns the replica of a client that has received nothing.
    pub fn new(options: ReplicaOptions) -> Replica {
        Replica {
            options,
            now_ms: 0,
            own: OwnPlayer::new(&options),
            remotes: BTreeMap::new(),
            duplicates: Vec::new(),
            first_enter_ms: None,
            has_received: false,
            violations: Vec::new(),
        }
    }

    /// The viewer's own player.
    pub fn own(&self) -> &OwnPlayer {
        &self.own
    }

    /// The viewer's id, once the first `GAME_STATE` has arrived.
    pub fn own_id(&self) -> Option<PlayerId> {
        self.own.id
    }

    /// The other players in view and the ghosts of players that left, by id, loaded or not.
    pub fn remotes(&self) -> impl Iterator<Item = &RemotePlayer> {
        self.remotes.values()
    }

    /// One other player, or its ghost.
    pub fn remote(&self, id: PlayerId) -> Option<&RemotePlayer> {
        self.remotes.get(&id)
    }

    /// The sprites visible on the screen, ghosts included.
    pub fn shown(&self) -> impl Iterator<Item = &RemotePlayer> {
        self.remotes.values().filter(|remote| remote.is_shown)
    }

    /// Players, the viewer included, that have a permanent duplicate sprite on the screen.
    pub fn duplicates(&self) -> &[PlayerId] {
        &self.duplicates
    }

    /// Time at which the first other player entered, in the caller's milliseconds.
    pub fn first_enter_ms(&self) -> Option<u64> {
        self.first_enter_ms
    }

    /// Violations so far: at most the first hundred.
    pub fn violations(&self) -> &[Violation] {
        &self.violations
    }

    /// Extrapolates every sprite to `now_ms`. A time before the last one has no effect.
    pub fn advance(&mut self, now_ms: u64) {
        if now_ms <= self.now_ms {
            return;
        }
        let elapsed_ms = now_ms - self.now_ms;
        self.now_ms = now_ms;
        for remote in self.remotes.values_mut() {
            remote.advance(elapsed_ms, self.now_ms, &self.options);
        }
    }

    /// Takes one step as the browser does while a key is held. The caller sends the returned MOVE and reports it to
    /// [`Replica::sent`].
    pub fn step(&mut self, vector: Vector) -> ClientMessage {
        self.own.step(vector)
    }

    /// Records a message that the client sent. A MOVE expects an ack.
    pub fn sent(&mut self, message: &ClientMessage) {
        if let ClientMessage::Move { sequence, .. } = message {
            self.own.sent(*sequence);
        }
    }

    /// Decodes and applies the payload of one binary message.
    ///
    /// # Errors
    ///
    /// The payload is invalid, which is also recorded as a violation.
    pub fn receive_payload(&mut self, now_ms: u64, payload: &[u8]) -> Result<ServerMessage, DecodeError> {
        let message = ServerMessage::decode(payload)
            .inspect_err(|error| self.violated(Violation::Undecodable(*error)))?;
        self.receive(now_ms, &message);
        Ok(message)
    }

    /// Applies one message that arrived at `now_ms`.
    pub fn receive(&mut self, now_ms: u64, message: &ServerMessage) {
        self.advance(now_ms);
        if !self.has_received && !matches!(message, ServerMessage::GameState(_)) {
            self.violated(Violation::FirstFrameNotGameState);
        }
        self.has_received = true;
        match message {
            ServerMessage::GameState(entries) => self.game_state(entries),
            ServerMessage::MoveAck { id, x, y, sequence } => self.move_ack(*id, *x, *y, *sequence),
            ServerMessage::Joined(entry) => self.joined(entry),
            ServerMessage::Left(id) => self.left(*id),
            ServerMessage::Attack { id, x, y } => {
                let now_ms = self.now_ms;
                self.check_position(*id, *x, *y);
                self.about(*id, Violation::UnknownIdInAttack(*id), |remote| remote.attack(now_ms));
            }
            ServerMessage::Direction { id, facing } => {
                self.about(*id, Violation::UnknownIdInDirection(*id), |remote| remote.facing = *facing);
            }
            ServerMessage::Movement { id, vector } => {
                self.about(*id, Violation::UnknownIdInMovement(*id), |remote| remote.head(*vector));
            }
        }
    }

    fn game_state(&mut self, entries: &[Entry]) {
        let mut listed = BTreeSet::new();
        for entry in entries {
            self.check_position(entry.id, entry.x, entry.y);
            if !listed.insert(entry.id) {
                self.violated(Violation::ListedTwice(entry.id));
            }
        }
        match self.own.id {
            None => self.first_game_state(entries),
            Some(own_id) => {
                self.check_first_sprite(entries, own_id);
                self.remotes.retain(|id, _| listed.contains(id));
                self.later_game_state(entries, own_id);
            }
        }
        self.check_visible_max();
    }

    fn first_game_state(&mut self, entries: &[Entry]) {
        let Some(own) = entries.iter().max_by_key(|entry| entry.id) else {
            self.violated(Violation::IdentityMissing);
            return;
        };
        self.own.identify(own.id, own.x, own.y);
        for entry in entries.iter().filter(|entry| entry.id != own.id) {
            self.enter(entry);
        }
    }

    fn later_game_state(&mut self, entries: &[Entry], own_id: PlayerId) {
        for entry in entries {
            if entry.id == own_id {
                self.violated(Violation::OwnEntryInLaterGameState);
                self.own.snap(entry.x, entry.y);
            } else if let Some(remote) = self.remotes.get_mut(&entry.id) {
                remote.correct(entry);
                remote.is_ghost = false;
            } else {
                self.enter(entry);
            }
        }
    }

    /// Checks the time between the first remote enter and a later `GAME_STATE`. If the first sprite is still loading,
    /// the browser draws every listed player a second time.
    fn check_first_sprite(&mut self, entries: &[Entry], own_id: PlayerId) {
        let Some(entered_ms) = self.first_enter_ms else { return };
        let after_ms = self.now_ms - entered_ms;
        if after_ms + self.options.lateness_ms < FIRST_SPRITE_LOAD_MS {
            self.violated(Violation::GameStateWhileLoadingFirstSprite { after_ms });
        }
        if after_ms < self.options.loading_ms.max(self.options.sheet_ms) {
            self.duplicates.extend(entries.iter().map(|entry| entry.id).filter(|&id| id != own_id));
        }
    }

    fn joined(&mut self, entry: &Entry) {
        self.check_position(entry.id, entry.x, entry.y);
        if self.own.id == Some(entry.id) {
            self.violated(Violation::OwnIdJoined);
            self.duplicates.push(entry.id);
            return;
        }
        let Some(remote) = self.remotes.get_mut(&entry.id) else {
            self.enter(entry);
            self.check_visible_max();
            return;
        };
        let (loaded, ghost) = (remote.is_shown, remote.is_ghost);
        remote.is_ghost = false;
        if !loaded {
            self.duplicates.push(entry.id);
        }
        if !ghost {
            self.violated(Violation::DuplicateEnter(entry.id));
        }
    }

    fn left(&mut self, id: PlayerId) {
        match self.remotes.get_mut(&id) {
            Some(remote) if !remote.is_ghost => {
                if remote.is_shown {
                    self.remotes.remove(&id);
                } else {
                    remote.is_ghost = true;
                    let after_ms = self.now_ms - remote.entered_at_ms;
                    self.violated(Violation::LeftWhileLoading { id, after_ms });
                }
            }
            _ => self.violated(Violation::LeftUnknown(id)),
        }
    }

    fn move_ack(&mut self, id: PlayerId, x: u16, y: u16, sequence: u32) {
        self.check_position(id, x, y);
        if self.own.id != Some(id) {
            self.violated(Violation::AckForOtherPlayer(id));
        }
        if let Some(violation) = self.own.acknowledged(sequence, x, y) {
            self.violated(violation);
        }
    }

    /// Applies a message to its player. The message is lost while the player's sprite is loading.
    fn about(&mut self, id: PlayerId, unknown: Violation, apply: impl FnOnce(&mut RemotePlayer)) {
        match self.remotes.get_mut(&id) {
            Some(remote) => {
                let ghost = remote.is_ghost;
                if remote.is_shown {
                    apply(remote);
                }
                if ghost {
                    self.violated(unknown);
                }
            }
            None => self.violated(unknown),
        }
    }

    fn enter(&mut self, entry: &Entry) {
        let first_enter_ms = *self.first_enter_ms.get_or_insert(self.now_ms);
        let sheet_ms = (first_enter_ms + self.options.sheet_ms).saturating_sub(self.now_ms);
        let loading_ms = self.options.loading_ms.max(sheet_ms);
        self.remotes.insert(entry.id, RemotePlayer::enter(entry, self.now_ms, loading_ms));
    }

    fn check_visible_max(&mut self) {
        let Some(visible_max) = self.options.visible_max else { return };
        let visible = self.remotes.values().filter(|remote| !remote.is_ghost).count();
        if visible > visible_max {
            self.violated(Violation::MoreThanVisibleMax { visible, visible_max });
        }
    }

    fn check_position(&mut self, id: PlayerId, x: u16, y: u16) {
        if x > self.options.world_side || y > self.options.world_side {
            self.violated(Violation::OutsideWorld { id, x, y });
        }
    }

    fn violated(&mut self, violation: Violation) {
        if self.violations.len() < VIOLATIONS_MAX {
            self.violations.push(violation);
        }
    }
}
