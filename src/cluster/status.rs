//! What a node tells its peers about itself with every heartbeat: its load, and its part in a port group.
//!
//! A *port group* are the nodes of a world that share one port of one machine. The kernel divides connections between those
//! that listen.

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::admission::Network;
use crate::admission::port_group::Listening;

/// Maximum number of addresses in a status: those with most players.
pub const ADDRESSES_MAX: usize = 64;

/// The state of a node, apart from its players.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// Hash of the port and the machine; 0 without `REUSE_PORT`.
    pub port_group: u64,
    /// Whether it listens at the port of the group.
    pub listening: Listening,
    /// Whether it admits players.
    pub is_admitting: bool,
    /// Its load.
    pub figures: Figures,
    /// The addresses with most players, and their players: at most [`ADDRESSES_MAX`].
    pub addresses: Vec<(Network, u32)>,
}

macro_rules! figures {
    ($($(#[doc = $doc:literal])+ $name:ident: $type:ident,)+) => {
        /// The load of a node. The names are those of the metrics.
        #[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
        pub struct Figures {
            $($(#[doc = $doc])+ pub $name: $type,)+
        }

        impl Figures {
            /// Bytes of the encoding: eight for each figure.
            pub const BYTES: usize = 8 * [$(stringify!($name)),+].len();

            fn write(&self, out: &mut Vec<u8>) {
                $(out.extend_from_slice(&self.$name.to_le_bytes());)+
            }

            fn read(bytes: &mut &[u8]) -> Option<Self> {
                Some(Self { $($name: <$type>::from_le_bytes(take(bytes)?),)+ })
            }
        }
    };
}

figures! {
    /// Open connections.
    connections_open: u64,
    /// Time since the start, in seconds.
    uptime_seconds: u64,
    /// Ticks per second.
    tick_rate_hz: f64,
    /// 99th percentile of the durations of ticks, in nanoseconds.
    tick_p99_ns: u64,
    /// Fraction of the time in which the event loop was busy.
    loop_busy_ratio: f64,
    /// Game messages received per second.
    events_per_second: f64,
    /// Time between two flushes, in milliseconds.
    flush_interval_ms: u64,
    /// Maximum number of players shown to a client.
    max_visible: u64,
    /// Level of the load governor.
    governor_level: u64,
    /// Bytes read since the start.
    bytes_in_total: u64,
    /// Bytes written since the start.
    bytes_out_total: u64,
    /// CPU time since the start, in nanoseconds.
    cpu_ns_total: u64,
    /// Resident memory, in bytes.
    resident_bytes: u64,
}

/// Returns the id of the port group of this port on this machine, which these texts identify; never 0.
pub fn port_group_of(texts: &[&str]) -> u64 {
    let digest = Sha256::digest(texts.join("\n"));
    digest.iter().take(8).fold(0, |hash, &byte| hash << 8 | u64::from(byte)).max(1)
}

/// Bytes of an address: 1 family, 8 network, 4 players.
const ADDRESS_BYTES: usize = 13;

const FAMILY_V4: u8 = 4;
const FAMILY_V6: u8 = 6;

impl Status {
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.port_group.to_le_bytes());
        out.extend([self.listening as u8, u8::from(self.is_admitting)]);
        self.figures.write(out);
        out.push(self.addresses.len() as u8);
        for (network, players) in &self.addresses {
            let (family, bits) = match *network {
                Network::V4(address) => (FAMILY_V4, u64::from(address)),
                Network::V6(prefix) => (FAMILY_V6, prefix),
            };
            out.push(family);
            out.extend_from_slice(&bits.to_le_bytes());
            out.extend_from_slice(&players.to_le_bytes());
        }
    }

    /// Reads a status from the start of `bytes`; `None` for any that [`Status::write`] does not write.
    pub(super) fn read(bytes: &mut &[u8]) -> Option<Self> {
        let port_group = u64::from_le_bytes(take(bytes)?);
        let [listening, is_admitting] = take(bytes)?;
        let listening = *Listening::ALL.get(usize::from(listening))?;
        let is_admitting = [false, true].into_iter().find(|&flag| u8::from(flag) == is_admitting)?;
        let figures = Figures::read(bytes)?;
        // JSON has no other numbers.
        let floats = [figures.tick_rate_hz, figures.loop_busy_ratio, figures.events_per_second];
        if !floats.iter().all(|float| float.is_finite()) {
            return None;
        }
        let [count] = take(bytes)?;
        let count = usize::from(count);
        if count > ADDRESSES_MAX || bytes.len() < count * ADDRESS_BYTES {
            return None;
        }
        let addresses = (0..count).map(|_| address(bytes)).collect::<Option<_>>()?;
        Some(Self { port_group, listening, is_admitting, figures, addresses })
    }
}

fn address(bytes: &mut &[u8]) -> Option<(Network, u32)> {
    let [family] = take(bytes)?;
    let (bits, players) = (u64::from_le_bytes(take(bytes)?), u32::from_le_bytes(take(bytes)?));
    let network = match family {
        FAMILY_V4 => Network::V4(u32::try_from(bits).ok()?),
        FAMILY_V6 => Network::V6(bits),
        _ => return None,
    };
    Some((network, players))
}

fn take<const N: usize>(bytes: &mut &[u8]) -> Option<[u8; N]> {
    let (taken, rest) = bytes.split_first_chunk()?;
    *bytes = rest;
    Some(*taken)
}
