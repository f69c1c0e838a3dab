//! Encoding of the messages between nodes: versioned, little-endian, with lengths implied by the content.
//!
//! A message is a header of [`HEADER_BYTES`] (magic, version, kind, world size, sender, sequence number, time)
//! and a body that depends on the kind. The decoder trusts nothing: the bus may carry any bytes.

use crate::limits::{BUS_MESSAGE_BYTES_MAX, NODE_NAME_BYTES_MAX};
use crate::sessions::{SavedPlayer, SessionToken};
use crate::world::{GhostUpdate, Position, Vector};

use super::region::Region;

const MAGIC: [u8; 2] = *b"PX";

/// Version of the format; nodes refuse messages of another version.
pub const VERSION: u8 = 2;

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
#[derive(Debug, Clone, PartialEq, Eq)]
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
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Heartbeat {
    /// Name of the node, for logs.
    pub name: String,
    /// End of all ids ever granted to the node.
    pub ids_end: u32,
    /// Local players of the node.
    pub players: u32,
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
        Body::Heartbeat(Heartbeat { name, ids_end, players }) => {
            put_u32s(&mut out, [*ids_end, *players]);
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
                let name = str::from_utf8(std::mem::take(&mut self.0)).ok()?;
                // Names are written to the log.
                if name.len() > NODE_NAME_BYTES_MAX || !name.bytes().all(|byte| byte.is_ascii_graphic()) {
                    return None;
                }
                Body::Heartbeat(Heartbeat { name: name.to_owned(), ids_end, players })
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
                    OUTCOME_TRANSFERRED => SessionOutcome::Transferred(SavedPlayer::from_bytes(
                        &self.take::<{ SavedPlayer::BYTES }>()?,
                    )?),
                    _ => return None,
                };
                Body::SessionReply { token, requester, outcome }
            }
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::world::ReconciliationBudget;
    use proptest::prelude::*;

    prop_compose! {
        fn ghost_update()(
            id in 1u32.., x: u16, y: u16, dx in -1i8..=1, dy in -1i8..=1,
            faces_right: bool, attacks: bool, begins_attack: bool,
        ) -> GhostUpdate {
            GhostUpdate { id, position: Position { x, y }, vector: Vector::new(dx, dy), faces_right, attacks, begins_attack }
        }
    }

    prop_compose! {
        fn outcome()(
            x: u16, y: u16, faces_right: bool, viewport: Option<(u16, u16)>, ms in 0u64..3_000, kind in 0u8..3,
        ) -> SessionOutcome {
            let (budget, reconnected_ms_ago) = (ReconciliationBudget::EMPTY.refilled(ms), 0);
            match kind {
                0 => SessionOutcome::Active,
                1 => SessionOutcome::Unknown,
                _ => SessionOutcome::Transferred(SavedPlayer { x, y, faces_right, viewport, budget, reconnected_ms_ago }),
            }
        }
    }

    fn body() -> impl Strategy<Value = Body> {
        let players = || proptest::collection::vec(ghost_update(), 0..20);
        let moved = proptest::collection::vec((any::<u32>(), ghost_update()), 0..20);
        let ids = || proptest::collection::vec(any::<u32>(), 0..20);
        prop_oneof![
            (any::<u32>(), ids(), moved, players()).prop_map(|(region, left, moved, updated)| {
                Body::Changes(Changes { region, left, moved, updated })
            }),
            (any::<u32>(), players()).prop_map(|(region, players)| Body::Snapshot { region, players }),
            ("[a-z0-9-]{0,20}", any::<u32>(), any::<u32>())
                .prop_map(|(name, ids_end, players)| Body::Heartbeat(Heartbeat { name, ids_end, players })),
            Just(Body::Shutdown),
            ids().prop_map(Body::SnapshotRequest),
            (any::<u128>(), any::<u64>())
                .prop_map(|(number, owner)| Body::SessionRequest { token: SessionToken::of(number), owner }),
            (any::<u128>(), any::<u64>(), outcome()).prop_map(|(number, requester, outcome)| {
                Body::SessionReply { token: SessionToken::of(number), requester, outcome }
            }),
        ]
    }

    const HEADER: Header = Header { world: (2000, 1000), node: 7, sequence: 8, sent_us: 9 };

    proptest! {
        #[test]
        fn encoded_messages_decode_and_other_lengths_do_not(body in body(), cut in 1usize..40, more: u8) {
            let mut bytes = encode(&HEADER, &body);
            prop_assert_eq!(decode(&bytes), Ok((HEADER, body.clone())));
            // A message of another length decodes differently or not at all.
            let shorter = &bytes[..bytes.len().saturating_sub(cut)];
            prop_assert_ne!(decode(shorter), Ok((HEADER, body.clone())));
            bytes.push(more);
            prop_assert_ne!(decode(&bytes), Ok((HEADER, body)));
        }

        #[test]
        fn decoding_any_bytes_does_not_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = decode(&bytes);
            let _ = decode(&[b"PX".as_slice(), &[VERSION], &bytes].concat());
        }
    }

    #[test]
    fn a_message_without_a_body_is_only_a_header() {
        assert_eq!(encode(&HEADER, &Body::Shutdown).len(), HEADER_BYTES);
    }

    #[test]
    fn another_version_is_reported() {
        let mut bytes = encode(&HEADER, &Body::Shutdown);
        bytes[2] = VERSION + 1;
        assert_eq!(decode(&bytes), Err(DecodeError::Version(VERSION + 1)));
    }

    #[test]
    fn excessive_counts_are_malformed() {
        let mut bytes = encode(&HEADER, &Body::Changes(Changes::default()));
        let at = bytes.len() - 8;
        bytes[at..].fill(0xff);
        assert_eq!(decode(&bytes), Err(DecodeError::Malformed));
    }
}
