//! Tags on what a node puts on the bus: with `CLUSTER_SECRET` only nodes that know it are believed.
//!
//! A tag is HMAC-SHA-256, cut to 16 bytes, over the place (the channel or the key, both of which name the world) and the
//! bytes. So no message moves to another region or world, and no place to another token. Replays are the receiver's business:
//! see `Node::require_fresh`.

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::ops::secret::Secret;

/// Bytes of a tag.
pub const TAG_BYTES: usize = 16;

/// The key, ready for use.
#[derive(Clone)]
pub struct Authenticator {
    keyed: Hmac<Sha256>,
}

impl std::fmt::Debug for Authenticator {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("Authenticator")
    }
}

impl Authenticator {
    /// The seal of a secret.
    ///
    /// # Panics
    /// Never: HMAC takes a key of any length.
    pub fn new(secret: &Secret) -> Self {
        let keyed = Hmac::new_from_slice(secret.reveal().as_bytes()).expect("any length is a key");
        Self { keyed }
    }

    /// Appends the tag of these bytes at that place.
    pub fn append_tag(&self, place: &str, bytes: &mut Vec<u8>) {
        let tag = self.mac(place, bytes).finalize().into_bytes();
        bytes.extend_from_slice(&tag[..TAG_BYTES]);
    }

    /// The bytes before a valid tag; compares in constant time.
    pub fn verify<'a>(&self, place: &str, tagged: &'a [u8]) -> Option<&'a [u8]> {
        let (bytes, tag) = tagged.split_last_chunk::<TAG_BYTES>()?;
        self.mac(place, bytes).verify_truncated_left(tag).is_ok().then_some(bytes)
    }

    fn mac(&self, place: &str, bytes: &[u8]) -> Hmac<Sha256> {
        let mut mac = self.keyed.clone();
        // The length keeps place and bytes apart.
        mac.update(&(place.len() as u64).to_le_bytes());
        mac.update(place.as_bytes());
        mac.update(bytes);
        mac
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn authenticator(secret: &str) -> Authenticator {
        Authenticator::new(&Secret::new(secret))
    }

    #[test]
    fn a_tag_is_the_one_that_others_compute() {
        // Python: hmac.new(b"k" * 32, struct.pack("<Q", 5) + b"place" + b"bytes", "sha256").digest()[:16]
        let mut bytes = b"bytes".to_vec();
        authenticator(&"k".repeat(32)).append_tag("place", &mut bytes);
        assert_eq!(
            bytes[5..],
            [0x92, 0x6f, 0x14, 0x79, 0xd2, 0xd7, 0xbc, 0xcb, 0x68, 0xf5, 0x80, 0x9b, 0x63, 0xdc, 0xb4, 0x81]
        );
    }

    proptest! {
        #[test]
        fn only_the_same_bytes_at_the_same_place_by_the_same_secret_are_opened(
            bytes in proptest::collection::vec(any::<u8>(), 0..60), at: proptest::sample::Index, flip in 1u8..,
        ) {
            let (own, other) = (authenticator("one secret of all nodes, 32 bytes"), authenticator("another secret of others, 32 byte"));
            let mut tagged = bytes.clone();
            own.append_tag("pixi:main:all", &mut tagged);
            prop_assert_eq!(own.verify("pixi:main:all", &tagged), Some(&*bytes));
            prop_assert_eq!(own.verify("pixi:main:region:1", &tagged), None);
            prop_assert_eq!(own.verify("pixi:other:all", &tagged), None);
            prop_assert_eq!(other.verify("pixi:main:all", &tagged), None);
            prop_assert_eq!(own.verify("pixi:main:all", &bytes), None);
            let at = at.index(tagged.len());
            tagged[at] ^= flip;
            prop_assert_eq!(own.verify("pixi:main:all", &tagged), None);
        }
    }
}
