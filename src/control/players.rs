//! Players in lists: their order, and lists of several processes as one.

use std::cmp::Reverse;

use serde::{Deserialize, Serialize};

use super::Sort;

/// A player in a list.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listed {
    /// Its id.
    pub id: u32,
    /// Its node, in lists of several processes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<String>,
    /// Its account, with `AUTH=jwt`.
    pub account: Option<String>,
    /// Its address, or the network that counts as one.
    pub address: Option<String>,
    /// Time since it joined, in seconds.
    pub age_s: u64,
    /// Its position, in units.
    pub x: u16,
    /// See `x`.
    pub y: u16,
    /// Acknowledged MOVEs.
    pub acks: u64,
    /// MOVEs whose claimed position was not accepted.
    pub rejected: u64,
    /// Messages over the rate limit.
    pub rate_limited: u64,
    /// Messages that were not valid.
    pub invalid: u64,
    /// Bytes received from it.
    pub bytes_in: u64,
    /// Bytes sent to it.
    pub bytes_out: u64,
    /// The last round trip of a ping, in milliseconds.
    pub round_trip_ms: Option<u32>,
}

/// The result of a command that lists players.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlayerList {
    /// The first players of the order.
    pub players: Vec<Listed>,
    /// The number of players that the filter admits.
    pub matching: usize,
}

impl PlayerList {
    /// Sorts the players, and keeps the first `limit`.
    pub fn sort(&mut self, sort: Sort, near: Option<(u16, u16)>, limit: usize) {
        self.players.sort_by_key(|player| player.rank(sort, near));
        self.players.truncate(limit);
    }

    /// Adds the list of a node.
    pub fn add(&mut self, node: &str, list: Self) {
        let named = list.players.into_iter().map(|player| Listed { node: Some(node.to_owned()), ..player });
        self.players.extend(named);
        self.matching += list.matching;
    }
}

impl Listed {
    /// The key of the order.
    fn rank(&self, sort: Sort, near: Option<(u16, u16)>) -> (u64, Reverse<u64>, u32) {
        let distance = near.map_or(0, |(x, y)| {
            let (dx, dy) = (u64::from(self.x.abs_diff(x)), u64::from(self.y.abs_diff(y)));
            dx * dx + dy * dy
        });
        let most = match sort {
            Sort::Id => 0,
            Sort::Acks => self.acks,
            Sort::Bytes => self.bytes_in + self.bytes_out,
            Sort::Age => self.age_s,
            Sort::Rejected => self.rejected,
        };
        (distance, Reverse(most), self.id)
    }
}
