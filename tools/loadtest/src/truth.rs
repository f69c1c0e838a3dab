//! What a client ought to show once everybody stands still, and how its picture differs from that. Pure.
//!
//! The server shows the nearest players, and not a different choice with every step somebody takes: one in view counts
//! as nearer than it is, so that a newcomer takes a place only when it is nearer than [`NEWCOMER_FACTOR`] times the
//! distance of a member. So when all places are taken, a player is *missing* when it is nearer than that part of the
//! distance of the farthest one shown; when places are free, whenever it is in the rectangle that the client shows.

use std::collections::{HashMap, HashSet};

use game_client::{Facing, PlayerId};

/// The part of a member's distance within which a newcomer takes its place.
const NEWCOMER_FACTOR: f64 = 0.7;

/// Farthest a sprite may stand from its player, in units.
const DISPLACED_UNITS: f64 = 8.0;

/// Smallest side of a viewport: the server takes no smaller one, in units.
const VIEWPORT_SIDE_MIN: u16 = 100;

/// Rounding of distances by the server, in units.
const ROUNDING_UNITS: f64 = 1.5;

/// Where a player stands, and where it looks.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pose {
    /// Units from the left edge.
    pub x: f64,
    /// Units from the top edge.
    pub y: f64,
    /// The side it looks to.
    pub facing: Facing,
}

/// A sprite on the screen.
#[derive(Clone, Copy, Debug)]
pub struct Sprite {
    /// Whom it shows.
    pub id: PlayerId,
    /// Where, and to which side it looks.
    pub pose: Pose,
    /// It is drawn walking, and moved on.
    pub is_walking: bool,
}

/// Who looks, and with what rules.
#[derive(Clone, Copy, Debug)]
pub struct Viewpoint {
    /// The viewer.
    pub id: PlayerId,
    /// Where it stands.
    pub x: f64,
    /// Where it stands.
    pub y: f64,
    /// The rectangle it shows; none is the whole world.
    pub viewport: Option<(u16, u16)>,
    /// Most players it is shown.
    pub max_visible: usize,
    /// Players who are not the load test's. While there are none, somebody unknown is a phantom.
    pub foreign_players: usize,
}

/// One thing wrong with a picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// A player that ought to be shown is not.
    Missing,
    /// Somebody is shown who is gone.
    Phantom,
    /// A sprite stands elsewhere than its player.
    Displaced,
    /// A sprite looks to the wrong side.
    Turned,
    /// A sprite walks, and its player stands.
    Walking,
}

impl Fault {
    /// All kinds.
    pub const ALL: [Fault; 5] =
        [Fault::Missing, Fault::Phantom, Fault::Displaced, Fault::Turned, Fault::Walking];

    /// The word for it in reports.
    pub fn name(self) -> &'static str {
        match self {
            Fault::Missing => "missing",
            Fault::Phantom => "phantom",
            Fault::Displaced => "displaced",
            Fault::Turned => "turned",
            Fault::Walking => "walking",
        }
    }
}

/// A fault, whom it is about, and by how much.
#[derive(Clone, Debug, PartialEq)]
pub struct Difference {
    /// What is wrong.
    pub fault: Fault,
    /// The player shown wrongly, or not at all.
    pub id: PlayerId,
    /// Evidence in words.
    pub evidence: String,
}

/// Everybody who plays, and where they stand where that is known.
pub type Truth = HashMap<PlayerId, Option<Pose>>;

/// Compares a picture with where everybody stands. `is_gone` tells who is known to have left.
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
                "shown at ({:.0}, {:.0}), stands at ({:.0}, {:.0}), {off:.0} units off",
                shown.x, shown.y, pose.x, pose.y
            ),
        );
    }
    if shown.facing != pose.facing {
        note(Fault::Turned, format!("shown looking {:?}", shown.facing));
    }
    if sprite.is_walking {
        note(Fault::Walking, format!("shown walking at ({:.0}, {:.0})", shown.x, shown.y));
    }
    differences
}

fn missing(viewpoint: &Viewpoint, sprites: &[Sprite], truth: &Truth, farthest: f64) -> Vec<Difference> {
    let shown: HashSet<PlayerId> = sprites.iter().map(|sprite| sprite.id).collect();
    // A place that a stranger has left is taken when the server next looks who sees whom.
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
                "{distance:.0} units away, {} of {} shown, the farthest {farthest:.0} away",
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
    fn a_right_picture_has_no_faults() {
        let truth = truth(&[(1, 100.0), (2, 150.0), (3, 200.0), (4, 180.0)]);
        assert_eq!(faults(&VIEWPOINT, &[sprite(2, 150.0), sprite(3, 208.0)], &truth), []);
    }

    #[test]
    fn with_all_places_taken_only_the_clearly_nearer_are_missing() {
        let truth = truth(&[(1, 100.0), (2, 150.0), (3, 200.0), (4, 160.0), (5, 175.0)]);
        let sprites = [sprite(2, 150.0), sprite(3, 200.0)];
        assert_eq!(faults(&VIEWPOINT, &sprites, &truth), [(Fault::Missing, 4)]);
    }

    #[test]
    fn with_free_places_everybody_in_the_rectangle_must_be_shown() {
        let truth = truth(&[(1, 100.0), (2, 150.0), (3, 201.0)]);
        assert_eq!(faults(&VIEWPOINT, &[sprite(2, 150.0)], &truth), [(Fault::Missing, 3)]);
        let viewpoint = Viewpoint { viewport: Some((200, 50)), ..VIEWPOINT };
        assert_eq!(faults(&viewpoint, &[sprite(2, 150.0)], &truth), []);
        assert_eq!(faults(&viewpoint, &[], &truth), [(Fault::Missing, 2)]);
    }

    #[test]
    fn a_place_that_a_stranger_may_have_left_is_not_free_yet() {
        let truth = truth(&[(1, 100.0), (2, 150.0), (3, 201.0), (4, 120.0)]);
        let viewpoint = Viewpoint { foreign_players: 1, ..VIEWPOINT };
        assert_eq!(
            faults(&viewpoint, &[sprite(2, 150.0)], &truth),
            [(Fault::Missing, 4)],
            "the clearly nearer one"
        );
        let roomy = Viewpoint { max_visible: 5, ..viewpoint };
        assert_eq!(
            faults(&roomy, &[sprite(2, 150.0)], &truth).len(),
            2,
            "more are free than one can have left"
        );
    }

    #[test]
    fn somebody_whose_place_is_unknown_is_neither_missing_nor_a_phantom() {
        let mut truth = truth(&[(1, 100.0)]);
        truth.insert(7, None);
        assert_eq!(faults(&VIEWPOINT, &[sprite(7, 900.0)], &truth), []);
        assert_eq!(faults(&VIEWPOINT, &[], &truth), []);
    }

    #[test]
    fn wrong_sprites_are_told_by_what_is_wrong() {
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
