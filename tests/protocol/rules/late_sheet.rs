//! Rule 2 on a slow network: the client loads the sprite sheet for seconds, and ignores or misdraws what arrives meanwhile.

use game_client::{ClientMessage, Facing, PlayerId, ReplicaOptions, Vector};

use super::{VIEWER, let_others_settle, wait_after_entrance};
use crate::support::client::replica_options;
use crate::support::{Client, Settings, poll_until};

const PLAYERS: usize = 20;
const SHEET_MS: u64 = 8_000;

/// Whether the viewer shows all others, in this direction.
fn shows_all(clients: &[Client], vector: Vector, facing: Facing) -> bool {
    let shown = clients[VIEWER].replica.shown().collect::<Vec<_>>();
    shown.len() == PLAYERS - 1
        && shown.iter().all(|remote| remote.vector == vector && remote.facing == facing)
}

#[test]
fn a_sheet_that_loads_for_eight_seconds_causes_no_doubles_and_deltas_heal_the_rest() {
    let server = Settings::new().set("SYNC_INTERVAL_SEC", 1).spawn_at(500, 500).start();
    let mut others = Client::join_many(&server, PLAYERS - 1, replica_options());
    let_others_settle(&mut others);
    let options = ReplicaOptions { sheet_ms: SHEET_MS, ..replica_options() };
    let mut clients = vec![Client::join_with(&server, options)];
    clients.extend(others);
    wait_after_entrance(&mut clients, 4_000);
    for other in &mut clients[1..] {
        other.send_short_move(Vector::DOWN, 1);
        other.send(&ClientMessage::Direction(Facing::Left));
    }
    // The change is lost in the client, and no snapshot repairs it before the first sprite is sure to have loaded.
    poll_until(&mut clients, "the repeated vectors and facings", |clients| {
        shows_all(clients, Vector::DOWN, Facing::Left)
    });
    assert_eq!(clients[VIEWER].game_states_since(1), 0);
    poll_until(&mut clients, "two snapshots", |clients| clients[VIEWER].game_states_since(1) >= 2);
    assert!(shows_all(&clients, Vector::DOWN, Facing::Left));
    assert_eq!(clients[VIEWER].replica.duplicates(), [] as [PlayerId; 0]);
    assert!(clients[VIEWER].replica.first_enter_ms().is_some());
}
