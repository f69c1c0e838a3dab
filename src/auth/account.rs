//! The account of a player: the subject of its token.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::ACCOUNT_BYTES_MAX;

/// The subject of a verified token. Shown to operators; players never see those of others.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Account {
    name: Arc<str>,
    hash: AccountHash,
}

/// The account as a saved session keeps it: the first half of the SHA-256 of the subject.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct AccountHash([u8; Self::BYTES]);

impl Account {
    /// Returns the account with this subject; `None` unless it is 1 to [`ACCOUNT_BYTES_MAX`] bytes without control characters.
    pub fn new(subject: &str) -> Option<Self> {
        let fits = !subject.is_empty() && subject.len() <= ACCOUNT_BYTES_MAX;
        let is_line = !subject.contains(char::is_control);
        (fits && is_line).then(|| Self { name: subject.into(), hash: AccountHash::of(subject) })
    }

    /// Returns the subject.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the hash of the subject.
    pub fn hash(&self) -> AccountHash {
        self.hash
    }
}

impl fmt::Display for Account {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.name)
    }
}

impl AccountHash {
    /// Size, in bytes.
    pub const BYTES: usize = 16;

    fn of(subject: &str) -> Self {
        let digest = Sha256::digest(subject.as_bytes());
        Self(*digest.first_chunk().expect("a digest has 32 bytes"))
    }

    /// Returns the hash with these bytes.
    pub fn from_bytes(bytes: [u8; Self::BYTES]) -> Self {
        Self(bytes)
    }

    /// Returns the bytes.
    pub fn to_bytes(self) -> [u8; Self::BYTES] {
        self.0
    }
}
