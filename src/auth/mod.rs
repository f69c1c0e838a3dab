//! Authentication: a handshake needs a JSON Web Token (RFC 7519) that the site's login has signed.
//!
//! * [`token`]: the token of a handshake: a bearer header, a query parameter or a cookie.
//! * [`keys`]: the keys that verify signatures, from a JSON Web Key Set (RFC 7517).
//! * [`claims`]: validity, audience and subject.
//! * [`provider`]: the three signature algorithms.
//! * [`account`]: the account of a player, which is the subject of its token.
//!
//! [`Policy::inspect`] makes the cheap checks. [`Unverified::verify`] checks the signature, which costs far more, so the
//! caller limits its rate first. Nothing is trusted before.
//!
//! Pure: no files and no clock. No type here prints a token.

pub mod account;
mod claims;
pub mod keys;
mod provider;
#[cfg(test)]
mod tests;
mod token;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

pub use account::{Account, AccountHash};
use claims::Claims;
use keys::Key;
pub use keys::KeySet;
pub use token::Credentials;

/// Longest token of a handshake, in bytes: what browsers store in one cookie. A longer one is refused before it is decoded.
pub const TOKEN_BYTES_MAX: usize = 4_096;

/// Longest account, in bytes. A token with a longer subject is refused.
pub const ACCOUNT_BYTES_MAX: usize = 255;

/// Largest number of keys. A file with more is an error.
pub const KEYS_MAX: usize = 64;

/// Largest file of keys, in bytes. A larger one is an error.
pub const KEYS_FILE_BYTES_MAX: u64 = 64 * 1024;

/// Shortest secret of HS256, in bytes (RFC 7518, section 3.2). A shorter one is an error.
pub const SECRET_BYTES_MIN: usize = 32;

/// Longest `AUTH_COOKIE`, in bytes. A longer one is a configuration error.
pub const COOKIE_BYTES_MAX: usize = 64;

/// Longest `AUTH_AUDIENCE`, in bytes. A longer one is a configuration error.
pub const AUDIENCE_BYTES_MAX: usize = 256;

/// The clients that may join: the value of `AUTH`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Auth {
    /// Every client.
    None,
    /// A client with a signed token.
    Jwt,
}

impl Auth {
    /// Returns the value with this name, in lower case.
    pub fn named(name: &str) -> Option<Self> {
        [Self::None, Self::Jwt].into_iter().find(|auth| auth.to_string() == name)
    }
}

impl fmt::Display for Auth {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::None => "none",
            Self::Jwt => "jwt",
        })
    }
}

/// Why a handshake is refused. The caller responds with 401, and logs [`reason`](Self::reason).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Denied {
    /// The handshake has no token.
    Missing,
    /// The handshake has several tokens of one kind.
    Repeated,
    /// The token is longer than [`TOKEN_BYTES_MAX`].
    TooLong,
    /// The token is not three parts in base64url, or its claims have other types.
    Malformed,
    /// The header names no supported algorithm, or an extension.
    Header,
    /// No key has the token's key id and algorithm.
    Key,
    /// The signature does not match.
    Signature,
    /// The token has expired, or never expires.
    Expired,
    /// The token is not valid yet.
    NotYetValid,
    /// The token is for another audience.
    Audience,
    /// The subject is missing, empty, too long, or has control characters.
    Subject,
}

impl Denied {
    /// Returns the reason for the log.
    pub fn reason(self) -> &'static str {
        match self {
            Self::Missing => "no token",
            Self::Repeated => "several tokens of one kind",
            Self::TooLong => "the token is too long",
            Self::Malformed => "the token is malformed",
            Self::Header => "the token's header names no supported algorithm, or an extension",
            Self::Key => "no key has the token's kid and algorithm",
            Self::Signature => "the signature does not match",
            Self::Expired => "exp has passed, or is missing",
            Self::NotYetValid => "nbf is in the future",
            Self::Audience => "aud does not match AUTH_AUDIENCE",
            Self::Subject => "sub is missing or not a short line of text",
        }
    }
}

/// What a token must fulfil beside its signature.
#[derive(Clone, Copy, Debug)]
pub struct Policy<'a> {
    /// The expected audience; without one, a token that has an audience is refused (RFC 7519, section 4.1.3).
    pub audience: Option<&'a str>,
    /// Tolerance of `exp` and `nbf`, in seconds.
    pub leeway_s: u32,
}

/// A token whose signature is not verified yet.
pub struct Unverified<'a> {
    token: &'a str,
    key: Arc<Key>,
    account: Account,
}

impl fmt::Debug for Unverified<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Unverified").field("account", &self.account).finish_non_exhaustive()
    }
}

impl Policy<'_> {
    /// Makes all checks but that of the signature, at this time since 1970.
    ///
    /// # Errors
    /// See [`Denied`].
    pub fn inspect<'t>(
        &self,
        credentials: &Credentials<'t, '_>,
        keys: &KeySet,
        now: Duration,
    ) -> Result<Unverified<'t>, Denied> {
        let token = credentials.token()?;
        let key = keys.key_of(&jsonwebtoken::decode_header(token).map_err(|_| Denied::Header)?)?;
        let account = Claims::of(token)?.check(self, now)?;
        Ok(Unverified { token, key, account })
    }
}

impl Unverified<'_> {
    /// Returns the account that the token claims.
    pub fn claimed_account(&self) -> &Account {
        &self.account
    }

    /// Verifies the signature, and returns the account.
    ///
    /// # Errors
    /// [`Denied::Signature`].
    pub fn verify(self) -> Result<Account, Denied> {
        if self.key.verifies(self.token) { Ok(self.account) } else { Err(Denied::Signature) }
    }
}
