//! Secrets: a type that never shows its text, and the place where lines made of foreign words lose what is secret.
//!
//! A setting says in the table of settings which part of it is secret. [`register`] takes those secrets_in when the configuration is
//! read, and [`redact`] replaces them in every line that leaves the process: a Redis may repeat a password in its errors.

use std::borrow::Cow;
use std::fmt;
use std::sync::{PoisonError, RwLock};

/// What stands in the place of a secret.
pub const MASK: &str = "***";

/// Shortest secret that [`redact`] looks for, in bytes: a shorter one would mutilate every line and be guessed anyway.
const REDACTED_BYTES_MIN: usize = 4;

/// What [`redact`] looks for, the longest first, so that no secret hides a part of a longer one.
static REGISTERED: RwLock<Vec<Secret>> = RwLock::new(Vec::new());

/// A text that must not leave the process. It has no `Display`, and its `Debug` is [`MASK`].
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Takes a text over.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text, for the one use it has. It goes into no line, no error and no metric.
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
    /// What precedes the host of a URL.
    Password,
    /// All of it.
    Whole,
}

impl Secrecy {
    /// A valid value as it may be shown: [`MASK`] stands for what is secret.
    pub fn redacted(self, value: &str) -> Cow<'_, str> {
        match self {
            Self::Whole if !value.is_empty() => Cow::Borrowed(MASK),
            Self::Password => without_credentials(value),
            Self::Whole | Self::Public => Cow::Borrowed(value),
        }
    }

    /// A value as a message about it may show it. Where a valid one may hold a secret, an invalid one shows nothing: its
    /// secret may stand anywhere.
    pub fn redacted_unvalidated(self, value: &str) -> Cow<'_, str> {
        match self {
            Self::Public => without_credentials(value),
            Self::Password | Self::Whole if value.is_empty() => Cow::Borrowed(value),
            Self::Password | Self::Whole => Cow::Borrowed(MASK),
        }
    }

    /// Whether this value holds a secret.
    pub fn is_present_in(self, value: &str) -> bool {
        match self {
            Self::Public => false,
            Self::Password => value.contains('@'),
            Self::Whole => !value.is_empty(),
        }
    }

    /// The secrets in a valid value, in every form in which a line may repeat them.
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

/// A URL without what precedes its host; any other text as it is.
pub fn without_credentials(text: &str) -> Cow<'_, str> {
    match user_and_host(text) {
        Some((scheme, _, host)) => Cow::Owned(format!("{scheme}://{MASK}@{host}")),
        None => Cow::Borrowed(text),
    }
}

/// Scheme, user and password, and the rest, of a URL that has them. The last `@` counts: a password may hold others.
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

/// From here on, [`redact`] replaces these, besides all before: a line may still speak of the value before a reload.
pub fn register(secrets: impl IntoIterator<Item = Secret>) {
    let mut hidden = REGISTERED.write().unwrap_or_else(PoisonError::into_inner);
    for secret in secrets {
        if secret.0.len() >= REDACTED_BYTES_MIN && !hidden.contains(&secret) {
            hidden.push(secret);
        }
    }
    hidden.sort_by_key(|secret| std::cmp::Reverse(secret.0.len()));
}

/// A text without the secrets that [`register`] was given.
pub fn redact(text: &str) -> Cow<'_, str> {
    let hidden = REGISTERED.read().unwrap_or_else(PoisonError::into_inner);
    redact_with(&hidden, text)
}

fn redact_with<'a>(hidden: &[Secret], text: &'a str) -> Cow<'a, str> {
    let mut redacted = Cow::Borrowed(text);
    for secret in hidden {
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
    fn a_secret_shows_nothing() {
        let text = format!("{:?} {:#?}", Secret::new("hunter2"), Some(Secret::new("hunter2")));
        assert!(!text.contains("hunter2") && text.contains(MASK), "{text}");
    }

    #[test]
    fn a_url_is_shown_without_its_password_and_anything_else_as_it_is() {
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
    fn an_invalid_value_that_may_hold_a_secret_is_not_shown_at_all() {
        for secrecy in [Secrecy::Password, Secrecy::Whole] {
            assert_eq!(secrecy.redacted_unvalidated("redis:/:hunter2"), MASK);
            assert_eq!(secrecy.redacted_unvalidated(""), "");
        }
    }

    #[test]
    fn the_parts_of_a_url_are_its_password_as_written_and_decoded() {
        let secrets_in = Secrecy::Password.secrets_in(URL);
        let texts: Vec<_> = secrets_in.iter().map(Secret::reveal).collect();
        assert_eq!(texts, ["p%40ss%zz@word", "p@ss%zz@word"]);
        assert_eq!(Secrecy::Password.secrets_in("redis://user@host"), []);
        assert_eq!(Secrecy::Public.secrets_in(URL), []);
    }

    #[test]
    fn every_form_is_scrubbed_from_a_line() {
        let hidden = Secrecy::Password.secrets_in("redis://:caf%C3%A9-hunter2@host");
        let line = "ERR unknown command 'AUTH', with args beginning with: 'café-hunter2' (caf%C3%A9-hunter2)";
        let redacted = redact_with(&hidden, line);
        assert_eq!(redacted, "ERR unknown command 'AUTH', with args beginning with: '***' (***)");
        assert!(matches!(redact_with(&hidden, "nothing secret"), Cow::Borrowed(_)));
    }
}
