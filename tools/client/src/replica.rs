//! The picture the browser client would draw, built only from what it received.
//!
//! The client trusts the server: it takes the highest id of the first `GAME_STATE` as its own, moves the others on
//! by their last vector, and creates sprites asynchronously, so that what is said about a player whose sprite is
//! still loading is lost. [`Replica`] does the same, with the same defects, and records what the server did wrong.

mod own;
mod remote;
#[cfg(test)]
mod tests;
mod violation;

use std::collections::{BTreeMap, BTreeSet};

use crate::codec::{ClientMessage, DecodeError, Entry, PlayerId, ServerMessage, Vector};

pub use own::OwnPlayer;
pub use remote::RemotePlayer;
pub use violation::Violation;

/// Units a moving sprite advances in one step of the client.
const UNITS_PER_STEP: i32 = 4;

/// Speed of a moving sprite: 24 steps a second.
const UNITS_PER_S: f64 = 96.0;

/// No `GAME_STATE` may follow the first remote entrance within this time, in milliseconds.
const FIRST_SPRITE_LOAD_MS: u64 = 3_000;

/// Violations kept; further ones of the same picture tell nothing new and are dropped.
const VIOLATIONS_MAX: usize = 100;

/// What the picture supposes about the browser and is told about the server.
#[derive(Clone, Copy, Debug)]
pub struct ReplicaOptions {
    /// How long a sprite loads after its player entered, in milliseconds.
    pub loading_ms: u64,
    /// How much later than it arrived a message may be handed to the picture, in milliseconds. By so much the
    /// time between two messages may seem shorter than it was.
    pub lateness_ms: u64,
    /// The most remote players the server is set to show, if the picture shall check it.
    pub visible_max: Option<usize>,
    /// Side of the world, in units.
    pub world_side: u16,
    /// The client sends MOVEs over the server's rate: an ack for a later one tells that those before it were dropped.
    pub exceeds_rate: bool,
}

impl Default for ReplicaOptions {
    fn default() -> ReplicaOptions {
        ReplicaOptions {
            loading_ms: 300,
            lateness_ms: 0,
            visible_max: None,
            world_side: 2_000,
            exceeds_rate: false,
        }
    }
}

/// One client's picture of the world.
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
    /// A client that has received nothing yet.
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

    /// Who the viewer is, once the first `GAME_STATE` said it.
    pub fn own_id(&self) -> Option<PlayerId> {
        self.own.id()
    }

    /// The other players in view and the ghosts of departed ones, by id, loaded or not.
    pub fn remotes(&self) -> impl Iterator<Item = &RemotePlayer> {
        self.remotes.values()
    }

    /// One other player, or its ghost.
    pub fn remote(&self, id: PlayerId) -> Option<&RemotePlayer> {
        self.remotes.get(&id)
    }

    /// The sprites a person at the screen sees now, ghosts included.
    pub fn shown(&self) -> impl Iterator<Item = &RemotePlayer> {
        self.remotes.values().filter(|remote| remote.shown())
    }

    /// The players, the viewer included, of whom a surplus sprite stands on the screen for good.
    pub fn duplicates(&self) -> &[PlayerId] {
        &self.duplicates
    }

    /// When the first other player came into view, in the caller's milliseconds.
    pub fn first_enter_ms(&self) -> Option<u64> {
        self.first_enter_ms
    }

    /// What the server did wrong so far; only the first hundred.
    pub fn violations(&self) -> &[Violation] {
        &self.violations
    }

    /// Moves every sprite on to this moment. A moment before the last one changes nothing.
    pub fn advance(&mut self, now_ms: u64) {
        if now_ms <= self.now_ms {
            return;
        }
        let elapsed_ms = now_ms - self.now_ms;
        self.now_ms = now_ms;
        for remote in self.remotes.values_mut() {
            remote.advance(elapsed_ms, self.now_ms, self.options.world_side);
        }
    }

    /// Takes one own step as the browser does while a key is held. The caller sends the MOVE and then tells
    /// [`Replica::sent`] so.
    pub fn step(&mut self, vector: Vector) -> ClientMessage {
        self.own.step(vector)
    }

    /// Notes that the client sent this message: a MOVE is due an answer.
    pub fn sent(&mut self, message: &ClientMessage) {
        if let ClientMessage::Move { sequence, .. } = message {
            self.own.sent(*sequence);
        }
    }

    /// Takes the payload of one binary message.
    ///
    /// # Errors
    ///
    /// Hands on why it can't be read; that is recorded as a violation, too.
    pub fn receive_payload(&mut self, now_ms: u64, payload: &[u8]) -> Result<ServerMessage, DecodeError> {
        match ServerMessage::decode(payload) {
            Ok(message) => {
                self.receive(now_ms, &message);
                Ok(message)
            }
            Err(error) => {
                self.violated(Violation::Undecodable(error));
                Err(error)
            }
        }
    }

    /// Takes one message at the time it arrived.
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
                self.about(*id, Violation::UnknownIdInAttack { id: *id }, |remote| remote.attack(now_ms));
            }
            ServerMessage::Direction { id, facing } => {
                self.about(*id, Violation::UnknownIdInDirection { id: *id }, |remote| remote.turn(*facing));
            }
            ServerMessage::Movement { id, vector } => {
                self.about(*id, Violation::UnknownIdInMovement { id: *id }, |remote| remote.head(*vector));
            }
        }
    }

    fn game_state(&mut self, entries: &[Entry]) {
        let mut listed = BTreeSet::new();
        for entry in entries {
            self.check_position(entry.id, entry.x, entry.y);
            if !listed.insert(entry.id) {
                self.violated(Violation::ListedTwice { id: entry.id });
            }
        }
        match self.own.id() {
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
                remote.set_ghost(false);
            } else {
                self.enter(entry);
            }
        }
    }

    /// A later `GAME_STATE` must keep its distance from the first remote entrance; one that really meets the first
    /// sprite loading draws everybody it lists a second time.
    fn check_first_sprite(&mut self, entries: &[Entry], own_id: PlayerId) {
        let Some(entered_ms) = self.first_enter_ms else { return };
        let after_ms = self.now_ms - entered_ms;
        if after_ms + self.options.lateness_ms < FIRST_SPRITE_LOAD_MS {
            self.violated(Violation::GameStateWhileLoadingFirstSprite { after_ms });
        }
        if after_ms < self.options.loading_ms {
            self.duplicates.extend(entries.iter().map(|entry| entry.id).filter(|&id| id != own_id));
        }
    }

    fn joined(&mut self, entry: &Entry) {
        self.check_position(entry.id, entry.x, entry.y);
        if self.own.id() == Some(entry.id) {
            self.violated(Violation::OwnIdJoined);
            self.duplicates.push(entry.id);
            return;
        }
        let Some(remote) = self.remotes.get_mut(&entry.id) else {
            self.enter(entry);
            self.check_visible_max();
            return;
        };
        let (loaded, ghost) = (remote.shown(), remote.is_ghost());
        remote.set_ghost(false);
        if !loaded {
            self.duplicates.push(entry.id);
        }
        if !ghost {
            self.violated(Violation::DuplicateEnter { id: entry.id });
        }
    }

    fn left(&mut self, id: PlayerId) {
        match self.remotes.get_mut(&id) {
            Some(remote) if !remote.is_ghost() => {
                if remote.shown() {
                    self.remotes.remove(&id);
                } else {
                    remote.set_ghost(true);
                    let after_ms = self.now_ms - remote.entered_at_ms;
                    self.violated(Violation::LeftWhileLoading { id, after_ms });
                }
            }
            _ => self.violated(Violation::LeftUnknown { id }),
        }
    }

    fn move_ack(&mut self, id: PlayerId, x: u16, y: u16, sequence: u32) {
        self.check_position(id, x, y);
        if self.own.id() != Some(id) {
            self.violated(Violation::AckForOtherPlayer { id });
        }
        if let Some(violation) = self.own.acknowledged(sequence, x, y) {
            self.violated(violation);
        }
    }

    /// Applies a message to the player it is about. It is lost on a sprite that is still loading.
    fn about(&mut self, id: PlayerId, unknown: Violation, apply: impl FnOnce(&mut RemotePlayer)) {
        match self.remotes.get_mut(&id) {
            Some(remote) => {
                let ghost = remote.is_ghost();
                if remote.shown() {
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
        self.first_enter_ms.get_or_insert(self.now_ms);
        self.remotes.insert(entry.id, RemotePlayer::enter(entry, self.now_ms, self.options.loading_ms));
    }

    fn check_visible_max(&mut self) {
        let Some(visible_max) = self.options.visible_max else { return };
        let visible = self.remotes.values().filter(|remote| !remote.is_ghost()).count();
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
