//! An operator who bans and unbans addresses, kicks players and drains the server.

use pixi_game_server::control::{Command, Network, Sort};
use pixi_game_server::server::core::control::Progress;

use super::machine::Host;
use super::machine::random::Random;

/// Addresses of clients: 10.0.0.0 and those after it.
const ADDRESSES: u64 = 6;

fn network(address: u64) -> Network {
    Network::try_from(format!("10.0.0.{address}")).expect("an address")
}

/// Acts once. An operator who `is_patient` closes nobody, so that each end of a player has one cause.
pub fn act(host: &mut Host, random: &mut Random, is_patient: bool) {
    let network = network(random.below(ADDRESSES));
    let closes_nobody = first_player(host, Some(network)).is_none();
    let command = match random.below(6) {
        0 | 1 if closes_nobody || !is_patient => Command::Ban { network, seconds: None },
        0..=3 => Command::Unban { network },
        5 if !is_patient => {
            let id = first_player(host, None);
            Command::Kick { id, address: None, code: 4001, reason: "kicked".to_owned() }
        }
        _ => Command::Drain { seconds: Some(1) },
    };
    let _ = host.core.control(command, 0);
}

/// Ends all bans, and admits players.
pub fn end(host: &mut Host) {
    for address in 0..ADDRESSES {
        let _ = host.core.control(Command::Unban { network: network(address) }, 0);
    }
    host.core.control(Command::Undrain {}, 0).expect("players are admitted");
}

/// No player is of a banned network.
pub fn check_bans(host: &mut Host) {
    let Ok(Progress::Done(bans)) = host.core.control(Command::Bans {}, 0) else { panic!("the bans") };
    for ban in bans["bans"].as_array().expect("a list") {
        let network = ban["network"].as_str().expect("a network").to_owned();
        assert_eq!(first_player(host, Some(Network::try_from(network).expect("a network"))), None, "{ban}");
    }
}

/// Returns the id of a player of a network, if there is one.
fn first_player(host: &mut Host, address: Option<Network>) -> Option<u32> {
    let command = Command::Players { sort: Sort::Age, near: None, address, limit: 1 };
    let Ok(Progress::List(mut list)) = host.core.control(command, 0) else { panic!("a list") };
    let result = loop {
        if let Some(result) = host.core.advance_list(&mut list) {
            break result;
        }
    };
    result["players"][0]["id"].as_u64().map(|id| id as u32)
}
