//! Secrets: a type that never prints its text, and the redaction of secrets in output.
//!
//! The table of settings declares which part of a setting is secret. [`register`] collects those parts when the
//! configuration is read. [`redact`] replaces them in every line that leaves the process, since a Redis may repeat a
//! password in its errors.

use std::borrow::Cow;
use std::fmt;
use std::sync::{PoisonError, RwLock};

/// Text that replaces a secret in output.
pub const MASK: &str = "***";

/// Shortest secret that [`redact`] replaces, in bytes: a shorter one would match in unrelated text and is easily guessed.
const REDACTED_BYTES_MIN: usize = 4;

/// Secrets that [`redact`] replaces, the longest first, so that a secret within a longer one does not split it.
static REGISTERED: RwLock<Vec<Secret>> = RwLock::new(Vec::new());

/// Text that must not leave the process. It has no `Display`, and its `Debug` prints [`MASK`].
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Wraps a text.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// Returns the text for the purpose of the secret. Callers must not put it into a log line, an error or a metric.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(MASK)
    }
}

/// Which part of a setting is secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Secrecy {
    /// None.
    Public,
    /// The user and password of a URL.
    Password,
    /// The whole value.
    Whole,
}

impl Secrecy {
    /// Returns a valid value with its secret part replaced by [`MASK`].
    pub fn redacted(self, value: &str) -> Cow<'_, str> {
        match self {
            Self::Whole if !value.is_empty() => Cow::Borrowed(MASK),
            Self::Password => without_credentials(value),
            Self::Whole | Self::Public => Cow::Borrowed(value),
        }
    }

    /// Returns a possibly invalid value as an error message may print it. If a valid value could contain a secret, an
    /// invalid one is masked as a whole, since the secret could be anywhere in it.
    pub fn redacted_unvalidated(self, value: &str) -> Cow<'_, str> {
        match self {
            Self::Public => without_credentials(value),
            Self::Password | Self::Whole if value.is_empty() => Cow::Borrowed(value),
            Self::Password | Self::Whole => Cow::Borrowed(MASK),
        }
    }

    /// Returns whether this value contains a secret.
    pub fn is_present_in(self, value: &str) -> bool {
        match self {
            Self::Public => false,
            Self::Password => value.contains('@'),
            Self::Whole => !value.is_empty(),
        }
    }

    /// Returns the secrets in a valid value, in every form in which output may repeat them.
    pub fn secrets_in(self, value: &str) -> Vec<Secret> {
        match self {
            Self::Public => Vec::new(),
            Self::Whole if value.is_empty() => Vec::new(),
            Self::Whole => vec![Secret::new(value)],
            Self::Password => {
                let password = user_and_host(value).and_then(|(_, user, _)| Some(user.split_once(':')?.1));
                password.map_or_else(Vec::new, |text| vec![Secret::new(text), Secret(percent_decoded(text))])
            }
        }
    }
}

/// Masks user and password of a URL; returns any other text unchanged.
pub fn without_credentials(text: &str) -> Cow<'_, str> {
    match user_and_host(text) {
        Some((scheme, _, host)) => Cow::Owned(format!("{scheme}://{MASK}@{host}")),
        None => Cow::Borrowed(text),
    }
}

/// Splits a URL into scheme, credentials and the rest. The last `@` separates: a password may contain others.
fn user_and_host(text: &str) -> Option<(&str, &str, &str)> {
    let (scheme, rest) = text.split_once("://")?;
    let (user, host) = rest.rsplit_once('@')?;
    Some((scheme, user, host))
}

fn percent_decoded(text: &str) -> String {
    let mut decoded = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, behind)) = rest.split_first() {
        let digits =
            behind.get(..2).filter(|_| byte == b'%').and_then(|digits| std::str::from_utf8(digits).ok());
        if let Some(value) = digits.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            decoded.push(value);
            rest = &behind[2..];
        } else {
            decoded.push(byte);
            rest = behind;
        }
    }
    String::from_utf8_lossy(&decoded).into_owned()
}

/// Adds secrets for [`redact`]. Earlier ones stay: after a reload a line may still contain a previous value.
pub fn register(secrets: impl IntoIterator<Item = Secret>) {
    let mut registered = REGISTERED.write().unwrap_or_else(PoisonError::into_inner);
    for secret in secrets {
        if secret.0.len() >= REDACTED_BYTES_MIN && !registered.contains(&secret) {
            registered.push(secret);
        }
    }
    registered.sort_by_key(|secret| std::cmp::Reverse(secret.0.len()));
}

/// Replaces every registered secret in a text by [`MASK`].
pub fn redact(text: &str) -> Cow<'_, str> {
    let registered = REGISTERED.read().unwrap_or_else(PoisonError::into_inner);
    redact_with(&registered, text)
}

fn redact_with<'a>(secrets: &[Secret], text: &'a str) -> Cow<'a, str> {
    let mut redacted = Cow::Borrowed(text);
    for secret in secrets {
        if redacted.contains(&secret.0) {
            redacted = Cow::Owned(redacted.replace(&secret.0, MASK));
        }
    }
    redacted
}

#[cfg(test)]
mod tests {
    use super::*;

    const URL: &str = "redis://user:p%40ss%zz@word@host:1/0";

    #[test]
    fn debug_output_masks_a_secret() {
        let text = format!("{:?} {:#?}", Secret::new("hunter2"), Some(Secret::new("hunter2")));
        assert!(!text.contains("hunter2") && text.contains(MASK), "{text}");
    }

    #[test]
    fn only_the_credentials_of_a_url_are_masked() {
        for (value, shown) in [
            (URL, "redis://***@host:1/0"),
            ("redis://host", "redis://host"),
            ("/srv/a@b", "/srv/a@b"),
            ("", ""),
        ] {
            assert_eq!(Secrecy::Password.redacted(value), shown);
            assert_eq!(Secrecy::Public.redacted_unvalidated(value), shown);
        }
        assert_eq!(Secrecy::Whole.redacted("key"), MASK);
        assert_eq!(Secrecy::Whole.redacted(""), "");
    }

    #[test]
    fn an_invalid_value_that_may_contain_a_secret_is_masked_as_a_whole() {
        for secrecy in [Secrecy::Password, Secrecy::Whole] {
            assert_eq!(secrecy.redacted_unvalidated("redis:/:hunter2"), MASK);
            assert_eq!(secrecy.redacted_unvalidated(""), "");
        }
    }

    #[test]
    fn the_secrets_in_a_url_are_its_password_as_written_and_decoded() {
        let secrets = Secrecy::Password.secrets_in(URL);
        let texts: Vec<_> = secrets.iter().map(Secret::reveal).collect();
        assert_eq!(texts, ["p%40ss%zz@word", "p@ss%zz@word"]);
        assert_eq!(Secrecy::Password.secrets_in("redis://user@host"), []);
        assert_eq!(Secrecy::Public.secrets_in(URL), []);
    }

    #[test]
    fn every_form_of_a_secret_is_redacted() {
        let secrets = Secrecy::Password.secrets_in("redis://:caf%C3%A9-hunter2@host");
        let line = "ERR unknown command 'AUTH', with args beginning with: 'café-hunter2' (caf%C3%A9-hunter2)";
        let redacted = redact_with(&secrets, line);
        assert_eq!(redacted, "ERR unknown command 'AUTH', with args beginning with: '***' (***)");
        assert!(matches!(redact_with(&secrets, "nothing secret"), Cow::Borrowed(_)));
    }
}
