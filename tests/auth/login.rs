//! A site's login: it signs tokens, and writes the file of keys.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use p256::ecdsa::signature::Signer as _;
use serde_json::{Value, json};
use sha2::Sha256;

use crate::support::{Settings, folder};

const SECRET: [u8; 32] = [7; 32];

/// Key id of the secret.
const SECRET_ID: &str = "secret";

/// Key id of the key pair of ES256.
const PAIR_ID: &str = "pair";

pub struct Login {
    pub file: PathBuf,
}

pub fn base64(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

pub fn now_s() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs()
}

fn pair() -> p256::ecdsa::SigningKey {
    p256::ecdsa::SigningKey::from_slice(&[9; 32]).expect("a valid scalar")
}

/// A secret in a key set.
pub fn secret(id: &str, secret: &[u8]) -> Value {
    json!({ "kty": "oct", "kid": id, "alg": "HS256", "k": base64(secret) })
}

impl Login {
    /// A login with a secret of HS256 and a key pair of ES256, whose file has mode 0600.
    pub fn new(name: &str) -> Login {
        let login = Login { file: folder(name).join("keys.json") };
        let point = pair().verifying_key().to_sec1_point(false);
        let [x, y] = [point.x(), point.y()].map(|side| base64(side.expect("a point")));
        let pair = json!({ "kty": "EC", "crv": "P-256", "kid": PAIR_ID, "x": x, "y": y });
        login.write(&json!({ "keys": [secret(SECRET_ID, &SECRET), pair] }).to_string());
        login
    }

    pub fn write(&self, text: &str) {
        fs::write(&self.file, text).expect("a file");
        fs::set_permissions(&self.file, Permissions::from_mode(0o600)).expect("its mode");
    }

    /// Settings of a server that trusts this login.
    pub fn settings(&self) -> Settings {
        let file = self.file.to_str().expect("UTF-8");
        Settings::new().set("AUTH", "jwt").set("AUTH_KEYS", file).set("LOG_LEVEL", "debug")
    }
}

/// The cookie of a user who has logged in.
pub fn cookie(user: &str) -> String {
    format!("pixi_auth={}", token(user))
}

/// A valid token of this user.
pub fn token(user: &str) -> String {
    sign(&json!({ "alg": "HS256", "kid": SECRET_ID }), &json!({ "sub": user, "exp": now_s() + 600 }))
}

/// A valid token with this key's signature by ES256.
pub fn token_of_pair(user: &str) -> String {
    sign(&json!({ "alg": "ES256", "kid": PAIR_ID }), &json!({ "sub": user, "exp": now_s() + 600 }))
}

/// Signs claims with the key of the algorithm in the header; none has an empty signature, and any other that of HS256.
pub fn sign(header: &Value, claims: &Value) -> String {
    let message = format!("{}.{}", base64(header.to_string()), base64(claims.to_string()));
    let signature = match header["alg"].as_str() {
        Some("ES256") => {
            let signature: p256::ecdsa::Signature = pair().sign(message.as_bytes());
            signature.to_bytes().to_vec()
        }
        Some("none") => Vec::new(),
        _ => hs256(&message, &SECRET),
    };
    format!("{message}.{}", base64(signature))
}

/// Signs a message with another secret.
pub fn hs256(message: &str, secret: &[u8]) -> Vec<u8> {
    let mac = Hmac::<Sha256>::new_from_slice(secret).expect("a key of any length");
    mac.chain_update(message).finalize().into_bytes().to_vec()
}
