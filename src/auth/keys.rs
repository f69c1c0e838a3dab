//! The keys that verify tokens: a JSON Web Key Set (RFC 7517).
//!
//! The type of a key decides its algorithm: `oct` is HS256, `EC` on P-256 is ES256, `OKP` on Ed25519 is `EdDSA`. A token can't
//! choose another one, such as HS256 with a public key as its secret.

use std::sync::Arc;

use jsonwebtoken::jwk::{AlgorithmParameters, CommonParameters, Jwk, OctetKeyParameters};
use jsonwebtoken::{Algorithm, DecodingKey, Header, Validation, decode};
use serde::Deserialize;
use serde::de::IgnoredAny;

use super::{Denied, KEYS_MAX, SECRET_BYTES_MIN, provider};

/// The keys in use. An empty set verifies no token.
#[derive(Clone, Debug, Default)]
pub struct KeySet {
    keys: Vec<Arc<Key>>,
}

/// A key. `Debug` prints neither secret nor public bytes.
#[derive(Debug)]
pub(super) struct Key {
    id: Option<String>,
    algorithm: Algorithm,
    decoding: DecodingKey,
}

/// A parsed file.
#[derive(Debug)]
pub struct ParsedKeys {
    /// The keys.
    pub keys: KeySet,
    /// Whether one of them can sign tokens: the file must be readable by the server only.
    pub has_secret: bool,
    /// Keys that are ignored, and why, one a line.
    pub notices: Vec<String>,
}

#[derive(Deserialize)]
struct File {
    keys: Vec<FileKey>,
}

/// The members of a key that the server reads. None of them is printed.
#[derive(Deserialize)]
struct FileKey {
    kty: String,
    crv: Option<String>,
    alg: Option<String>,
    kid: Option<String>,
    #[serde(rename = "use")]
    purpose: Option<String>,
    k: Option<String>,
    x: Option<String>,
    y: Option<String>,
    /// The private part of a key pair.
    d: Option<IgnoredAny>,
}

impl KeySet {
    /// Parses a JSON Web Key Set. Keys of other types, algorithms or purposes are ignored, as the RFC demands.
    ///
    /// # Errors
    /// Returns one line if the file is no key set, a key is invalid, two keys are ambiguous, or no key is usable.
    pub fn parse(bytes: &[u8]) -> Result<ParsedKeys, String> {
        provider::install();
        // The message of a syntax error has a line and a column, and no text of the file.
        let file: File = serde_json::from_slice(bytes).map_err(|error| {
            format!("line {}, column {}: not a JSON Web Key Set", error.line(), error.column())
        })?;
        if file.keys.len() > KEYS_MAX {
            return Err(format!("more than {KEYS_MAX} keys"));
        }
        let mut parsed = ParsedKeys { keys: Self::default(), has_secret: false, notices: Vec::new() };
        for (index, key) in file.keys.into_iter().enumerate() {
            let name = key.name(index);
            if let Some(why) = key.why_ignored() {
                parsed.notices.push(format!("{name} is ignored: {why}"));
                continue;
            }
            if key.d.is_some() {
                parsed
                    .notices
                    .push(format!("{name} has its private part (d), which the server must not know"));
            }
            parsed.has_secret |= key.d.is_some() || key.k.is_some();
            let key = Key::new(key).map_err(|why| format!("{name}: {why}"))?;
            if parsed.keys.keys.iter().any(|other| other.is_alike(&key)) {
                return Err(format!("{name}: another key has its kid and algorithm"));
            }
            parsed.keys.keys.push(Arc::new(key));
        }
        if parsed.keys.keys.is_empty() {
            return Err("no usable key".to_owned());
        }
        Ok(parsed)
    }

    /// Returns the number of keys.
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// Whether there is no key.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// Returns the key for a token: that with its id, or without an id the only one with its algorithm.
    pub(super) fn key_of(&self, header: &Header) -> Result<Arc<Key>, Denied> {
        let is_supported = matches!(header.alg, Algorithm::HS256 | Algorithm::ES256 | Algorithm::EdDSA);
        if !is_supported || header.crit.is_some() {
            return Err(Denied::Header);
        }
        let mut fitting = self
            .keys
            .iter()
            .filter(|key| key.algorithm == header.alg && (header.kid.is_none() || key.id == header.kid));
        match (fitting.next(), fitting.next()) {
            (Some(key), None) => Ok(Arc::clone(key)),
            _ => Err(Denied::Key),
        }
    }
}

impl Key {
    fn new(key: FileKey) -> Result<Self, &'static str> {
        let FileKey { kty, kid: id, k, x, y, .. } = key;
        let (algorithm, decoding) = match (&*kty, k, x, y) {
            ("oct", Some(value), ..) => {
                let parameters = OctetKeyParameters { value, ..OctetKeyParameters::default() };
                let algorithm = AlgorithmParameters::OctetKey(parameters);
                let key = DecodingKey::from_jwk(&Jwk { common: CommonParameters::default(), algorithm });
                (Algorithm::HS256, key)
            }
            ("EC", _, Some(x), Some(y)) => (Algorithm::ES256, DecodingKey::from_ec_components(&x, &y)),
            ("OKP", _, Some(x), _) => (Algorithm::EdDSA, DecodingKey::from_ed_components(&x)),
            ("oct", ..) => return Err("k is missing"),
            ("EC", ..) => return Err("x or y is missing"),
            _ => return Err("x is missing"),
        };
        let decoding = decoding.map_err(|_| "its value is not base64url")?;
        let bytes = decoding.try_get_as_bytes().map_err(|_| "its value is invalid")?;
        if algorithm == Algorithm::HS256 && bytes.len() < SECRET_BYTES_MIN {
            return Err("k is too short: HS256 needs at least 32 random bytes");
        }
        provider::verifier(algorithm, &decoding).map_err(|_| "it is no point of its curve")?;
        Ok(Self { id, algorithm, decoding })
    }

    /// Whether a token could mean either key.
    fn is_alike(&self, other: &Self) -> bool {
        self.algorithm == other.algorithm && self.id == other.id
    }

    /// Verifies the signature of a token, its header included.
    pub(super) fn verifies(&self, token: &str) -> bool {
        // The claims are checked by `claims`, which gets the time passed in.
        let mut validation = Validation::new(self.algorithm);
        validation.required_spec_claims.clear();
        (validation.validate_exp, validation.validate_nbf, validation.validate_aud) = (false, false, false);
        decode::<IgnoredAny>(token, &self.decoding, &validation).is_ok()
    }
}

impl FileKey {
    /// Returns how messages name the key.
    fn name(&self, index: usize) -> String {
        match &self.kid {
            Some(id) => format!("key {id:?}"),
            None => format!("key number {}", index + 1),
        }
    }

    fn why_ignored(&self) -> Option<&'static str> {
        let algorithm = match (&*self.kty, self.crv.as_deref()) {
            ("oct", _) => "HS256",
            ("EC", Some("P-256")) => "ES256",
            ("OKP", Some("Ed25519")) => "EdDSA",
            _ => return Some("only oct, EC on P-256 and OKP on Ed25519 are supported"),
        };
        if self.purpose.as_deref().is_some_and(|purpose| purpose != "sig") {
            Some("its use is not sig")
        } else if self.alg.as_deref().is_some_and(|alg| alg != algorithm) {
            Some("its alg is not HS256, ES256 or EdDSA, or does not fit its type")
        } else {
            None
        }
    }
}
