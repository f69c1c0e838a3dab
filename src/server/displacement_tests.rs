//! Which connection makes room, by example and against a plain model.

use proptest::prelude::*;

use super::*;

const HOME: Network = Network::V4(1);

#[test]
fn the_kind_decides_then_age() {
    let mut places = Places::new(5);
    for token in 0..5 {
        assert!(!places.is_full());
        places.enter(Token(token), None, token as u64);
    }
    assert!(places.is_full());
    places.set(Token(0), Kind::Answering, 100);
    places.set(Token(3), Kind::Idle, 90);
    places.set(Token(4), Kind::Idle, 80);
    places.set(Token(2), Kind::Ended, 99);
    let order: Vec<_> = std::iter::from_fn(|| {
        let (token, kind) = places.displaced(101)?;
        places.leave(token);
        Some((token.0, kind))
    })
    .collect();
    assert_eq!(order, [(2, Kind::Ended), (4, Kind::Idle), (3, Kind::Idle), (1, Kind::Head)]);
    assert_eq!(places.displaced(99 + HTTP_PROGRESS_MS), None, "its answer makes progress");
    assert_eq!(places.displaced(100 + HTTP_PROGRESS_MS), Some((Token(0), Kind::Answering)));
}

#[test]
fn an_address_makes_room_for_itself() {
    let mut places = Places::new(10);
    places.enter(Token(1), None, 0);
    places.enter(Token(2), Some(HOME), 1);
    places.enter(Token(3), None, 2);
    places.count_for(Token(3), HOME);
    assert_eq!((places.of(HOME), places.of(Network::V4(2))), (2, 0));
    assert_eq!(places.displaced(9), Some((Token(1), Kind::Head)));
    assert_eq!(places.displaced_of(HOME, 9), Some((Token(2), Kind::Head)));
    places.leave(Token(2));
    places.leave(Token(3));
    assert_eq!((places.of(HOME), places.displaced_of(HOME, 9)), (0, None));
    assert!(places.by_network.is_empty());
}

#[test]
fn connections_without_a_place_have_none_to_change() {
    let mut places = Places::new(1);
    places.set(Token(1), Kind::Idle, 1);
    places.leave(Token(1));
    places.count_for(Token(1), HOME);
    assert_eq!((places.kind(Token(1)), places.is_full()), (None, false));
}

proptest! {
    #[test]
    fn both_orders_hold_what_is_taken(
        steps in prop::collection::vec((0_usize..12, 0_u8..6, 0_u32..3, 0_u64..50), 0..200),
    ) {
        let mut places = Places::new(12);
        let mut model: HashMap<Token, (Kind, u64, Option<Network>)> = HashMap::new();
        for (token, what, network, ms) in steps {
            let token = Token(token);
            let network = (network > 0).then_some(Network::V4(network));
            let kinds = [Kind::Ended, Kind::Idle, Kind::Head, Kind::Answering];
            match what {
                0 if !model.contains_key(&token) => {
                    places.enter(token, network, ms);
                    model.insert(token, (Kind::Head, ms, network));
                }
                1..=4 => {
                    places.set(token, kinds[usize::from(what) - 1], ms);
                    if let Some(place) = model.get_mut(&token) {
                        (place.0, place.1) = (kinds[usize::from(what) - 1], ms);
                    }
                }
                _ => {
                    places.leave(token);
                    model.remove(&token);
                }
            }
            let late = 50 + HTTP_PROGRESS_MS;
            let expected = model.iter().map(|(token, (kind, since, _))| (*kind, *since, *token)).min();
            prop_assert_eq!(places.displaced(late), expected.map(|(kind, _, token)| (token, kind)));
            prop_assert_eq!(places.taken.len(), model.len());
            for bits in 1..3 {
                let network = Network::V4(bits);
                let own = model.iter().filter(|(_, place)| place.2 == Some(network));
                prop_assert_eq!(places.of(network), own.clone().count());
                let expected = own.map(|(token, (kind, since, _))| (*kind, *since, *token)).min();
                prop_assert_eq!(places.displaced_of(network, late), expected.map(|(kind, _, token)| (token, kind)));
            }
        }
    }
}
