//! The claims of a token, checked against the time and the audience.

use std::time::Duration;

use jsonwebtoken::dangerous::insecure_decode_claims;
use serde::Deserialize;

use super::{Account, Denied, Policy};

/// The registered claims (RFC 7519, section 4.1) that the server reads; it ignores all others. Dates are seconds since 1970,
/// possibly with a fraction.
#[derive(Deserialize)]
pub(super) struct Claims {
    sub: Option<String>,
    exp: Option<f64>,
    nbf: Option<f64>,
    aud: Option<Audience>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Audience {
    One(String),
    Several(Vec<String>),
}

impl Audience {
    fn includes(&self, name: &str) -> bool {
        match self {
            Self::One(one) => one == name,
            Self::Several(several) => several.iter().any(|one| one == name),
        }
    }
}

impl Claims {
    /// Decodes the claims of a token without verifying its signature.
    pub(super) fn of(token: &str) -> Result<Self, Denied> {
        // Verified by `Unverified::verify`, before anything is granted.
        insecure_decode_claims(token).map_err(|_| Denied::Malformed)
    }

    /// Checks the claims, and returns the account.
    pub(super) fn check(&self, policy: &Policy<'_>, now: Duration) -> Result<Account, Denied> {
        let (now_s, leeway_s) = (now.as_secs_f64(), f64::from(policy.leeway_s));
        if self.exp.is_none_or(|exp| now_s >= exp + leeway_s) {
            return Err(Denied::Expired);
        }
        if self.nbf.is_some_and(|nbf| nbf > now_s + leeway_s) {
            return Err(Denied::NotYetValid);
        }
        let is_ours = match (&self.aud, policy.audience) {
            (None, None) => true,
            (Some(audience), Some(name)) => audience.includes(name),
            (Some(_), None) | (None, Some(_)) => false,
        };
        if !is_ours {
            return Err(Denied::Audience);
        }
        self.sub.as_deref().and_then(Account::new).ok_or(Denied::Subject)
    }
}
