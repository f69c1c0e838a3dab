//! The sampled viewers. Each keeps a replica as the browser does, and measures the delay of other players' changes to
//! its screen.

use std::collections::{BTreeMap, HashMap, HashSet};

use game_client::{
    ClientMessage, FIRST_SPRITE_LOAD_MS, PlayerId, Replica, ReplicaOptions, ServerMessage, Vector, Violation,
};

use crate::avatar::Avatar;
use crate::measure::{Times, Window};
use crate::options::Options;
use crate::report::Violations;
use crate::truth::{Pose, Sprite};

/// Number of nearest players of a viewer whose changes are measured.
const NEAR_PLAYERS: usize = 50;

/// Interval at which the nearest players are recomputed, in nanoseconds.
const NEAR_INTERVAL_NS: u64 = 250_000_000;

/// Longest delay between arrival and read of a message under load, in milliseconds.
const LATENESS_MS: u64 = 250;

/// Nanoseconds of a millisecond.
const MS: u64 = 1_000_000;

/// All sampled viewers.
#[derive(Debug, Default)]
pub struct Viewers {
    /// Viewers of the current connections, by index.
    current: Vec<Viewer>,
    /// Replicas of earlier connections of the viewers.
    past: Vec<Viewer>,
    options: ReplicaOptions,
    /// From the due time of a change to its arrival at a viewer, or to the arrival of a later change of the same
    /// player that superseded it.
    pub delays: Times,
}

#[derive(Debug)]
struct Viewer {
    replica: Replica,
    /// Sequence number of the latest change received from each player.
    arrived: HashMap<PlayerId, u32>,
    /// Squared distance of the farthest player that counts as near.
    near_square: f64,
    near_until_ns: u64,
}

impl Viewers {
    /// Returns the viewers of a run, with empty replicas.
    pub fn new(options: &Options) -> Viewers {
        let replica = ReplicaOptions {
            lateness_ms: LATENESS_MS,
            visible_max: Some(options.max_visible),
            world_side: options.world_side,
            step_units: options.player_speed,
            ..ReplicaOptions::default()
        };
        let current = (0..options.viewers).map(|_| Viewer::new(replica)).collect();
        Viewers { current, past: Vec::new(), options: replica, delays: Times::default() }
    }

    /// Starts a new connection of a viewer with an empty replica.
    pub fn restart(&mut self, viewer: usize) {
        let fresh = Viewer::new(self.options);
        self.past.push(std::mem::replace(&mut self.current[viewer], fresh));
    }

    /// Returns the time from which on snapshots correct every replica, on the run's clock: none comes while a client may be
    /// loading its first sprite.
    pub fn snapshots_from_ns(&self) -> u64 {
        let entered_ms = self.current.iter().filter_map(|viewer| viewer.replica.first_enter_ms());
        entered_ms.max().map_or(0, |entered_ms| (entered_ms + FIRST_SPRITE_LOAD_MS) * MS)
    }

    /// Records a message that a viewer sent.
    pub fn sent(&mut self, viewer: usize, message: &ClientMessage) {
        self.current[viewer].replica.sent(message);
    }

    /// Applies a message that a viewer received. `player` returns a player of this run by its id. Changes due outside
    /// `window` are not measured.
    pub fn receive<'a>(
        &mut self,
        viewer: usize,
        payload: &[u8],
        now_ns: u64,
        window: Window,
        player: impl Fn(PlayerId) -> Option<&'a Avatar>,
    ) {
        let viewer = &mut self.current[viewer];
        if let Ok(ServerMessage::Movement { id, vector }) =
            viewer.replica.receive_payload(now_ns / MS, payload)
            && let Some(avatar) = player(id)
        {
            let is_near = viewer.is_near(id, now_ns);
            viewer.moved(id, vector, avatar, now_ns, window, is_near.then_some(&mut self.delays));
        }
    }

    /// Returns the sprites on a viewer's screen at `now_ns`, ghosts included.
    pub fn screen(&mut self, viewer: usize, now_ns: u64) -> Vec<Sprite> {
        let replica = &mut self.current[viewer].replica;
        replica.advance(now_ns / MS);
        let sprite = |remote: &game_client::RemotePlayer| Sprite {
            id: remote.id,
            pose: Pose { x: remote.x, y: remote.y, facing: remote.facing },
            is_walking: remote.vector != Vector::ZERO,
        };
        replica.shown().map(sprite).collect()
    }

    /// Returns the violations by kind: a count, and an example.
    pub fn violations(&self) -> BTreeMap<String, Violations> {
        let mut counts: BTreeMap<String, Violations> = BTreeMap::new();
        for viewer in self.current.iter().chain(&self.past) {
            let missing: HashSet<u32> = viewer.replica.own().missing_acks().collect();
            let is_independent = |violation: &&Violation| match violation {
                // Every ack after a missing one is out of order. Only the missing one counts.
                Violation::AckOutOfOrder { expected, .. } => !missing.contains(expected),
                _ => true,
            };
            for violation in viewer.replica.violations().iter().filter(is_independent) {
                let id = viewer.replica.own_id().unwrap_or(0);
                let example = || Violations { count: 0, example: format!("viewer {id}: {violation}") };
                counts.entry(kind_of(violation)).or_insert_with(example).count += 1;
            }
        }
        counts
    }

    /// Returns the number of permanent duplicate sprites.
    pub fn duplicates(&self) -> usize {
        self.current.iter().map(|viewer| viewer.replica.duplicates().len()).sum()
    }
}

/// Returns the name of a violation's variant.
fn kind_of(violation: &Violation) -> String {
    let words = format!("{violation:?}");
    words.split([' ', '(', '{']).next().unwrap_or_default().to_owned()
}

impl Viewer {
    fn new(options: ReplicaOptions) -> Viewer {
        Viewer {
            replica: Replica::new(options),
            arrived: HashMap::new(),
            near_square: f64::INFINITY,
            near_until_ns: 0,
        }
    }

    /// Records a received vector, and the delays of the changes up to it. A repeated vector, or a change before the
    /// player entered, is not measured.
    fn moved(
        &mut self,
        id: PlayerId,
        vector: Vector,
        avatar: &Avatar,
        now_ns: u64,
        window: Window,
        delays: Option<&mut Times>,
    ) {
        let Some(remote) = self.replica.remote(id) else { return };
        let before = self.arrived.entry(id).or_default();
        let fresh = |number: u32| number > *before;
        let arrived =
            avatar.changes().rev().find(|change| change.vector == vector && fresh(change.number)).copied();
        let Some(arrived) = arrived else { return };
        if let Some(delays) = delays {
            avatar
                .changes()
                .filter(|change| fresh(change.number) && change.number <= arrived.number)
                .filter(|change| change.at_ns / MS > remote.entered_at_ms && window.contains(change.at_ns))
                .for_each(|change| delays.record(now_ns.saturating_sub(change.at_ns)));
        }
        *before = arrived.number;
    }

    /// Whether a visible player is among the nearest.
    fn is_near(&mut self, id: PlayerId, now_ns: u64) -> bool {
        let (own_x, own_y) = self.replica.own().position();
        let square = |remote: &game_client::RemotePlayer| {
            (remote.x - f64::from(own_x)).powi(2) + (remote.y - f64::from(own_y)).powi(2)
        };
        if now_ns >= self.near_until_ns {
            self.near_until_ns = now_ns + NEAR_INTERVAL_NS;
            let mut squares: Vec<f64> = self.replica.remotes().map(square).collect();
            self.near_square = if squares.len() > NEAR_PLAYERS {
                *squares.select_nth_unstable_by(NEAR_PLAYERS - 1, f64::total_cmp).1
            } else {
                f64::INFINITY
            };
        }
        self.replica.remote(id).is_some_and(|remote| square(remote) <= self.near_square)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::options::tests::run;
    use game_client::Facing;

    const VIEWER: u32 = 1_001;
    const MOVER: u32 = 1_000;
    const ALWAYS: Window = Window { from_ns: 0, until_ns: u64::MAX };

    fn viewers() -> Viewers {
        let mut viewers = Viewers::new(&run(&["--clients=1"]));
        let entry = |id: u32| [&id.to_le_bytes()[..], &[100, 0, 100, 0, 0, 0, 0x80]].concat();
        let state = [&[7, 2, 0, 0, 0][..], &entry(MOVER), &entry(VIEWER)].concat();
        viewers.receive(0, &state, MS, ALWAYS, |_| None);
        viewers
    }

    fn avatar(changes: &[(u64, Vector)]) -> Avatar {
        let mut avatar = Avatar::new(100, 100, Facing::Right, 2_000, game_client::STEP_UNITS, 0);
        for &(at_ms, vector) in changes {
            avatar.set_vector(vector, false, at_ms * MS);
        }
        avatar
    }

    fn movement(viewers: &mut Viewers, at_ms: u64, vector: Vector, avatar: &Avatar) {
        let parts = [vector.dx() as u8, vector.dy() as u8];
        let payload = [&[255][..], &MOVER.to_le_bytes(), &parts].concat();
        viewers.receive(0, &payload, at_ms * MS, ALWAYS, |id| (id == MOVER).then_some(avatar));
    }

    #[test]
    fn a_change_is_measured_once() {
        let mut viewers = viewers();
        let avatar = avatar(&[(1_000, Vector::RIGHT)]);
        movement(&mut viewers, 1_060, Vector::RIGHT, &avatar);
        movement(&mut viewers, 2_000, Vector::RIGHT, &avatar);
        let delays = viewers.delays.summary();
        assert_eq!(delays.count, 1);
        assert!((delays.max_ms - 60.0).abs() < 0.1);
    }

    #[test]
    fn a_superseded_change_is_measured_to_the_newer_one() {
        let mut viewers = viewers();
        let avatar = avatar(&[(1_000, Vector::RIGHT), (1_100, Vector::UP), (1_200, Vector::RIGHT)]);
        movement(&mut viewers, 1_250, Vector::RIGHT, &avatar);
        let delays = viewers.delays.summary();
        assert_eq!(delays.count, 3);
        assert!((delays.mean_ms - 150.0).abs() < 0.2);
    }

    #[test]
    fn a_change_before_the_enter_is_not_measured() {
        let mut viewers = viewers();
        movement(&mut viewers, 500, Vector::LEFT, &avatar(&[(0, Vector::LEFT)]));
        assert_eq!(viewers.delays.summary().count, 0);
    }

    #[test]
    fn a_restarted_viewer_has_an_empty_replica_and_keeps_its_violations() {
        let mut viewers = viewers();
        let violation = [12, 0xff, 0, 0, 0];
        viewers.receive(0, &violation, 2 * MS, ALWAYS, |_| None);
        let before = viewers.violations().len();
        viewers.restart(0);
        assert!(viewers.screen(0, 2_000 * MS).is_empty());
        assert_eq!(viewers.violations().len(), before);
    }

    #[test]
    fn the_screen_shows_loaded_sprites_at_extrapolated_positions() {
        let mut viewers = viewers();
        movement(&mut viewers, 1_000, Vector::RIGHT, &avatar(&[(900, Vector::RIGHT)]));
        let screen = viewers.screen(0, 2_000 * MS);
        assert_eq!(screen.len(), 1);
        assert!(screen[0].is_walking);
        assert!((screen[0].pose.x - 196.0).abs() < 0.01);
        assert!(viewers.violations().is_empty());
    }
}
