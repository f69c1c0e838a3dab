//! The order of displacement, by example and against a naive model.

use proptest::prelude::*;

use super::*;

const HOME: Network = Network::V4(1);

#[test]
fn displacement_goes_by_activity_then_age() {
    let mut connections = HttpConnections::new(5);
    for token in 0..5 {
        assert!(!connections.is_full());
        connections.insert(Token(token), None, token as u64);
    }
    assert!(connections.is_full());
    connections.set_activity(Token(0), Activity::Answering, 100);
    connections.set_activity(Token(3), Activity::Idle, 90);
    connections.set_activity(Token(4), Activity::Idle, 80);
    connections.set_activity(Token(2), Activity::Lingering, 99);
    let order: Vec<_> = std::iter::from_fn(|| {
        let (token, activity) = connections.next_displaced(101)?;
        connections.remove(token);
        Some((token.0, activity))
    })
    .collect();
    assert_eq!(
        order,
        [(2, Activity::Lingering), (4, Activity::Idle), (3, Activity::Idle), (1, Activity::ReadingHead)]
    );
    assert_eq!(connections.next_displaced(99 + HTTP_PROGRESS_MS), None, "its response makes progress");
    assert_eq!(connections.next_displaced(100 + HTTP_PROGRESS_MS), Some((Token(0), Activity::Answering)));
}

#[test]
fn an_address_displaces_its_own_connections() {
    let mut connections = HttpConnections::new(10);
    connections.insert(Token(1), None, 0);
    connections.insert(Token(2), Some(HOME), 1);
    connections.insert(Token(3), None, 2);
    connections.set_network(Token(3), HOME);
    assert_eq!((connections.count_of(HOME), connections.count_of(Network::V4(2))), (2, 0));
    assert_eq!(connections.next_displaced(9), Some((Token(1), Activity::ReadingHead)));
    assert_eq!(connections.next_displaced_of(HOME, 9), Some((Token(2), Activity::ReadingHead)));
    connections.remove(Token(2));
    connections.remove(Token(3));
    assert_eq!((connections.count_of(HOME), connections.next_displaced_of(HOME, 9)), (0, None));
    assert!(connections.by_network.is_empty());
}

#[test]
fn unknown_tokens_are_ignored() {
    let mut connections = HttpConnections::new(1);
    connections.set_activity(Token(1), Activity::Idle, 1);
    connections.remove(Token(1));
    connections.set_network(Token(1), HOME);
    assert_eq!((connections.activity(Token(1)), connections.is_full()), (None, false));
}

proptest! {
    #[test]
    fn the_orders_match_a_model(
        steps in prop::collection::vec((0_usize..12, 0_u8..6, 0_u32..3, 0_u64..50), 0..200),
    ) {
        let mut connections = HttpConnections::new(12);
        let mut model: HashMap<Token, (Activity, u64, Option<Network>)> = HashMap::new();
        for (token, step, network, ms) in steps {
            let token = Token(token);
            let network = (network > 0).then_some(Network::V4(network));
            let activities = [Activity::Lingering, Activity::Idle, Activity::ReadingHead, Activity::Answering];
            match step {
                0 if !model.contains_key(&token) => {
                    connections.insert(token, network, ms);
                    model.insert(token, (Activity::ReadingHead, ms, network));
                }
                1..=4 => {
                    connections.set_activity(token, activities[usize::from(step) - 1], ms);
                    if let Some(entry) = model.get_mut(&token) {
                        (entry.0, entry.1) = (activities[usize::from(step) - 1], ms);
                    }
                }
                _ => {
                    connections.remove(token);
                    model.remove(&token);
                }
            }
            let late = 50 + HTTP_PROGRESS_MS;
            let expected = model.iter().map(|(token, (activity, since, _))| (*activity, *since, *token)).min();
            prop_assert_eq!(connections.next_displaced(late), expected.map(|(activity, _, token)| (token, activity)));
            prop_assert_eq!(connections.by_token.len(), model.len());
            for bits in 1..3 {
                let network = Network::V4(bits);
                let own = model.iter().filter(|(_, entry)| entry.2 == Some(network));
                prop_assert_eq!(connections.count_of(network), own.clone().count());
                let expected = own.map(|(token, (activity, since, _))| (*activity, *since, *token)).min();
                prop_assert_eq!(connections.next_displaced_of(network, late), expected.map(|(activity, _, token)| (token, activity)));
            }
        }
    }
}
