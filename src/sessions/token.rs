//! Session token: 128 random bits in a cookie.

use serde::{Deserialize, Serialize};
use std::fmt;

/// Prefix of the cookie's name; the port follows. Browsers scope cookies by host and not by port, so two servers on one host
/// would otherwise overwrite each other's cookie.
const COOKIE_PREFIX: &str = "pixi_resume_";

/// Length of the cookie's value, in lowercase hexadecimal digits.
const DIGITS: usize = 32;

/// A bearer token for one session. It is never logged or displayed; `Debug` omits the value.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct SessionToken(u128);

impl SessionToken {
    /// Generates a random token; `None` if the operating system's random number generator fails.
    pub fn draw() -> Option<Self> {
        let mut bytes = [0; size_of::<u128>()];
        getrandom::fill(&mut bytes).ok()?;
        Some(Self::of(u128::from_ne_bytes(bytes)))
    }

    /// Returns the token with this value.
    pub fn of(number: u128) -> Self {
        Self(number)
    }

    /// Returns the value.
    pub fn number(self) -> u128 {
        self.0
    }

    /// Returns the first valid token in a `Cookie` header whose name matches the port that the client addressed.
    pub fn in_cookies(header: &str, port: u16) -> Option<Self> {
        let ours = cookie_name(port);
        // Repeated `Cookie` headers have been joined with commas.
        header.split([';', ',']).find_map(|cookie| {
            let (name, value) = cookie.trim_ascii().split_once('=')?;
            let is_ours = name == ours && value.len() == DIGITS;
            let is_hex = value.bytes().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f'));
            (is_ours && is_hex).then(|| u128::from_str_radix(value, 16).ok().map(Self))?
        })
    }

    /// Returns the value of the `Set-Cookie` header for the port that the client addressed and for `path`. The cookie is a session
    /// cookie, hidden from scripts (`HttpOnly`), and `Secure` if the client uses `https`.
    pub fn set_cookie(self, port: u16, path: &str, is_https: bool) -> String {
        let (name, secure) = (cookie_name(port), if is_https { "; Secure" } else { "" });
        format!("{name}={:0DIGITS$x}; Path={path}; HttpOnly; SameSite=Lax{secure}", self.0)
    }
}

fn cookie_name(port: u16) -> String {
    format!("{COOKIE_PREFIX}{port}")
}

impl fmt::Debug for SessionToken {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("SessionToken")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cookie_round_trips_through_set_cookie() {
        for token in [SessionToken::of(0), SessionToken::of(u128::MAX), SessionToken::draw().unwrap()] {
            let set = token.set_cookie(8108, "/", false);
            assert_eq!(token.set_cookie(8108, "/", true), format!("{set}; Secure"));
            let (cookie, attributes) = set.split_once("; ").unwrap();
            assert_eq!(attributes, "Path=/; HttpOnly; SameSite=Lax");
            assert!(cookie.starts_with("pixi_resume_8108="), "{cookie}");
            for header in
                [cookie, &format!("theme=dark; {cookie}"), &format!("pixi_resume_8108=none,{cookie};a=b")]
            {
                assert_eq!(SessionToken::in_cookies(header, 8108), Some(token), "{header}");
            }
        }
        assert!(SessionToken::of(1).set_cookie(80, "/game", false).contains("; Path=/game; HttpOnly"));
    }

    #[test]
    fn servers_on_one_host_use_different_cookies() {
        let cookie = |number, port| {
            let set = SessionToken::of(number).set_cookie(port, "/", false);
            set.split(';').next().unwrap().to_owned()
        };
        let jar = format!("{}; {}; {}", cookie(1, 8108), cookie(2, 8109), cookie(3, 810));
        for (port, expected) in [(8108, Some(1)), (8109, Some(2)), (810, Some(3)), (81, None), (8100, None)] {
            assert_eq!(SessionToken::in_cookies(&jar, port), expected.map(SessionToken::of), "{port}");
        }
    }

    #[test]
    fn rejects_other_names_and_malformed_values() {
        let digits = "0123456789abcdef0123456789abcdef";
        for header in [
            "",
            ";;,=",
            "pixi_resume_8108",
            "pixi_resume_8108=",
            &format!("pixi_resume_8108={digits}0"),
            &format!("pixi_resume_8108={}", &digits[1..]),
            &format!("pixi_resume_8108={}", digits.replace("01", "+1")),
            &format!("pixi_resume_8108={}", digits.to_uppercase()),
            &format!("pixi_resume_8108=\"{digits}\""),
            &format!("pixi_resume_08108={digits}"),
            &format!("Pixi_Resume_8108={digits}"),
            &format!("pixi_resume={digits}"),
            &format!("other={digits}"),
        ] {
            assert_eq!(SessionToken::in_cookies(header, 8108), None, "{header}");
        }
    }

    #[test]
    fn tokens_are_unique_and_debug_hides_them() {
        let (one, other) = (SessionToken::draw().unwrap(), SessionToken::draw().unwrap());
        assert_ne!(one, other);
        assert_eq!(format!("{one:?}"), "SessionToken");
    }
}
