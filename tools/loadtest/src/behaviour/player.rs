//! A browser client used by a human.
//!
//! The player walks to positions all over the world: 24 steps a second with a MOVE for each, and a MOVE with a zero
//! vector on arrival. It faces the direction of its walk. Sometimes it stops in the middle of a walk to attack. After a
//! walk it pauses. After its first attack it sends `ATTACK_END` once a second until the end, as the browser does.

use fastrand::Rng;
use game_client::{Facing, Vector};

use super::{Action, Decision, Rules, SECOND_NS};

/// Steps per second of the browser client.
const STEPS_PER_S: u64 = 24;

/// Duration of one step.
const STEP_NS: u64 = SECOND_NS / STEPS_PER_S;

/// Duration of the attack animation, and interval of `ATTACK_END` afterwards.
const ATTACK_NS: u64 = SECOND_NS;

/// Mean time of a walk between two random positions of the whole world. With eight directions, the longer axis determines it.
const WALK_MEAN_NS: f64 = 9.7e9;

/// Probability that an attack interrupts a walk.
const ATTACK_CHANCE: f64 = 0.3;

/// Most steps of a walk before that attack.
const STEPS_BEFORE_ATTACK_MAX: u64 = 5 * STEPS_PER_S;

/// Longest pause, for a small moving fraction.
const PAUSE_NS_MAX: f64 = 3.6e12;

/// A simulated human player.
#[derive(Clone, Debug)]
pub struct Player {
    /// Fraction of the time spent walking.
    moving: f64,
    rules: Rules,
    /// Remaining fraction of the walk in progress at the join.
    first_part: Option<f64>,
    activity: Activity,
    facing: Facing,
    /// Time of the next key action.
    keys_due_ns: u64,
    /// Time of the next `ATTACK_END`; `u64::MAX` before the first attack.
    attack_end_due_ns: u64,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Activity {
    Pausing,
    Walking { to: (f64, f64), began_ns: u64, steps_before_attack: Option<u64> },
}

impl Player {
    /// Returns a player that joins in the middle of a walk or a pause, with the probabilities of the steady state.
    pub fn begin(moving: f64, rules: Rules, now_ns: u64, random: &mut Rng) -> (Player, Option<u64>) {
        let first_part = (random.f64() < moving).then(|| random.f64());
        let within_ns = if first_part.is_some() { STEP_NS } else { pause_ns(moving, WALK_MEAN_NS) };
        let player = Player {
            moving,
            rules,
            first_part,
            activity: Activity::Pausing,
            facing: Facing::Right,
            keys_due_ns: now_ns + random.u64(..=within_ns),
            attack_end_due_ns: u64::MAX,
        };
        let first_ns = (moving > 0.0).then_some(player.keys_due_ns);
        (player, first_ns)
    }

    /// Returns the decision due at `due_ns`.
    pub fn act(&mut self, due_ns: u64, position: (f64, f64), random: &mut Rng) -> Decision {
        let (facing, action) = if self.attack_end_due_ns <= due_ns {
            self.attack_end_due_ns += ATTACK_NS;
            (None, Action::AttackEnd)
        } else {
            self.press_keys(due_ns, position, random)
        };
        Decision { facing, action, next_ns: self.keys_due_ns.min(self.attack_end_due_ns) }
    }

    fn press_keys(
        &mut self,
        due_ns: u64,
        position: (f64, f64),
        random: &mut Rng,
    ) -> (Option<Facing>, Action) {
        self.keys_due_ns = due_ns + STEP_NS;
        let (to, began_ns, steps_before_attack) = match self.activity {
            Activity::Pausing => self.start_walk(due_ns, position, random),
            Activity::Walking { to, began_ns, steps_before_attack } => (to, began_ns, steps_before_attack),
        };
        let vector = direction(position, to, self.rules.step_units);
        if vector == Vector::ZERO {
            self.activity = Activity::Pausing;
            let pause_ns = pause_ns(self.moving, (due_ns - began_ns) as f64);
            self.keys_due_ns = due_ns + STEP_NS + pause_ns / 2 + random.u64(..=pause_ns);
            return (None, Action::Step(Vector::ZERO));
        }
        if steps_before_attack == Some(0) {
            self.activity = Activity::Walking { to, began_ns, steps_before_attack: None };
            self.attack_end_due_ns = due_ns + ATTACK_NS;
            // The walk resumes after the attack ends, with the same vector.
            self.keys_due_ns = due_ns + ATTACK_NS + STEP_NS;
            return (None, Action::Attack);
        }
        let steps_before_attack = steps_before_attack.map(|steps| steps - 1);
        self.activity = Activity::Walking { to, began_ns, steps_before_attack };
        (self.turn_towards(vector), Action::Step(vector))
    }

    /// Chooses a destination. Returns it with the start time of the walk and the number of steps before an attack.
    fn start_walk(
        &mut self,
        due_ns: u64,
        from: (f64, f64),
        random: &mut Rng,
    ) -> ((f64, f64), u64, Option<u64>) {
        let mut coordinate = || f64::from(random.u16(..=self.rules.world_side));
        let to = (coordinate(), coordinate());
        let (way_x, way_y) = (to.0 - from.0, to.1 - from.1);
        // A player that joins in the middle of a walk has only a fraction of it left.
        let part = self.first_part.take().unwrap_or(1.0);
        let walk_ns =
            way_x.abs().max(way_y.abs()) / (self.rules.step_units * STEPS_PER_S as f64) * SECOND_NS as f64;
        let began_ns = due_ns.saturating_sub((walk_ns * (1.0 - part)) as u64);
        ((from.0 + way_x * part, from.1 + way_y * part), began_ns, attack_chance(random))
    }

    /// Returns the side to turn to before walking along the vector, unless the player faces it already.
    fn turn_towards(&mut self, vector: Vector) -> Option<Facing> {
        let facing = match vector.dx() {
            0 => return None,
            1 => Facing::Right,
            _ => Facing::Left,
        };
        let turns = facing != self.facing;
        self.facing = facing;
        turns.then_some(facing)
    }
}

/// Returns the pause after a walk of this length that yields the wanted moving fraction.
fn pause_ns(moving: f64, walk_ns: f64) -> u64 {
    (walk_ns * (1.0 - moving) / moving).min(PAUSE_NS_MAX) as u64
}

fn attack_chance(random: &mut Rng) -> Option<u64> {
    (random.f64() < ATTACK_CHANCE).then(|| random.u64(..STEPS_BEFORE_ATTACK_MAX))
}

/// Returns the one of eight directions that leads to `to`, or zero within a step of it.
fn direction(from: (f64, f64), to: (f64, f64), step_units: f64) -> Vector {
    let part =
        |from: f64, to: f64| if (to - from).abs() < step_units { 0 } else { (to - from).signum() as i8 };
    Vector::new(part(from.0, to.0), part(from.1, to.1)).expect("components are -1, 0 or 1")
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Life {
        /// Actions with their times.
        actions: Vec<(u64, Action)>,
        turns: usize,
        position: (f64, f64),
    }

    /// Simulates a player and its walk for some time.
    fn live(moving: f64, seed: u64, seconds: u64) -> Life {
        let mut random = Rng::with_seed(seed);
        let (mut player, first_ns) =
            Player::begin(moving, Rules { world_side: 2_000, step_units: 4.0 }, 0, &mut random);
        let mut life = Life { actions: Vec::new(), turns: 0, position: (500.0, 500.0) };
        let mut due_ns = first_ns.unwrap_or(u64::MAX);
        while due_ns < seconds * SECOND_NS {
            let decision = player.act(due_ns, life.position, &mut random);
            if let Action::Step(vector) = decision.action {
                life.position.0 += f64::from(vector.dx()) * 4.0;
                life.position.1 += f64::from(vector.dy()) * 4.0;
            }
            life.turns += usize::from(decision.facing.is_some());
            life.actions.push((due_ns, decision.action));
            assert!(decision.next_ns > due_ns || matches!(decision.action, Action::AttackEnd));
            due_ns = decision.next_ns;
        }
        life
    }

    fn part_walking(moving: f64, seconds: u64) -> f64 {
        let walks =
            |action: &&(u64, Action)| matches!(action.1, Action::Step(vector) if vector != Vector::ZERO);
        let lives = (0..1_000).map(|seed| live(moving, seed, seconds));
        let steps: usize = lives.map(|life| life.actions.iter().filter(walks).count()).sum();
        steps as f64 / (1_000.0 * (seconds * STEPS_PER_S) as f64)
    }

    #[test]
    fn the_walking_fraction_matches_the_option() {
        for (moving, seconds) in [(0.1, 10), (0.1, 120), (0.5, 120), (1.0, 60)] {
            let part = part_walking(moving, seconds);
            assert!((moving * 0.85..=moving * 1.2).contains(&part), "{part} for {moving} in {seconds} s");
        }
        assert!(live(0.0, 1, 3_600).actions.is_empty());
    }

    #[test]
    fn walks_cover_the_world_and_stay_in_it() {
        for seed in 0..20 {
            let life = live(1.0, seed, 600);
            assert!((0.0..=2_000.0).contains(&life.position.0), "{:?}", life.position);
            assert!(life.turns > 10);
        }
    }

    #[test]
    fn a_walk_resumes_after_an_attack() {
        let actions = live(1.0, 5, 600).actions;
        let at = actions
            .iter()
            .position(|(_, action)| *action == Action::Attack)
            .expect("an attack in ten minutes");
        let (began_ns, before) = (actions[at].0, actions[at - 1].1);
        assert_eq!(actions[at + 1], (began_ns + ATTACK_NS, Action::AttackEnd));
        assert_eq!(actions[at + 2].1, before, "the same vector as before");
        let count = |wanted| actions[at..].iter().filter(|(_, action)| *action == wanted).count() as u64;
        let (ends, attacks) = (count(Action::AttackEnd), count(Action::Attack));
        let seconds = (600 * SECOND_NS - began_ns) / SECOND_NS;
        // Each attack delays the next end by less than a second.
        assert!(ends + attacks >= seconds, "{ends} in {seconds} s with {attacks} attacks");
    }
}
