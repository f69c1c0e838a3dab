//! Encoding of the messages between nodes: versioned, little-endian, with lengths implied by the content.
//!
//! A message is a header of [`HEADER_BYTES`] (magic, version, kind, world size, sender, sequence number, time)
//! and a body that depends on the kind. The decoder trusts nothing: the bus may carry any bytes.

use std::net::{IpAddr, Ipv6Addr};

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use crate::limits::{BUS_MESSAGE_BYTES_MAX, NODE_NAME_BYTES_MAX};
use crate::sessions::{SavedPlayer, SessionToken};
use crate::world::{GhostUpdate, Position, Vector};

use super::region::Region;
use super::status::Status;

const MAGIC: [u8; 2] = *b"PX";

/// Version of the format; nodes refuse messages of another version.
pub const VERSION: u8 = 3;

/// Bytes of a message before its body: 2 magic, 1 version, 1 kind, 4 world size, 8 node, 8 sequence, 8 time.
pub const HEADER_BYTES: usize = 32;

/// Random id of a node, drawn when its process starts.
pub type NodeId = u64;

/// The header of every message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// Width and height of the sender's world, in units.
    pub world: (u16, u16),
    /// The sender.
    pub node: NodeId,
    /// Sequence number of the sender's messages, from 1.
    pub sequence: u64,
    /// Time of sending, in microseconds since 1970 on the sender's clock.
    pub sent_us: u64,
}

/// The body of a message.
#[derive(Debug, Clone, PartialEq)]
pub enum Body {
    /// Changes of the sender's own players in a region since its last message about the region.
    Changes(Changes),
    /// All of the sender's players in a region.
    Snapshot {
        /// The region.
        region: Region,
        /// The players.
        players: Vec<GhostUpdate>,
    },
    /// The sender is alive.
    Heartbeat(Heartbeat),
    /// The sender is shutting down; its players leave the world.
    Shutdown,
    /// A request to nodes with players in these regions to publish snapshots.
    SnapshotRequest(Vec<Region>),
    /// A client presented this session token to the sender. The owner replies with the state of the session.
    SessionRequest {
        /// Current token of the session.
        token: SessionToken,
        /// The node that owned the player last.
        owner: NodeId,
    },
    /// The reply to a session request.
    SessionReply {
        /// The token of the request.
        token: SessionToken,
        /// The sender of the request.
        requester: NodeId,
        /// State of the session at its owner.
        outcome: SessionOutcome,
    },
    /// All decisions about banned networks that the sender knows.
    Bans(Vec<BanDecision>),
}

/// An operator's decision to ban a network or to end its ban. Of several about one network, the latest counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct BanDecision {
    /// The network, without bits beyond its prefix.
    pub network: IpNet,
    /// Whether it is banned.
    pub is_ban: bool,
    /// Time at which the decision ends, in seconds since 1970; `None` for never.
    pub until_s: Option<u64>,
    /// Time of the decision, in microseconds since 1970.
    pub decided_us: u64,
}

/// State of a session that a client presented to another node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SessionOutcome {
    /// The player is on the replying node, and its connection responds.
    Active,
    /// The player is not on the replying node. If it left, its state is stored on the bus.
    Unknown,
    /// The player's connection did not respond and was closed; the requester now owns the session.
    Transferred(SavedPlayer),
}

/// Changes of a region.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Changes {
    /// The region.
    pub region: Region,
    /// Ids of players that left the world.
    pub left: Vec<u32>,
    /// Players that moved to another region, with that region.
    pub moved: Vec<(Region, GhostUpdate)>,
    /// Players that entered the region or changed in it.
    pub updated: Vec<GhostUpdate>,
}

/// State of a node, published twice a second.
#[derive(Debug, Clone, PartialEq)]
pub struct Heartbeat {
    /// Name of the node, for logs.
    pub name: String,
    /// End of all ids ever granted to the node.
    pub ids_end: u32,
    /// Local players of the node.
    pub players: u32,
    /// Its load, and its part in a port group.
    pub status: Status,
}

/// Why a message can't be decoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DecodeError {
    /// Not a message of this format, or damaged.
    Malformed,
    /// Another version of the format.
    Version(u8),
}

/// Bytes of an encoded entity: 4 id, 4 position, 1 vector and flags.
const ENTITY_BYTES: usize = 9;

const KIND_CHANGES: u8 = 1;
const KIND_SNAPSHOT: u8 = 2;
const KIND_HEARTBEAT: u8 = 3;
const KIND_SHUTDOWN: u8 = 4;
const KIND_SNAPSHOT_REQUEST: u8 = 5;
const KIND_SESSION_REQUEST: u8 = 6;
const KIND_SESSION_REPLY: u8 = 7;
const KIND_BANS: u8 = 8;

/// Bytes of an encoded decision: 1 flags, 1 prefix, 16 address, 8 end, 8 time.
const DECISION_BYTES: usize = 34;

const FLAG_BAN: u8 = 1;
const FLAG_V6: u8 = 2;
const FLAG_ENDS: u8 = 4;

const OUTCOME_ACTIVE: u8 = 0;
const OUTCOME_UNKNOWN: u8 = 1;
const OUTCOME_TRANSFERRED: u8 = 2;

/// Encodes a message.
pub fn encode(header: &Header, body: &Body) -> Vec<u8> {
    let mut out = Vec::with_capacity(64);
    out.extend_from_slice(&MAGIC);
    out.push(VERSION);
    out.push(match body {
        Body::Changes(_) => KIND_CHANGES,
        Body::Snapshot { .. } => KIND_SNAPSHOT,
        Body::Heartbeat(_) => KIND_HEARTBEAT,
        Body::Shutdown => KIND_SHUTDOWN,
        Body::SnapshotRequest(_) => KIND_SNAPSHOT_REQUEST,
        Body::SessionRequest { .. } => KIND_SESSION_REQUEST,
        Body::SessionReply { .. } => KIND_SESSION_REPLY,
        Body::Bans(_) => KIND_BANS,
    });
    out.extend_from_slice(&header.world.0.to_le_bytes());
    out.extend_from_slice(&header.world.1.to_le_bytes());
    out.extend_from_slice(&header.node.to_le_bytes());
    out.extend_from_slice(&header.sequence.to_le_bytes());
    out.extend_from_slice(&header.sent_us.to_le_bytes());
    match body {
        Body::Changes(Changes { region, left, moved, updated }) => {
            put_u32s(&mut out, [*region, left.len() as u32, moved.len() as u32]);
            put_u32s(&mut out, left.iter().copied());
            put_u32s(&mut out, moved.iter().map(|(to, _)| *to));
            put_entities(&mut out, moved.iter().map(|(_, player)| player).chain(updated));
        }
        Body::Snapshot { region, players } => {
            put_u32s(&mut out, [*region]);
            put_entities(&mut out, players);
        }
        Body::Heartbeat(Heartbeat { name, ids_end, players, status }) => {
            put_u32s(&mut out, [*ids_end, *players]);
            status.write(&mut out);
            out.extend_from_slice(name.as_bytes());
        }
        Body::Shutdown => {}
        Body::SnapshotRequest(regions) => put_u32s(&mut out, regions.iter().copied()),
        Body::SessionRequest { token, owner } => put_token(&mut out, *token, *owner),
        Body::SessionReply { token, requester, outcome } => {
            put_token(&mut out, *token, *requester);
            match outcome {
                SessionOutcome::Active => out.push(OUTCOME_ACTIVE),
                SessionOutcome::Unknown => out.push(OUTCOME_UNKNOWN),
                SessionOutcome::Transferred(saved) => {
                    out.push(OUTCOME_TRANSFERRED);
                    out.extend_from_slice(&saved.to_bytes());
                }
            }
        }
        Body::Bans(decisions) => decisions.iter().for_each(|decision| put_decision(&mut out, decision)),
    }
    out
}

/// Decodes a message.
///
/// # Errors
/// See [`DecodeError`].
pub fn decode(bytes: &[u8]) -> Result<(Header, Body), DecodeError> {
    if bytes.len() > BUS_MESSAGE_BYTES_MAX {
        return Err(DecodeError::Malformed);
    }
    let mut reader = Reader(bytes);
    let read = (|| {
        if reader.take::<2>()? != MAGIC {
            return Some(Err(DecodeError::Malformed));
        }
        let version = reader.byte()?;
        if version != VERSION {
            return Some(Err(DecodeError::Version(version)));
        }
        let kind = reader.byte()?;
        let header = Header {
            world: (reader.u16()?, reader.u16()?),
            node: reader.u64()?,
            sequence: reader.u64()?,
            sent_us: reader.u64()?,
        };
        Some(Ok((header, reader.body(kind)?)))
    })();
    match read {
        Some(Ok(message)) if reader.0.is_empty() => Ok(message),
        Some(Err(refusal)) => Err(refusal),
        _ => Err(DecodeError::Malformed),
    }
}

fn put_u32s(out: &mut Vec<u8>, numbers: impl IntoIterator<Item = u32>) {
    for number in numbers {
        out.extend_from_slice(&number.to_le_bytes());
    }
}

fn put_token(out: &mut Vec<u8>, token: SessionToken, node: NodeId) {
    out.extend_from_slice(&token.number().to_le_bytes());
    out.extend_from_slice(&node.to_le_bytes());
}

fn put_decision(out: &mut Vec<u8>, decision: &BanDecision) {
    let BanDecision { network, is_ban, until_s, decided_us } = decision;
    let (family, address) = match network.addr() {
        IpAddr::V4(address) => (0, address.to_ipv6_mapped()),
        IpAddr::V6(address) => (FLAG_V6, address),
    };
    let flags = if *is_ban { FLAG_BAN } else { 0 } | if until_s.is_some() { FLAG_ENDS } else { 0 };
    out.extend([family | flags, network.prefix_len()]);
    out.extend_from_slice(&address.octets());
    out.extend_from_slice(&until_s.unwrap_or(0).to_le_bytes());
    out.extend_from_slice(&decided_us.to_le_bytes());
}

fn put_entities<'a>(out: &mut Vec<u8>, players: impl IntoIterator<Item = &'a GhostUpdate>) {
    for player in players {
        put_entity(out, player);
    }
}

fn put_entity(out: &mut Vec<u8>, told: &GhostUpdate) {
    out.extend_from_slice(&told.id.to_le_bytes());
    out.extend_from_slice(&told.position.x.to_le_bytes());
    out.extend_from_slice(&told.position.y.to_le_bytes());
    let part = |part: i8| (part + 1).cast_unsigned();
    let flags = [told.faces_right, told.attacks, told.begins_attack];
    let bits = flags.iter().enumerate().map(|(at, &flag)| u8::from(flag) << (4 + at)).sum::<u8>();
    out.push(part(told.vector.dx()) | part(told.vector.dy()) << 2 | bits);
}

/// Remaining bytes of a message; methods return `None` at a premature end and on invalid values.
struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (taken, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*taken)
    }

    fn byte(&mut self) -> Option<u8> {
        self.take::<1>().map(|[byte]| byte)
    }

    fn u16(&mut self) -> Option<u16> {
        self.take().map(u16::from_le_bytes)
    }

    fn u32(&mut self) -> Option<u32> {
        self.take().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Option<u64> {
        self.take().map(u64::from_le_bytes)
    }

    fn entity(&mut self) -> Option<GhostUpdate> {
        let id = self.u32().filter(|&id| id != 0)?;
        let position = Position { x: self.u16()?, y: self.u16()? };
        let bits = self.byte()?;
        let part = |bits: u8| Some(bits & 0b11).filter(|&part| part < 3).map(|part| part.cast_signed() - 1);
        Some(GhostUpdate {
            id,
            position,
            vector: Vector::new(part(bits)?, part(bits >> 2)?),
            faces_right: bits >> 4 & 1 == 1,
            attacks: bits >> 5 & 1 == 1,
            begins_attack: bits >> 6 & 1 == 1,
        })
    }

    fn decision(&mut self) -> Option<BanDecision> {
        let flags = self.byte().filter(|flags| *flags <= FLAG_BAN | FLAG_V6 | FLAG_ENDS)?;
        let (prefix, address) = (self.byte()?, Ipv6Addr::from(self.take::<16>()?));
        let has_end = flags & FLAG_ENDS != 0;
        let until_s = self.u64().filter(|until_s| has_end || *until_s == 0)?;
        let address =
            if flags & FLAG_V6 != 0 { IpAddr::V6(address) } else { IpAddr::V4(address.to_ipv4_mapped()?) };
        let network = IpNet::new(address, prefix).ok().filter(|network| network.trunc() == *network)?;
        let until_s = has_end.then_some(until_s);
        Some(BanDecision { network, is_ban: flags & FLAG_BAN != 0, until_s, decided_us: self.u64()? })
    }

    fn token(&mut self) -> Option<SessionToken> {
        self.take().map(|bytes| SessionToken::of(u128::from_le_bytes(bytes)))
    }

    /// Reads `count` values. Allocates only after checking that at least `count` bytes remain.
    fn list<T>(&mut self, count: usize, read: impl Fn(&mut Self) -> Option<T>) -> Option<Vec<T>> {
        if count > self.0.len() {
            return None;
        }
        (0..count).map(|_| read(self)).collect()
    }

    /// Reads entities up to the end of the message.
    fn remaining_entities(&mut self) -> Option<Vec<GhostUpdate>> {
        self.list(self.0.len().div_ceil(ENTITY_BYTES), Self::entity)
    }

    fn body(&mut self, kind: u8) -> Option<Body> {
        Some(match kind {
            KIND_CHANGES => {
                let region = self.u32()?;
                let (left, moved) = (self.u32()? as usize, self.u32()? as usize);
                let left = self.list(left, Self::u32)?;
                let to = self.list(moved, Self::u32)?;
                let movers = self.list(moved, Self::entity)?;
                Body::Changes(Changes {
                    region,
                    left,
                    moved: to.into_iter().zip(movers).collect(),
                    updated: self.remaining_entities()?,
                })
            }
            KIND_SNAPSHOT => Body::Snapshot { region: self.u32()?, players: self.remaining_entities()? },
            KIND_HEARTBEAT => {
                let (ids_end, players) = (self.u32()?, self.u32()?);
                let status = Status::read(&mut self.0)?;
                let name = str::from_utf8(std::mem::take(&mut self.0)).ok()?;
                // Names are written to the log.
                if name.len() > NODE_NAME_BYTES_MAX || !name.bytes().all(|byte| byte.is_ascii_graphic()) {
                    return None;
                }
                Body::Heartbeat(Heartbeat { name: name.to_owned(), ids_end, players, status })
            }
            KIND_SHUTDOWN => Body::Shutdown,
            KIND_SNAPSHOT_REQUEST => {
                let count = self.0.len().div_ceil(size_of::<Region>());
                Body::SnapshotRequest(self.list(count, Self::u32)?)
            }
            KIND_SESSION_REQUEST => Body::SessionRequest { token: self.token()?, owner: self.u64()? },
            KIND_SESSION_REPLY => {
                let (token, requester) = (self.token()?, self.u64()?);
                let outcome = match self.byte()? {
                    OUTCOME_ACTIVE => SessionOutcome::Active,
                    OUTCOME_UNKNOWN => SessionOutcome::Unknown,
                    OUTCOME_TRANSFERRED => {
                        let bytes = self.0.split_off(..SavedPlayer::encoded_bytes(self.0))?;
                        SessionOutcome::Transferred(SavedPlayer::from_bytes(bytes)?)
                    }
                    _ => return None,
                };
                Body::SessionReply { token, requester, outcome }
            }
            KIND_BANS => {
                let count = self.0.len().div_ceil(DECISION_BYTES);
                Body::Bans(self.list(count, Self::decision)?)
            }
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests;
