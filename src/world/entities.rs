//! All entities in arrays by slot, and the rules they obey. An entity is a player of this node or a ghost.

mod attacks;
mod dead_reckoning;
mod ghosts;
mod lingering;
mod sessions;
mod types;

use serde::{Deserialize, Serialize};
use std::ops::Range;

use super::Tick;
use super::change_tick::ChangeTick;
use super::changes::{ALL_REGIONS, Changes, ChangesSince, Regions, Removals};
use super::entity_state::{EntityState, VACANT};
use super::extrapolation::{Cadence, Extrapolation};
use super::id_allocator::IdAllocator;
use super::random::SplitMix64;
use super::reconciliation::{Point, Reconciliation};
use crate::limits::MOVE_SILENCE_MS;
use crate::prefetch::prefetch;
pub use ghosts::GhostUpdate;
use ghosts::HeldSlots;
use lingering::{Lingering, Presence};
pub use types::{Ack, Input, Position, Rules, Spawn, State, Vector};

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Player {
    /// Tick in which the attack ends unless the client ends it first; [`NEVER`] while not attacking.
    attack_until: Tick,
    /// Tick in which the player stops unless another MOVE arrives; [`NEVER`] while it stands or sends no claims.
    silent_at: Tick,
    presence: Presence,
    /// Tick in which the error of the extrapolation is checked for a jump; [`NEVER`] when none is pending.
    jump_check_at: Tick,
    reconciliation: Reconciliation,
    extrapolation: Extrapolation,
}

const NEVER: Tick = Tick::MAX;

/// Default flush interval, in milliseconds; see [`World::set_cadence`].
const FLUSH_MS: u32 = 50;
/// Default interval between two snapshots for a viewer, in milliseconds.
const SYNC_MS: u32 = 5_000;

/// All entities, in parallel arrays by slot. A slot is reused after its entity is removed; an id never is. A slot and an
/// id together therefore identify an entity permanently.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct World {
    rules: Rules,
    cadence: Cadence,
    tick: Tick,
    /// Units that an entity moving since the start has covered along each axis, truncated to 32 bits.
    odometer: u32,
    ids: IdAllocator,
    random: SplitMix64,
    changes: Changes,
    vacant: Vec<u32>,
    population: usize,
    ghosts: usize,
    held_slots: HeldSlots,
    lingering: Lingering,
    /// Slots in which an attack began in the tick in progress, without duplicates.
    attackers: Vec<u32>,
    // By slot. The fields that every tick and every viewer reads have their own arrays.
    entity_states: Vec<EntityState>,
    deadlines: Vec<Tick>,
    players: Vec<Player>,
    /// Lower bound of all deadlines.
    earliest_deadline: Tick,
}

impl World {
    /// Creates an empty world.
    ///
    /// # Panics
    /// If the spawn area is empty or not inside the world; `config` rejects both.
    pub fn new(rules: Rules) -> Self {
        let spawn = rules.spawn;
        assert!(spawn.min_x < spawn.max_x && spawn.max_x - 1 <= rules.width, "spawn area outside the world");
        assert!(spawn.min_y < spawn.max_y && spawn.max_y - 1 <= rules.height, "spawn area outside the world");
        let pace = rules.pace;
        Self {
            cadence: Cadence::new(pace, pace.ticks(FLUSH_MS), pace.ticks(SYNC_MS)),
            tick: 0,
            odometer: 0,
            ids: IdAllocator::all(),
            random: SplitMix64::new(rules.seed),
            changes: Changes::new(rules.width, rules.height),
            vacant: Vec::new(),
            population: 0,
            ghosts: 0,
            held_slots: HeldSlots::default(),
            lingering: Lingering::default(),
            attackers: Vec::new(),
            entity_states: Vec::new(),
            deadlines: Vec::new(),
            players: Vec::new(),
            earliest_deadline: NEVER,
            rules,
        }
    }

    /// Makes new players take their ids only from ranges granted by [`World::grant_ids`].
    pub fn require_granted_ids(&mut self) {
        self.ids = IdAllocator::none();
    }

    /// Grants a range of ids, all above those granted before.
    ///
    /// # Panics
    /// If the range does not lie above the earlier ones.
    pub fn grant_ids(&mut self, range: Range<u32>) {
        self.ids.grant(range);
    }

    /// Returns the number of new players for which ids are left.
    pub fn ids_left(&self) -> usize {
        self.ids.remaining()
    }

    /// Returns the ids left for new players: the ids in use and those in reserve.
    pub fn unused_ids(&self) -> [Range<u32>; 2] {
        self.ids.unused()
    }

    /// Gives up one of the ranges of [`World::unused_ids`].
    pub fn give_up_ids(&mut self, range: &Range<u32>) {
        self.ids.give_up(range);
    }

    /// Adds a player at a spawn point, with the next id. Returns its slot.
    ///
    /// # Panics
    /// If no ids are left. Without a cluster, ten joins per second use them up in 13 years.
    pub fn join(&mut self) -> u32 {
        let spawn = self.rules.spawn;
        let position = Position {
            x: self.random.in_range(spawn.min_x, spawn.max_x),
            y: self.random.in_range(spawn.min_y, spawn.max_y),
        };
        self.add_player(position)
    }

    fn add_player(&mut self, position: Position) -> u32 {
        let id = self.ids.allocate().expect("admission checks that an id is left");
        self.insert(EntityState::new(id, position, self.tick))
    }

    fn insert(&mut self, entity: EntityState) -> u32 {
        let player = Player {
            attack_until: NEVER,
            silent_at: NEVER,
            presence: Presence::since(self.tick),
            jump_check_at: NEVER,
            reconciliation: Reconciliation::new(entity.point(), self.tick, self.rules.pace.tick_rate_hz),
            extrapolation: Extrapolation::new(entity.position, self.odometer, self.tick, &self.cadence),
        };
        self.population += 1;
        let slot = self.vacant.pop().unwrap_or(self.entity_states.len() as u32);
        let at = slot as usize;
        self.changes.join(at, entity.position, self.tick);
        if at < self.entity_states.len() {
            (self.entity_states[at], self.deadlines[at], self.players[at]) = (entity, NEVER, player);
        } else {
            self.entity_states.push(entity);
            self.deadlines.push(NEVER);
            self.players.push(player);
        }
        slot
    }

    /// Removes the entity in this slot immediately. [`World::leave`] lets it linger.
    ///
    /// # Panics
    /// If the slot is vacant.
    pub fn remove(&mut self, slot: u32) {
        let at = slot as usize;
        assert!(!self.entity_states[at].has_id(VACANT), "slot {slot} is vacant");
        self.changes.remove(at, self.entity_states[at].position);
        let (id, was_ghost) = (self.entity_states[at].id, self.entity_states[at].is_ghost());
        self.entity_states[at].vacate();
        self.deadlines[at] = NEVER;
        self.population -= 1;
        if was_ghost {
            self.ghosts -= 1;
            self.vacant.extend(self.held_slots.reserve(id, slot, self.tick));
        } else {
            self.vacant.push(slot);
        }
    }

    /// Applies a player's input. Returns an ack with the player's position for a MOVE.
    ///
    /// # Panics
    /// If the slot is vacant.
    pub fn apply(&mut self, slot: u32, input: Input) -> Option<Ack> {
        let at = slot as usize;
        assert!(!self.entity_states[at].has_id(VACANT), "slot {slot} is vacant");
        match input {
            Input::Move { vector, claim } => {
                self.apply_move(at, vector, claim);
                return Some(Ack { id: self.entity_states[at].id, position: self.position(slot) });
            }
            Input::Face { right } => self.face(at, right),
            Input::Attack => self.begin_attack(at),
            Input::AttackEnd => self.end_attack(at),
        }
        None
    }

    fn apply_move(&mut self, at: usize, vector: Vector, claim: Option<(u32, u32)>) {
        if self.is_attacking(at) {
            return;
        }
        if let Some(claim) = claim {
            self.reconcile_claim(at, claim);
        } else {
            let position = self.point(at);
            self.players[at].reconciliation.agree_on(position);
        }
        let vector = self.allowed_vector(at, vector);
        self.set_vector(at, vector);
        let silence = self.rules.pace.ticks(MOVE_SILENCE_MS);
        let walks_on_claims = claim.is_some() && vector != Vector::ZERO;
        self.players[at].silent_at = if walks_on_claims { self.tick + silence } else { NEVER };
        self.reschedule(at);
    }

    fn reconcile_claim(&mut self, at: usize, (x, y): (u32, u32)) {
        if x > u32::from(self.rules.width) || y > u32::from(self.rules.height) {
            return;
        }
        let (claim, simulated) = (Point { x: x as i32, y: y as i32 }, self.point(at));
        let rate_hz = self.rules.pace.tick_rate_hz;
        self.extrapolate(at);
        let Player { reconciliation, extrapolation, .. } = &mut self.players[at];
        let is_plausible = extrapolation.is_plausible(claim);
        if reconciliation.try_accept(claim, simulated, is_plausible, self.tick, rate_hz) && claim != simulated
        {
            self.relocate(at, Position { x: x as u16, y: y as u16 });
        }
    }

    fn face(&mut self, at: usize, right: bool) {
        if self.entity_states[at].is_facing_right() != right {
            let change_tick = self.record_change(at);
            self.entity_states[at].set_facing_right(right, change_tick);
            self.changes.ticks[at].facing = change_tick;
        }
    }

    fn set_vector(&mut self, at: usize, vector: Vector) {
        if self.entity_states[at].vector() != vector {
            self.settle_extrapolation(at);
            let change_tick = self.record_change(at);
            self.entity_states[at].set_vector(vector, change_tick);
            self.changes.ticks[at].vector = change_tick;
        }
    }

    fn record_change(&mut self, at: usize) -> ChangeTick {
        self.changes.mark(at, self.entity_states[at].position);
        ChangeTick::of(self.tick + 1)
    }

    fn reschedule(&mut self, at: usize) {
        let player = &self.players[at];
        self.deadlines[at] = player.attack_until.min(player.silent_at).min(player.jump_check_at);
        self.earliest_deadline = self.earliest_deadline.min(self.deadlines[at]);
    }

    /// Advances the world by `ticks` ticks in one step: moves entities, ends attacks, stops silent players.
    ///
    /// A step of three ticks from tick 10 closes ticks 11 to 13: inputs since the last step are changes of tick 11, and
    /// expiries are changes of tick 13.
    pub fn step(&mut self, ticks: u32) {
        self.close_attacks();
        let distance = self.rules.pace.distance(self.tick, ticks);
        let closing = self.tick + Tick::from(ticks);
        self.changes.close(ticks - 1, closing);
        self.walk(distance);
        self.odometer = self.odometer.wrapping_add(distance.cast_unsigned());
        // A change gets the tick after `self.tick`: expiries belong to the last tick of this step.
        self.tick = closing - 1;
        if self.earliest_deadline <= closing {
            self.expire(closing);
        }
        self.tick = closing;
        self.changes.close(1, closing + 1);
        self.release_held_slots();
        self.release_lingering();
    }

    fn walk(&mut self, distance: i32) {
        let (right, bottom) = (i32::from(self.rules.width), i32::from(self.rules.height));
        let mut regions = 0;
        for entity in &mut self.entity_states {
            if !entity.is_moving() {
                continue;
            }
            let (Position { x, y }, vector) = (entity.position, entity.vector());
            let position = Position {
                x: (i32::from(x) + i32::from(vector.dx) * distance).clamp(0, right) as u16,
                y: (i32::from(y) + i32::from(vector.dy) * distance).clamp(0, bottom) as u16,
            };
            // One comparison: most entities move along one axis only, so two branches would be mispredicted.
            if (position.x ^ x) | (position.y ^ y) != 0 {
                entity.position = position;
                regions |= self.changes.regions.region(position);
            }
        }
        self.changes.regions.mark_regions_moved(regions);
    }

    fn expire(&mut self, now: Tick) {
        for at in 0..self.deadlines.len() {
            if self.deadlines[at] > now {
                continue;
            }
            if self.players[at].attack_until <= now {
                self.end_attack(at);
            }
            if self.players[at].silent_at <= now {
                self.players[at].silent_at = NEVER;
                self.set_vector(at, Vector::ZERO);
                self.reschedule(at);
            }
            if self.players[at].jump_check_at <= now {
                self.check_jump(at, now);
            }
        }
        self.earliest_deadline = self.deadlines.iter().copied().min().unwrap_or(NEVER);
    }

    // ---- Reads ---------------------------------------------------------------------------------------------------

    /// Returns the rules of this world.
    pub fn rules(&self) -> &Rules {
        &self.rules
    }

    /// Changes the rules for the next inputs and ticks.
    ///
    /// # Panics
    /// If the size of the world or the tick rate changes.
    pub fn set_rules(&mut self, rules: Rules) {
        let fixed = |rules: &Rules| (rules.width, rules.height, rules.pace.tick_rate_hz);
        assert_eq!(fixed(&rules), fixed(&self.rules), "these can't change");
        self.rules = rules;
    }

    /// Records a movement in every region, so that each viewer updates its interest set even if nobody moves.
    pub(crate) fn mark_moved_everywhere(&mut self) {
        self.changes.regions.mark_regions_moved(ALL_REGIONS);
    }

    /// Returns the number of closed ticks. Changes with a change tick up to this one are complete.
    pub fn tick(&self) -> Tick {
        self.tick
    }

    /// Returns the number of entities, including ghosts and lingering players.
    pub fn population(&self) -> usize {
        self.population
    }

    /// Returns the answers to what changed after tick `since`, which is at most [`World::tick`].
    pub fn changes_since(&self, since: Tick) -> ChangesSince<'_> {
        ChangesSince { changes: &self.changes, states: &self.entity_states, now: self.tick, since }
    }

    /// Returns a number that changes when an entity is removed.
    pub(crate) fn removals(&self) -> Removals {
        self.changes.removals
    }

    /// Returns the number of slots, used and vacant; an upper bound of every slot.
    pub fn slots(&self) -> usize {
        self.entity_states.len()
    }

    /// Returns the id of the entity in this slot, or `None` if the slot is vacant.
    pub fn id(&self, slot: u32) -> Option<u32> {
        self.entity_states.get(slot as usize).map(|entity| entity.id).filter(|&id| id != VACANT)
    }

    /// Returns whether the entity with this id still occupies this slot.
    pub fn is_present(&self, slot: u32, id: u32) -> bool {
        self.entity_states[slot as usize].has_id(id)
    }

    /// Returns the position of the entity in this slot.
    pub fn position(&self, slot: u32) -> Position {
        self.entity_states[slot as usize].position
    }

    /// Returns the vector of the entity in this slot.
    pub fn vector(&self, slot: u32) -> Vector {
        self.entity_states[slot as usize].vector()
    }

    /// Returns whether the entity in this slot faces right.
    pub fn is_facing_right(&self, slot: u32) -> bool {
        self.entity_states[slot as usize].is_facing_right()
    }

    /// Returns whether the entity in this slot is idle, moving or attacking.
    pub fn state(&self, slot: u32) -> State {
        self.entity_states[slot as usize].state()
    }

    /// Returns the regions that overlap the rectangle from `(left, top)` to `(right, bottom)`.
    pub(crate) fn regions(&self, left: i32, top: i32, right: i32, bottom: i32) -> Regions {
        self.changes.regions.regions(left, top, right, bottom)
    }

    /// Prefetches the cache lines that an input of the player in this slot reads and writes.
    pub(crate) fn prefetch(&self, slot: u32) {
        let at = slot as usize;
        prefetch(&self.entity_states[at]);
        prefetch(&self.changes.ticks[at]);
        prefetch(&self.deadlines[at]);
        prefetch(&self.players[at]);
        prefetch(&self.players[at].reconciliation);
        prefetch(&self.players[at].extrapolation);
    }

    /// Returns the states of all slots, for loops that write elsewhere.
    pub(crate) fn entity_states(&self) -> &[EntityState] {
        &self.entity_states
    }

    /// Returns the replicated state of the entity in this slot.
    pub(crate) fn entity_state(&self, slot: u32) -> &EntityState {
        &self.entity_states[slot as usize]
    }

    fn point(&self, at: usize) -> Point {
        self.entity_states[at].point()
    }

    /// Moves an entity to a position, for tests of replication.
    #[cfg(test)]
    pub(crate) fn place(&mut self, slot: u32, x: u16, y: u16) {
        self.entity_states[slot as usize].position = Position { x, y };
        self.changes.regions.mark_moved(Position { x, y });
        self.players[slot as usize].extrapolation.reset(Position { x, y }, self.tick);
    }
}

#[cfg(test)]
mod tests;
