//! The token of a handshake.
//!
//! The first of these that is present counts: a bearer header, the query parameter `token`, the cookie. An explicit token
//! goes before the cookie, which browsers send without being asked. Several of one kind are refused: which of two cookies a
//! browser sends first is undefined, and a site on a subdomain may have added one of them.

use super::{Denied, TOKEN_BYTES_MAX};

/// Name of the query parameter.
const PARAMETER: &str = "token";

/// Scheme of the `Authorization` header, in any case.
const SCHEME: &str = "bearer";

/// The parts of a handshake that may have a token.
pub struct Credentials<'a, 'n> {
    /// The `Authorization` header.
    pub authorization: Option<&'a str>,
    /// The query of the target.
    pub query: Option<&'a str>,
    /// The `Cookie` header; repeated ones are joined with commas.
    pub cookies: Option<&'a str>,
    /// Name of the cookie.
    pub cookie_name: &'n str,
}

impl<'a> Credentials<'a, '_> {
    /// Returns the token, which has no other characters than base64url and dots.
    ///
    /// # Errors
    /// [`Denied::Missing`], [`Denied::Repeated`], [`Denied::TooLong`], or [`Denied::Malformed`].
    pub(super) fn token(&self) -> Result<&'a str, Denied> {
        let token = match self.bearer() {
            Some(token) => token,
            None => match self.parameter()? {
                Some(token) => token,
                None => self.cookie()?.ok_or(Denied::Missing)?,
            },
        };
        let is_digit = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
        if token.len() > TOKEN_BYTES_MAX {
            Err(Denied::TooLong)
        } else if !token.bytes().all(is_digit) || token.bytes().filter(|&byte| byte == b'.').count() != 2 {
            Err(Denied::Malformed)
        } else {
            Ok(token)
        }
    }

    /// Another scheme is for a proxy, and ignored.
    fn bearer(&self) -> Option<&'a str> {
        let (scheme, token) = self.authorization?.trim_ascii().split_once(' ')?;
        scheme.eq_ignore_ascii_case(SCHEME).then(|| token.trim_ascii())
    }

    fn parameter(&self) -> Result<Option<&'a str>, Denied> {
        only(self.query.into_iter().flat_map(|query| query.split('&')), PARAMETER)
    }

    fn cookie(&self) -> Result<Option<&'a str>, Denied> {
        only(self.cookies.into_iter().flat_map(|cookies| cookies.split([';', ','])), self.cookie_name)
    }
}

/// Returns the value of the only pair with this name. An empty value, as a logout leaves it, counts as none.
fn only<'a>(pairs: impl Iterator<Item = &'a str>, name: &str) -> Result<Option<&'a str>, Denied> {
    let mut values = pairs.filter_map(|pair| {
        let (found, value) = pair.trim_ascii().split_once('=')?;
        (found == name && !value.is_empty()).then_some(value)
    });
    let value = values.next();
    if values.next().is_some() { Err(Denied::Repeated) } else { Ok(value) }
}
