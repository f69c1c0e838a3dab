//! Authentication tags on bus messages and stored sessions, with `CLUSTER_SECRET`. Nodes drop untagged data.
//!
//! A tag is HMAC-SHA-256, truncated to 16 bytes, over the bytes and their place: a channel or a key, whose
//! names contain the world's name. A tagged message is therefore invalid in another region or world, and a
//! stored session under another token. The receiver handles replays: see `Node::require_fresh`.

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::ops::secret::Secret;

/// Bytes of a tag.
pub const TAG_BYTES: usize = 16;

/// Appends and verifies tags.
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
    /// Creates an authenticator from the secret.
    ///
    /// # Panics
    /// Never: HMAC takes a key of any length.
    pub fn new(secret: &Secret) -> Self {
        let keyed =
            Hmac::new_from_slice(secret.reveal().as_bytes()).expect("HMAC accepts a key of any length");
        Self { keyed }
    }

    /// Appends the tag of `bytes` for this channel or key.
    pub fn append_tag(&self, place: &str, bytes: &mut Vec<u8>) {
        let tag = self.mac(place, bytes).finalize().into_bytes();
        bytes.extend_from_slice(&tag[..TAG_BYTES]);
    }

    /// Returns the bytes before a tag that is valid for this channel or key. Compares in constant time.
    pub fn verify<'a>(&self, place: &str, tagged: &'a [u8]) -> Option<&'a [u8]> {
        let (bytes, tag) = tagged.split_last_chunk::<TAG_BYTES>()?;
        self.mac(place, bytes).verify_truncated_left(tag).is_ok().then_some(bytes)
    }

    fn mac(&self, place: &str, bytes: &[u8]) -> Hmac<Sha256> {
        let mut mac = self.keyed.clone();
        // The length separates the place from the bytes.
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
    fn tags_match_an_independent_implementation() {
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
        fn a_tag_is_valid_only_for_its_bytes_place_and_secret(
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
