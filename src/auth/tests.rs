//! Hostile and valid tokens, and key sets.

use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::{Value, json};
use sha2::Sha256;

use super::*;

const NOW_S: u64 = 1_800_000_000;
const SECRET: [u8; 32] = [7; 32];

fn base64(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

fn es256() -> p256::ecdsa::SigningKey {
    p256::ecdsa::SigningKey::from_slice(&[9; 32]).unwrap()
}

fn ed25519() -> ed25519_dalek::SigningKey {
    ed25519_dalek::SigningKey::from_bytes(&[11; 32])
}

fn oct(id: &str, secret: &[u8]) -> Value {
    json!({ "kty": "oct", "kid": id, "alg": "HS256", "k": base64(secret) })
}

fn ec() -> Value {
    let point = es256().verifying_key().to_sec1_point(false);
    json!({ "kty": "EC", "crv": "P-256", "kid": "e", "x": base64(point.x().unwrap()), "y": base64(point.y().unwrap()) })
}

fn okp() -> Value {
    json!({ "kty": "OKP", "crv": "Ed25519", "kid": "d", "use": "sig", "x": base64(ed25519().verifying_key().as_bytes()) })
}

fn parse(keys: &[Value]) -> Result<keys::ParsedKeys, String> {
    KeySet::parse(json!({ "keys": keys }).to_string().as_bytes())
}

/// One key of each type.
fn all_keys() -> KeySet {
    parse(&[oct("h", &SECRET), ec(), okp()]).unwrap().keys
}

fn hs256(message: &str, secret: &[u8]) -> Vec<u8> {
    let mac = Hmac::<Sha256>::new_from_slice(secret).unwrap().chain_update(message);
    mac.finalize().into_bytes().to_vec()
}

fn sign(header: &Value, claims: &str) -> String {
    use ed25519_dalek::ed25519::signature::Signer as _;
    let message = format!("{}.{}", base64(header.to_string()), base64(claims));
    let signature = match header["alg"].as_str() {
        Some("ES256") => {
            let signature: p256::ecdsa::Signature = es256().sign(message.as_bytes());
            signature.to_bytes().to_vec()
        }
        Some("EdDSA") => ed25519().sign(message.as_bytes()).to_bytes().to_vec(),
        Some("none") => Vec::new(),
        _ => hs256(&message, &SECRET),
    };
    format!("{message}.{}", base64(signature))
}

fn header(alg: &str, id: &str) -> Value {
    json!({ "alg": alg, "kid": id, "typ": "JWT" })
}

fn claims() -> Value {
    json!({ "sub": "anna", "exp": NOW_S + 60 })
}

/// A valid token of HS256 with other claims.
fn with_claims(claims: &Value) -> String {
    sign(&header("HS256", "h"), &claims.to_string())
}

fn check_for(token: &str, keys: &KeySet, audience: Option<&str>) -> Result<String, Denied> {
    let authorization = format!("Bearer {token}");
    let credentials = Credentials {
        authorization: Some(&authorization),
        query: None,
        cookies: None,
        cookie_name: "pixi_auth",
    };
    let policy = Policy { audience, leeway_s: 30 };
    let unverified = policy.inspect(&credentials, keys, Duration::from_secs(NOW_S))?;
    assert!(!format!("{unverified:?}").contains(token.rsplit('.').next().unwrap()) || token.ends_with('.'));
    unverified.verify().map(|account| account.name().to_owned())
}

fn check(token: &str) -> Result<String, Denied> {
    check_for(token, &all_keys(), None)
}

#[test]
fn each_algorithm_verifies_its_own_signatures_only() {
    for (alg, id) in [("HS256", "h"), ("ES256", "e"), ("EdDSA", "d")] {
        let token = sign(&header(alg, id), &claims().to_string());
        assert_eq!(check(&token).as_deref(), Ok("anna"), "{alg}");
        let without_id = sign(&json!({ "alg": alg }), &claims().to_string());
        assert_eq!(check(&without_id).as_deref(), Ok("anna"), "the only key of {alg}");
        let (message, signature) = token.rsplit_once('.').unwrap();
        let mut bytes = URL_SAFE_NO_PAD.decode(signature).unwrap();
        bytes[5] ^= 1;
        for changed in [base64(&bytes), base64(&bytes[1..]), base64([0; 64]), base64([0; 32]), String::new()]
        {
            assert_eq!(check(&format!("{message}.{changed}")), Err(Denied::Signature), "{alg} {changed}");
        }
        let other = with_claims(&json!({ "sub": "bert", "exp": NOW_S + 60 }));
        let [head, end] = [token.split('.').next().unwrap(), signature];
        let swapped = format!("{head}.{}.{end}", other.split('.').nth(1).unwrap());
        assert_eq!(check(&swapped), Err(Denied::Signature), "{alg}: claims of another token");
    }
}

#[test]
fn a_header_selects_neither_another_algorithm_nor_another_key() {
    let claims = claims().to_string();
    for (denied, header) in [
        (Denied::Header, json!({ "alg": "none" })),
        (Denied::Header, json!({ "alg": "none", "kid": "h" })),
        (Denied::Header, json!({ "alg": "None", "kid": "h" })),
        (Denied::Header, json!({ "alg": "hs256", "kid": "h" })),
        (Denied::Header, json!({ "alg": "HS512", "kid": "h" })),
        (Denied::Header, json!({ "alg": "RS256", "kid": "h" })),
        (Denied::Header, json!({ "alg": 256, "kid": "h" })),
        (Denied::Header, json!({ "kid": "h" })),
        (Denied::Header, json!({ "alg": "HS256", "kid": "h", "crit": ["b64"], "b64": false })),
        (Denied::Header, json!({ "alg": "HS256", "kid": "h", "crit": ["exp"] })),
        (Denied::Header, json!([])),
        (Denied::Key, json!({ "alg": "HS256", "kid": "e" })),
        (Denied::Key, json!({ "alg": "HS256", "kid": "d" })),
        (Denied::Key, json!({ "alg": "ES256", "kid": "h" })),
        (Denied::Key, json!({ "alg": "HS256", "kid": "" })),
        (Denied::Key, json!({ "alg": "HS256", "kid": "../h" })),
        (Denied::Signature, json!({ "alg": "HS256", "kid": "h", "b64": false })),
    ] {
        assert_eq!(check(&sign(&header, &claims)), Err(denied), "{header}");
    }
    // The public key of ES256 as the secret of HS256.
    let point = es256().verifying_key().to_sec1_point(false);
    let message = format!("{}.{}", base64(header("HS256", "h").to_string()), base64(&claims));
    let forged = format!("{message}.{}", base64(hs256(&message, point.as_bytes())));
    assert_eq!(check(&forged), Err(Denied::Signature));
    // A key in the token itself.
    let own = json!({ "alg": "HS256", "kid": "h", "jwk": oct("h", &[1; 32]) });
    let message = format!("{}.{}", base64(own.to_string()), base64(&claims));
    let forged = format!("{message}.{}", base64(hs256(&message, &[1; 32])));
    assert_eq!(check(&forged), Err(Denied::Signature));
}

#[test]
fn without_a_kid_two_keys_of_an_algorithm_are_ambiguous() {
    let keys = parse(&[oct("old", &[1; 32]), oct("new", &SECRET)]).unwrap().keys;
    let claims = claims().to_string();
    assert_eq!(check_for(&sign(&json!({ "alg": "HS256" }), &claims), &keys, None), Err(Denied::Key));
    assert_eq!(check_for(&sign(&header("HS256", "new"), &claims), &keys, None).as_deref(), Ok("anna"));
    assert_eq!(check_for(&sign(&header("HS256", "old"), &claims), &keys, None), Err(Denied::Signature));
    assert_eq!(check_for(&with_claims(&self::claims()), &KeySet::default(), None), Err(Denied::Key));
}

#[test]
fn dates_are_checked_with_the_leeway() {
    let now = NOW_S as f64;
    for (claims, expected) in [
        (json!({ "sub": "anna", "exp": NOW_S - 29 }), Ok("anna")),
        (json!({ "sub": "anna", "exp": NOW_S - 30 }), Err(Denied::Expired)),
        (json!({ "sub": "anna", "exp": now - 29.5 }), Ok("anna")),
        (json!({ "sub": "anna", "exp": -1 }), Err(Denied::Expired)),
        (json!({ "sub": "anna", "exp": 0 }), Err(Denied::Expired)),
        (json!({ "sub": "anna" }), Err(Denied::Expired)),
        (json!({ "sub": "anna", "exp": null }), Err(Denied::Expired)),
        (json!({ "sub": "anna", "exp": 1e300 }), Ok("anna")),
        (json!({ "sub": "anna", "exp": (NOW_S + 9).to_string() }), Err(Denied::Malformed)),
        (json!({ "sub": "anna", "exp": [NOW_S] }), Err(Denied::Malformed)),
        (json!({ "sub": "anna", "exp": NOW_S + 60, "nbf": NOW_S + 30 }), Ok("anna")),
        (json!({ "sub": "anna", "exp": NOW_S + 60, "nbf": NOW_S + 31 }), Err(Denied::NotYetValid)),
        (json!({ "sub": "anna", "exp": NOW_S + 60, "nbf": "soon" }), Err(Denied::Malformed)),
    ] {
        assert_eq!(check(&with_claims(&claims)), expected.map(str::to_owned), "{claims}");
    }
}

#[test]
fn the_audience_must_match_if_either_side_names_one() {
    let claims = |audience: Value| json!({ "sub": "anna", "exp": NOW_S + 60, "aud": audience });
    let game = Some("game");
    for (claims, audience, is_valid) in [
        (claims(json!("game")), game, true),
        (claims(json!(["site", "game"])), game, true),
        (claims(json!("site")), game, false),
        (claims(json!(["site"])), game, false),
        (claims(json!([])), game, false),
        (claims(json!("GAME")), game, false),
        (self::claims(), game, false),
        (claims(json!("game")), None, false),
        (self::claims(), None, true),
    ] {
        let checked = check_for(&with_claims(&claims), &all_keys(), audience);
        assert_eq!(checked, if is_valid { Ok("anna".to_owned()) } else { Err(Denied::Audience) }, "{claims}");
    }
}

#[test]
fn the_subject_is_a_short_line_of_text() {
    let claims = |subject: Value| json!({ "sub": subject, "exp": NOW_S + 60 });
    for valid in ["a", "Zoë Ωmega", "auth0|507f1f77", &"x".repeat(ACCOUNT_BYTES_MAX)] {
        assert_eq!(check(&with_claims(&claims(json!(valid)))).as_deref(), Ok(valid));
    }
    for invalid in ["", "a\nb", "a\u{1b}[31m", "\0", "\u{85}", &"x".repeat(ACCOUNT_BYTES_MAX + 1)] {
        assert_eq!(check(&with_claims(&claims(json!(invalid)))), Err(Denied::Subject), "{invalid:?}");
    }
    assert_eq!(check(&with_claims(&json!({ "exp": NOW_S + 60 }))), Err(Denied::Subject));
    assert_eq!(check(&with_claims(&claims(json!(7)))), Err(Denied::Malformed));
}

#[test]
fn malformed_tokens_are_refused_before_any_signature() {
    let valid = with_claims(&claims());
    let parts: Vec<&str> = valid.split('.').collect();
    let [head, body, signature] = parts[..] else { panic!("three parts") };
    let mut deep = "[".repeat(1_000);
    write!(deep, "{}", "]".repeat(1_000)).unwrap();
    let deep = format!(r#"{{"sub":"anna","exp":9e9,"x":{deep}}}"#);
    for (denied, token) in [
        (Denied::Missing, String::new()),
        (Denied::Malformed, ".".to_owned()),
        (Denied::Malformed, "a.b.c.d".to_owned()),
        (Denied::Malformed, format!("{head}.{body}")),
        (Denied::Malformed, format!("{valid}.{signature}")),
        (Denied::Malformed, format!("{head}.{body}.{signature}=")),
        (Denied::Malformed, format!("\"{valid}\"")),
        (Denied::Malformed, valid.replace('.', "\u{fffd}")),
        (Denied::Malformed, format!("{valid}\u{fffd}")),
        (Denied::Malformed, format!("{head} {body} {signature}")),
        (Denied::Header, "..".to_owned()),
        (Denied::Header, format!(".{body}.{signature}")),
        (Denied::Header, format!("{}.{body}.{signature}", &head[1..])),
        (Denied::Header, format!("{}.{body}.{signature}", base64(b"\xff\xfe"))),
        (Denied::Malformed, format!("{head}..{signature}")),
        (Denied::Malformed, format!("{head}.{}.{signature}", &body[1..])),
        (Denied::Malformed, format!("{head}.{}.{signature}", base64(b"{\"sub\":\"\xff\"}"))),
        (Denied::Malformed, format!("{head}.{}.{signature}", base64("[]"))),
        (Denied::Malformed, format!("{head}.{}.{signature}", base64("null"))),
        (Denied::Malformed, sign(&header("HS256", "h"), r#"{"sub":"anna","sub":"bert","exp":9e9}"#)),
        (Denied::Malformed, sign(&header("HS256", "h"), r#"{"sub":"anna","exp":1,"exp":9e9}"#)),
        (Denied::TooLong, with_claims(&json!({ "sub": "anna", "exp": 9e9, "x": "y".repeat(4_000) }))),
        (Denied::TooLong, "a".repeat(TOKEN_BYTES_MAX + 1)),
    ] {
        assert_eq!(check(&token), Err(denied), "{token}");
    }
    let deep = sign(&header("HS256", "h"), &deep);
    assert_eq!(check(&deep).as_deref(), Ok("anna"), "other claims are skipped without recursion");
    for cut in 0..valid.len() {
        let denied = check(&valid[..cut]);
        assert!(denied.is_err(), "{cut} bytes: {denied:?}");
    }
}

#[test]
fn an_explicit_token_precedes_the_cookie_and_two_of_a_kind_are_refused() {
    let find = |authorization, query, cookies| {
        Credentials { authorization, query, cookies, cookie_name: "pixi_auth" }.token()
    };
    let cookies = Some("theme=dark; pixi_auth=c.c.c; pixi_auth2=x");
    let bearer = Some("Bearer a.a.a");
    assert_eq!(find(bearer, Some("token=b.b.b"), cookies), Ok("a.a.a"));
    assert_eq!(find(Some("bearer  a.a.a "), None, None), Ok("a.a.a"));
    assert_eq!(find(Some("Basic YTpi"), Some("a=1&token=b.b.b"), cookies), Ok("b.b.b"));
    assert_eq!(find(None, Some("tokens=x&xtoken=y"), cookies), Ok("c.c.c"));
    assert_eq!(find(None, Some("token="), cookies), Ok("c.c.c"), "an empty one counts as none");
    assert_eq!(find(None, None, Some("a=1,pixi_auth=c.c.c")), Ok("c.c.c"), "joined headers");
    for cookies in [None, Some(""), Some("pixi_auth"), Some("pixi_auth="), Some("Pixi_Auth=c.c.c")] {
        assert_eq!(find(None, None, cookies), Err(Denied::Missing), "{cookies:?}");
    }
    for repeated in ["pixi_auth=c.c.c; pixi_auth=d.d.d", "pixi_auth=c.c.c,pixi_auth=c.c.c"] {
        assert_eq!(find(None, None, Some(repeated)), Err(Denied::Repeated));
    }
    let many = "pixi_auth=c.c.c; ".repeat(900);
    assert_eq!(find(None, None, Some(&many)), Err(Denied::Repeated));
    assert_eq!(find(None, Some("token=b.b.b&token=b.b.b"), None), Err(Denied::Repeated));
    for malformed in ["Bearer a.a.a,Bearer a.a.a", "Bearer a.a.a b", "Bearer \u{fffd}.a.a"] {
        assert_eq!(find(Some(malformed), None, None), Err(Denied::Malformed));
    }
}

#[test]
fn a_key_set_is_refused_as_a_whole_or_ignores_what_it_can_not_use() {
    let parsed = parse(&[oct("h", &SECRET), ec(), okp()]).unwrap();
    assert_eq!((parsed.keys.len(), parsed.has_secret, parsed.notices), (3, true, vec![]));
    assert!(!parse(&[ec(), okp()]).unwrap().has_secret);

    let mut with_private = okp();
    with_private["d"] = json!("AAAA");
    let parsed = parse(&[with_private]).unwrap();
    assert!(parsed.has_secret && parsed.notices.concat().contains("private part"), "{parsed:?}");

    let rsa = json!({ "kty": "RSA", "kid": "r", "n": "AQAB", "e": "AQAB" });
    let encryption = json!({ "kty": "EC", "crv": "P-256", "use": "enc" });
    let hs512 = json!({ "kty": "oct", "alg": "HS512", "k": base64([1; 64]) });
    let parsed = parse(&[rsa.clone(), encryption, hs512, ec()]).unwrap();
    assert_eq!((parsed.keys.len(), parsed.notices.len()), (1, 3), "{:?}", parsed.notices);

    let short = oct("h", &[1; 31]);
    let mut off_curve = ec();
    off_curve["y"] = json!(base64([1; 32]));
    let mut long = okp();
    long["x"] = json!(base64([1; 33]));
    for (keys, why) in [
        (vec![], "no usable key"),
        (vec![rsa], "no usable key"),
        (vec![short], "key \"h\": k is too short"),
        (vec![off_curve], "key \"e\": it is no point"),
        (vec![long], "key \"d\": it is no point"),
        (vec![oct("h", &SECRET), oct("h", &[1; 32])], "another key has its kid"),
        (vec![json!({ "kty": "oct", "k": "!" })], "key number 1: its value is not base64url"),
        (vec![json!({ "kty": "oct" })], "k is missing"),
        (vec![json!({ "kty": "EC", "crv": "P-256", "x": "AA" })], "x or y is missing"),
        (vec![ec(); KEYS_MAX + 1], "more than 64 keys"),
        (vec![json!(7)], "not a JSON Web Key Set"),
    ] {
        let problem = parse(&keys).map(|parsed| parsed.notices).unwrap_err();
        assert!(problem.contains(why), "{problem}");
    }
    for text in ["", "{", "[]", "{\"keys\":{}}", "{\"keys\":[{}]}", "hunter2"] {
        let problem = KeySet::parse(text.as_bytes()).map(|parsed| parsed.notices).unwrap_err();
        assert!(problem.contains("not a JSON Web Key Set") && !problem.contains("hunter2"), "{problem}");
    }
}

#[test]
fn debug_output_has_no_secret() {
    let parsed = parse(&[oct("h", b"0123456789abcdef0123456789abcdef")]).unwrap();
    let text = format!("{parsed:?}");
    assert!(text.contains("\"h\""), "{text}");
    for hidden in ["0123456789abcdef", "48, 49, 50", &base64(b"0123456789abcdef0123456789abcdef")[..16]] {
        assert!(!text.contains(hidden), "{text}");
    }
}
