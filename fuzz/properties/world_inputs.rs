//! The world keeps its rules for all inputs and all lengths of time steps.
//!
//! The bytes are a script: first the rules of the world, see [`rules`], then commands of one byte each with their
//! arguments, see [`Trial::run_command`]. The script ends where the bytes end.

use pixi_game_server::limits::{CLAIM_DISTANCE_MAX, PLAYER_ID_FIRST};
use pixi_game_server::world::{Ack, Input, Pace, Position, Rules, Spawn, State, Vector, World};

/// Largest number of players. A join at the bound is ignored.
const PLAYERS_MAX: usize = 64;

pub fn check(bytes: &[u8]) {
    let mut script = Script { bytes };
    let Some(rules) = rules(&mut script) else { return };
    let mut trial =
        Trial { world: World::new(rules), players: Vec::new(), last_id: PLAYER_ID_FIRST - 1, slots: 0 };
    while trial.run_command(&mut script).is_some() {
        trial.require_players();
    }
}

/// The remaining bytes of the script.
struct Script<'a> {
    bytes: &'a [u8],
}

impl Script<'_> {
    fn take<const COUNT: usize>(&mut self) -> Option<[u8; COUNT]> {
        let (taken, rest) = self.bytes.split_first_chunk()?;
        self.bytes = rest;
        Some(*taken)
    }

    fn byte(&mut self) -> Option<u8> {
        self.take::<1>().map(|[byte]| byte)
    }

    fn u32(&mut self) -> Option<u32> {
        self.take().map(u32::from_le_bytes)
    }

    /// Returns a number from `min` to `max`: the number of the script if it lies between them.
    fn u16_within(&mut self, min: u16, max: u16) -> Option<u16> {
        let number = u16::from_le_bytes(self.take()?);
        Some(if (min..=max).contains(&number) { number } else { min + number % (max - min + 1) })
    }

    /// Returns one of the nine vectors, packed as on the wire.
    fn vector(&mut self) -> Option<Vector> {
        let packed = self.byte()?;
        Some(Vector::new((packed % 4 % 3) as i8 - 1, (packed / 4 % 4 % 3) as i8 - 1))
    }
}

/// Returns rules that a configuration allows. The script has one byte each for tick rate and speed. Then follow two bytes
/// each, little-endian: width, height, left and top edge of the spawn area, and the duration of an attack in
/// milliseconds. The spawn area is up to 800 units wide and high.
fn rules(script: &mut Script) -> Option<Rules> {
    let [rate, speed] = script.take()?;
    let pace = Pace::new(u32::from(rate).clamp(10, 128), u32::from(speed).clamp(1, 50));
    let (width, height) = (script.u16_within(200, u16::MAX)?, script.u16_within(200, u16::MAX)?);
    let (min_x, min_y) = (script.u16_within(0, width - 1)?, script.u16_within(0, height - 1)?);
    let spawn = Spawn {
        min_x,
        max_x: min_x.saturating_add(800).min(width),
        min_y,
        max_y: min_y.saturating_add(800).min(height),
    };
    let attack_ticks = pace.ticks(u32::from(script.u16_within(100, 60_000)?));
    Some(Rules { width, height, spawn, pace, attack_ticks, seed: 1 })
}

/// The expected state of a player.
struct Expected {
    slot: u32,
    id: u32,
    position: Position,
    vector: Vector,
}

struct Trial {
    world: World,
    players: Vec<Expected>,
    last_id: u32,
    /// Largest number of players so far.
    slots: usize,
}

impl Trial {
    /// Runs one command, or returns `None` at the script's end.
    fn run_command(&mut self, script: &mut Script) -> Option<()> {
        match script.byte()? % 10 {
            0 => self.join(),
            1 => self.leave(script.byte()?),
            2 => self.step(u32::from(script.byte()?)),
            3 => self.step(script.u32()?),
            4 => self.make_move(script.byte()?, script.vector()?, |_| None),
            5 => {
                let (player, vector) = (script.byte()?, script.vector()?);
                let [dx, dy] = script.take()?.map(|byte| i32::from(byte as i8));
                let off = |at: u16, by: i32| (i32::from(at) + by) as u32;
                self.make_move(player, vector, |at| Some((off(at.x, dx), off(at.y, dy))));
            }
            6 => {
                let (player, vector) = (script.byte()?, script.vector()?);
                let claim = (script.u32()?, script.u32()?);
                self.make_move(player, vector, |_| Some(claim));
            }
            7 => {
                let [player, facing] = script.take()?;
                self.apply(player, Input::Face { right: facing % 2 == 1 });
            }
            8 => self.apply(script.byte()?, Input::Attack),
            _ => self.apply(script.byte()?, Input::AttackEnd),
        }
        Some(())
    }

    fn join(&mut self) {
        if self.players.len() == PLAYERS_MAX {
            return;
        }
        let slot = self.world.join();
        let id = self.world.id(slot).expect("a joined player is present");
        assert!(id > self.last_id, "id {id} after id {}", self.last_id);
        self.last_id = id;
        let (position, spawn) = (self.world.position(slot), self.world.rules().spawn);
        assert!((spawn.min_x..spawn.max_x).contains(&position.x), "{position:?}");
        assert!((spawn.min_y..spawn.max_y).contains(&position.y), "{position:?}");
        assert!(self.players.iter().all(|player| player.slot != slot), "slot {slot} was taken");
        self.players.push(Expected { slot, id, position, vector: Vector::ZERO });
        self.slots = self.slots.max(self.players.len());
    }

    fn leave(&mut self, player: u8) {
        let Some(index) = self.index(player) else { return };
        let Expected { slot, id, .. } = self.players.swap_remove(index);
        self.world.remove(slot);
        assert_eq!(self.world.id(slot), None);
        assert!(!self.world.is_present(slot, id));
    }

    /// Advances the world and checks that each player moves along its vector, no farther than its speed allows.
    fn step(&mut self, ticks: u32) {
        // The server never steps by 0 ticks.
        let ticks = ticks.max(1);
        let (before, pace) = (self.world.tick(), self.world.rules().pace);
        self.world.step(ticks);
        assert_eq!(self.world.tick(), before + u64::from(ticks));
        let farthest = pace.distance_max(u64::from(ticks)) as i64;
        let Rules { width, height, .. } = *self.world.rules();
        for player in &mut self.players {
            let now = self.world.position(player.slot);
            require_way(player.position.x, now.x, player.vector.dx(), width, farthest);
            require_way(player.position.y, now.y, player.vector.dy(), height, farthest);
            let vector = self.world.vector(player.slot);
            assert!(vector == player.vector || vector == Vector::ZERO, "a player turned without input");
            (player.position, player.vector) = (now, vector);
        }
    }

    /// Applies a MOVE. The ack contains the old position or the claimed one.
    fn make_move(&mut self, player: u8, vector: Vector, claim: impl FnOnce(Position) -> Option<(u32, u32)>) {
        let Some(index) = self.index(player) else { return };
        let player = &mut self.players[index];
        let (before, was_attacking) = (player.position, self.world.state(player.slot) == State::Attacking);
        let claim = claim(before);
        let ack = self.world.apply(player.slot, Input::Move { vector, claim });
        let position = self.world.position(player.slot);
        assert_eq!(ack, Some(Ack { id: player.id, position }));
        if position != before {
            assert_eq!(claim, Some((u32::from(position.x), u32::from(position.y))), "moved elsewhere");
            let (dx, dy) =
                (f64::from(before.x.abs_diff(position.x)), f64::from(before.y.abs_diff(position.y)));
            assert!(dx.hypot(dy) <= f64::from(CLAIM_DISTANCE_MAX), "accepted a claim {dx}, {dy} away");
        }
        if was_attacking {
            assert_eq!(position, before, "moved while attacking");
            assert_eq!(self.world.vector(player.slot), Vector::ZERO);
        } else {
            assert_eq!(self.world.vector(player.slot), vector);
        }
        (player.position, player.vector) = (position, self.world.vector(player.slot));
    }

    /// Applies an input other than a MOVE: there is no ack, and no player moves.
    fn apply(&mut self, player: u8, input: Input) {
        let Some(index) = self.index(player) else { return };
        let player = &mut self.players[index];
        assert_eq!(self.world.apply(player.slot, input), None, "only a MOVE is acknowledged");
        match input {
            Input::Face { right } => assert_eq!(self.world.is_facing_right(player.slot), right),
            Input::Attack => {
                assert_eq!(self.world.state(player.slot), State::Attacking);
                player.vector = Vector::ZERO;
            }
            _ => assert_ne!(self.world.state(player.slot), State::Attacking),
        }
    }

    fn require_players(&self) {
        assert_eq!(self.world.population(), self.players.len());
        assert_eq!(self.world.slots(), self.slots, "slots are not reused");
        let Rules { width, height, .. } = *self.world.rules();
        for player in &self.players {
            let (position, state) = (self.world.position(player.slot), self.world.state(player.slot));
            assert_eq!(self.world.id(player.slot), Some(player.id));
            assert!(position.x <= width && position.y <= height, "{position:?} is outside the world");
            assert_eq!(position, player.position, "moved by another's input");
            assert_eq!(self.world.vector(player.slot), player.vector, "turned by another's input");
            assert_eq!(state == State::Moving, player.vector != Vector::ZERO);
        }
    }

    /// Returns the index in `players` that the script selects.
    fn index(&self, player: u8) -> Option<usize> {
        usize::from(player).checked_rem(self.players.len())
    }
}

/// Checks one axis of a walk: along the vector, no farther than `farthest`, and shorter only at the edge of the world.
fn require_way(from: u16, to: u16, direction: i8, edge: u16, farthest: i64) {
    let (from, to) = (i64::from(from), i64::from(to));
    let distance = (to - from) * i64::from(direction);
    match direction {
        0 => assert_eq!(from, to, "moved without a vector"),
        _ if to == 0 || to == i64::from(edge) => {
            assert!(distance >= 0, "moved in the wrong direction, {from} to {to}");
        }
        _ => assert!(
            distance == farthest || distance == farthest - 1,
            "{distance} units instead of {farthest}"
        ),
    }
}
