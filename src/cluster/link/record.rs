//! What the bus keeps of players who may turn up at another process.

use super::super::message::NodeId;
use crate::resume::Saved;

/// What is kept under a ticket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Record {
    /// The process that had its player.
    pub node: NodeId,
    /// Whether it has left there.
    pub has_left: bool,
    /// Where it was.
    pub saved: Saved,
}

impl Record {
    /// The format, so that whoever reads another one knows that it does.
    const VERSION: u8 = 1;

    const BYTES: usize = 2 + size_of::<NodeId>() + Saved::BYTES;

    pub(super) fn to_bytes(self) -> Vec<u8> {
        let mut bytes = vec![Self::VERSION, u8::from(self.has_left)];
        bytes.extend_from_slice(&self.node.to_le_bytes());
        bytes.extend_from_slice(&self.saved.to_bytes());
        bytes
    }

    pub(super) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let bytes: [u8; Self::BYTES] = bytes.try_into().ok()?;
        let ([version, has_left], rest) = bytes.split_first_chunk::<2>()?;
        let (node, saved) = rest.split_first_chunk()?;
        if (*version, *has_left > 1) != (Self::VERSION, false) {
            return None;
        }
        let saved = Saved::from_bytes(saved.try_into().ok()?)?;
        Some(Self { node: NodeId::from_le_bytes(*node), has_left: *has_left == 1, saved })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_read_as_it_was_written_and_nothing_else() {
        let saved = Saved { x: 1, y: 2, faces_right: true, viewport: Some((800, 600)) };
        let record = Record { node: 7, has_left: true, saved };
        let bytes = record.to_bytes();
        assert_eq!(Record::from_bytes(&bytes), Some(record));
        for cut in 0..bytes.len() {
            assert_eq!(Record::from_bytes(&bytes[..cut]), None);
        }
        for (at, value) in [(0, 2), (1, 2), (10, 4)] {
            let mut other = bytes.clone();
            other[at] = value;
            assert_eq!(Record::from_bytes(&other), None, "byte {at}");
        }
    }
}
