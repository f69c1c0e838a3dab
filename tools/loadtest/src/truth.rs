//! Compares a client's replica with the true positions once all players stand still. Pure.
//!
//! The server shows the nearest players, with hysteresis: a new player replaces a visible one only if it is nearer than
//! [`NEWCOMER_FACTOR`] times the distance of the visible one. If the interest set is full, a player is
//! *missing* when it is nearer than that fraction of the distance of the farthest visible player. Otherwise it is
//! missing whenever it is inside the viewport.

use std::collections::{HashMap, HashSet};

use crate::named::named;
use game_client::{Facing, PlayerId};

/// Fraction of a visible player's distance within which a new player replaces it.
const NEWCOMER_FACTOR: f64 = 0.7;

/// Largest tolerated distance between a sprite and its player, in units.
const DISPLACED_UNITS: f64 = 8.0;

/// Smallest side of a viewport that the server accepts, in units.
const VIEWPORT_SIDE_MIN: u16 = 100;

/// Rounding error of distances on the server, in units.
const ROUNDING_UNITS: f64 = 1.5;

/// Position and facing of a player.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pose {
    /// Distance from the left edge, in units.
    pub x: f64,
    /// Distance from the top edge, in units.
    pub y: f64,
    /// The side it faces.
    pub facing: Facing,
}

/// A sprite on the screen.
#[derive(Clone, Copy, Debug)]
pub struct Sprite {
    /// The player it shows.
    pub id: PlayerId,
    /// Its position and facing.
    pub pose: Pose,
    /// Whether it is drawn walking and extrapolated.
    pub is_walking: bool,
}

/// A viewer and the rules of its visibility.
#[derive(Clone, Copy, Debug)]
pub struct Viewpoint {
    /// The viewer.
    pub id: PlayerId,
    /// Its position, in units.
    pub x: f64,
    /// Its position, in units.
    pub y: f64,
    /// Its viewport; `None` is the whole world.
    pub viewport: Option<(u16, u16)>,
    /// The server's limit of visible players.
    pub max_visible: usize,
    /// Players that are not part of this run. If there are none, every unknown player is a phantom.
    pub foreign_players: usize,
}

named! {
    /// A fault in a replica.
    pub enum Fault {
        /// A player that should be shown is missing.
        Missing = "missing",
        /// A player that has left is still shown.
        Phantom = "phantom",
        /// A sprite is not at its player's position.
        Displaced = "displaced",
        /// A sprite faces the wrong side.
        Turned = "turned",
        /// A sprite walks while its player stands.
        Walking = "walking",
    }
}

/// A fault with its player and evidence.
#[derive(Clone, Debug, PartialEq)]
pub struct Difference {
    /// The fault.
    pub fault: Fault,
    /// The player that is shown wrongly or not at all.
    pub id: PlayerId,
    /// Description of the evidence.
    pub evidence: String,
}

/// All playing clients, with their pose if known.
pub type Truth = HashMap<PlayerId, Option<Pose>>;

/// Compares a replica with the true poses. `is_gone` returns whether a player is known to have left.
pub fn compare(
    viewpoint: &Viewpoint,
    sprites: &[Sprite],
    truth: &Truth,
    is_gone: impl Fn(PlayerId) -> bool,
) -> Vec<Difference> {
    let mut differences = Vec::new();
    let mut farthest: f64 = 0.0;
    for sprite in sprites {
        match truth.get(&sprite.id) {
            Some(Some(pose)) => {
                farthest = farthest.max((pose.x - viewpoint.x).hypot(pose.y - viewpoint.y));
                differences.extend(check_sprite(sprite, pose));
            }
            None if viewpoint.foreign_players == 0 || is_gone(sprite.id) => differences.push(Difference {
                fault: Fault::Phantom,
                id: sprite.id,
                evidence: format!("shown at ({:.0}, {:.0})", sprite.pose.x, sprite.pose.y),
            }),
            Some(None) | None => {}
        }
    }
    differences.extend(missing(viewpoint, sprites, truth, farthest));
    differences
}

fn check_sprite(sprite: &Sprite, pose: &Pose) -> Vec<Difference> {
    let mut differences = Vec::new();
    let mut note = |fault, evidence| differences.push(Difference { fault, id: sprite.id, evidence });
    let shown = &sprite.pose;
    let off = (shown.x - pose.x).hypot(shown.y - pose.y);
    if off > DISPLACED_UNITS {
        note(
            Fault::Displaced,
            format!(
                "shown at ({:.0}, {:.0}), player at ({:.0}, {:.0}), {off:.0} units off",
                shown.x, shown.y, pose.x, pose.y
            ),
        );
    }
    if shown.facing != pose.facing {
        note(Fault::Turned, format!("shown facing {:?}", shown.facing));
    }
    if sprite.is_walking {
        note(Fault::Walking, format!("shown walking at ({:.0}, {:.0})", shown.x, shown.y));
    }
    differences
}

fn missing(viewpoint: &Viewpoint, sprites: &[Sprite], truth: &Truth, farthest: f64) -> Vec<Difference> {
    let shown: HashSet<PlayerId> = sprites.iter().map(|sprite| sprite.id).collect();
    // The server fills a slot that a foreign player has freed only at the next interest update.
    let is_full = sprites.len() + viewpoint.foreign_players >= viewpoint.max_visible;
    let reach = if is_full { farthest * NEWCOMER_FACTOR - ROUNDING_UNITS } else { f64::INFINITY };
    let half = |side: u16| f64::from(side.max(VIEWPORT_SIDE_MIN) / 2);
    let (half_width, half_height) = viewpoint
        .viewport
        .map_or((f64::INFINITY, f64::INFINITY), |(width, height)| (half(width), half(height)));
    let mut missing: Vec<Difference> = Vec::new();
    for (&id, pose) in truth {
        let Some(pose) = pose else { continue };
        let (dx, dy) = (pose.x - viewpoint.x, pose.y - viewpoint.y);
        let distance = dx.hypot(dy);
        let in_view = dx.abs() <= half_width && dy.abs() <= half_height && distance < reach;
        if in_view && id != viewpoint.id && !shown.contains(&id) {
            let evidence = format!(
                "{distance:.0} units away; {} of {} shown, the farthest {farthest:.0} units away",
                sprites.len(),
                viewpoint.max_visible
            );
            missing.push(Difference { fault: Fault::Missing, id, evidence });
        }
    }
    missing.sort_by_key(|difference| difference.id);
    missing
}

#[cfg(test)]
mod tests {
    use super::*;

    const GONE: PlayerId = 8;
    const VIEWPOINT: Viewpoint =
        Viewpoint { id: 1, x: 100.0, y: 100.0, viewport: None, max_visible: 2, foreign_players: 0 };

    fn pose(x: f64) -> Pose {
        Pose { x, y: 100.0, facing: Facing::Right }
    }

    fn sprite(id: PlayerId, x: f64) -> Sprite {
        Sprite { id, pose: pose(x), is_walking: false }
    }

    fn truth(players: &[(PlayerId, f64)]) -> Truth {
        players.iter().map(|&(id, x)| (id, Some(pose(x)))).collect()
    }

    fn faults(viewpoint: &Viewpoint, sprites: &[Sprite], truth: &Truth) -> Vec<(Fault, PlayerId)> {
        compare(viewpoint, sprites, truth, |id| id == GONE)
            .iter()
            .map(|found| (found.fault, found.id))
            .collect()
    }

    #[test]
    fn a_correct_replica_has_no_faults() {
        let truth = truth(&[(1, 100.0), (2, 150.0), (3, 200.0), (4, 180.0)]);
        assert_eq!(faults(&VIEWPOINT, &[sprite(2, 150.0), sprite(3, 208.0)], &truth), []);
    }

    #[test]
    fn a_full_interest_set_misses_only_clearly_nearer_players() {
        let truth = truth(&[(1, 100.0), (2, 150.0), (3, 200.0), (4, 160.0), (5, 175.0)]);
        let sprites = [sprite(2, 150.0), sprite(3, 200.0)];
        assert_eq!(faults(&VIEWPOINT, &sprites, &truth), [(Fault::Missing, 4)]);
    }

    #[test]
    fn a_free_slot_requires_every_player_in_the_viewport() {
        let truth = truth(&[(1, 100.0), (2, 150.0), (3, 201.0)]);
        assert_eq!(faults(&VIEWPOINT, &[sprite(2, 150.0)], &truth), [(Fault::Missing, 3)]);
        let viewpoint = Viewpoint { viewport: Some((200, 50)), ..VIEWPOINT };
        assert_eq!(faults(&viewpoint, &[sprite(2, 150.0)], &truth), []);
        assert_eq!(faults(&viewpoint, &[], &truth), [(Fault::Missing, 2)]);
    }

    #[test]
    fn a_slot_freed_by_a_foreign_player_is_not_free_yet() {
        let truth = truth(&[(1, 100.0), (2, 150.0), (3, 201.0), (4, 120.0)]);
        let viewpoint = Viewpoint { foreign_players: 1, ..VIEWPOINT };
        assert_eq!(
            faults(&viewpoint, &[sprite(2, 150.0)], &truth),
            [(Fault::Missing, 4)],
            "the clearly nearer player"
        );
        let roomy = Viewpoint { max_visible: 5, ..viewpoint };
        assert_eq!(
            faults(&roomy, &[sprite(2, 150.0)], &truth).len(),
            2,
            "more slots are free than one foreign player can have freed"
        );
    }

    #[test]
    fn a_player_with_an_unknown_pose_is_neither_missing_nor_a_phantom() {
        let mut truth = truth(&[(1, 100.0)]);
        truth.insert(7, None);
        assert_eq!(faults(&VIEWPOINT, &[sprite(7, 900.0)], &truth), []);
        assert_eq!(faults(&VIEWPOINT, &[], &truth), []);
    }

    #[test]
    fn wrong_sprites_are_reported_by_kind() {
        let truth = truth(&[(1, 100.0), (2, 150.0), (3, 200.0)]);
        let mut walking = sprite(3, 200.0);
        walking.is_walking = true;
        assert_eq!(
            faults(&VIEWPOINT, &[sprite(2, 159.0), walking], &truth),
            [(Fault::Displaced, 2), (Fault::Walking, 3)]
        );
        let mut turned = sprite(2, 150.0);
        turned.pose.facing = Facing::Left;
        assert_eq!(
            faults(&VIEWPOINT, &[turned, sprite(9, 300.0)], &truth),
            [(Fault::Turned, 2), (Fault::Phantom, 9)]
        );
        let viewpoint = Viewpoint { foreign_players: 1, ..VIEWPOINT };
        assert_eq!(faults(&viewpoint, &[sprite(2, 150.0), sprite(9, 300.0)], &truth), []);
        let sprites = [sprite(2, 150.0), sprite(3, 200.0), sprite(GONE, 300.0)];
        assert_eq!(faults(&viewpoint, &sprites, &truth), [(Fault::Phantom, GONE)]);
    }
}
