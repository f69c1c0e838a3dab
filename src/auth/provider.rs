//! The signature algorithms, by `RustCrypto`: HS256, ES256 and `EdDSA`.
//!
//! `jsonwebtoken` has its own provider over `RustCrypto`. It can't be used without RSA, whose implementation has an open
//! advisory (RUSTSEC-2023-0071). This provider verifies only, and has no other algorithms, so no header can select one.

use ed25519_dalek::{Signature as EdSignature, VerifyingKey as EdKey};
use hmac::{Hmac, KeyInit as _, Mac as _};
use jsonwebtoken::crypto::{CryptoProvider, JwtVerifier, KeyUtils};
use jsonwebtoken::errors::{Error, ErrorKind};
use jsonwebtoken::signature::{self, Verifier};
use jsonwebtoken::{Algorithm, AlgorithmFamily, DecodingKey};
use p256::ecdsa::{Signature as EcSignature, VerifyingKey as EcKey};
use sha2::Sha256;

static PROVIDER: CryptoProvider = CryptoProvider {
    signer_factory: |_, _| Err(ErrorKind::UnsupportedAlgorithm.into()),
    verifier_factory: |algorithm, key| verifier(*algorithm, key),
    key_utils: KeyUtils::new_unimplemented(),
};

/// Makes this the provider of the process. Later calls have no effect.
pub(super) fn install() {
    let _ = PROVIDER.install_default();
}

/// Returns the verifier of this algorithm with a key of its family.
///
/// # Errors
/// The algorithm is not supported, or the key is invalid.
pub(super) fn verifier(algorithm: Algorithm, key: &DecodingKey) -> Result<Box<dyn JwtVerifier>, Error> {
    let bytes = key.try_get_as_bytes()?;
    let invalid = || Error::from(ErrorKind::InvalidKeyFormat);
    match (algorithm, key.family()) {
        (Algorithm::HS256, AlgorithmFamily::Hmac) => {
            Ok(Box::new(Hs256(Hmac::new_from_slice(bytes).map_err(|_| invalid())?)))
        }
        (Algorithm::ES256, AlgorithmFamily::Ec) => {
            Ok(Box::new(Es256(EcKey::from_sec1_bytes(bytes).map_err(|_| invalid())?)))
        }
        (Algorithm::EdDSA, AlgorithmFamily::Ed) => {
            let bytes = bytes.try_into().map_err(|_| invalid())?;
            Ok(Box::new(Ed25519(EdKey::from_bytes(bytes).map_err(|_| invalid())?)))
        }
        _ => Err(ErrorKind::InvalidAlgorithm.into()),
    }
}

struct Hs256(Hmac<Sha256>);

impl Verifier<Vec<u8>> for Hs256 {
    fn verify(&self, message: &[u8], signature: &Vec<u8>) -> Result<(), signature::Error> {
        self.0.clone().chain_update(message).verify_slice(signature).map_err(|_| signature::Error::new())
    }
}

impl JwtVerifier for Hs256 {
    fn algorithm(&self) -> Algorithm {
        Algorithm::HS256
    }
}

struct Es256(EcKey);

impl Verifier<Vec<u8>> for Es256 {
    fn verify(&self, message: &[u8], signature: &Vec<u8>) -> Result<(), signature::Error> {
        self.0.verify(message, &EcSignature::from_slice(signature)?)
    }
}

impl JwtVerifier for Es256 {
    fn algorithm(&self) -> Algorithm {
        Algorithm::ES256
    }
}

struct Ed25519(EdKey);

impl Verifier<Vec<u8>> for Ed25519 {
    fn verify(&self, message: &[u8], signature: &Vec<u8>) -> Result<(), signature::Error> {
        self.0.verify_strict(message, &EdSignature::from_slice(signature)?)
    }
}

impl JwtVerifier for Ed25519 {
    fn algorithm(&self) -> Algorithm {
        Algorithm::EdDSA
    }
}
