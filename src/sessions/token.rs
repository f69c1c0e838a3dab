//! What a player shows when it comes back: 128 bits that nobody can guess, in a cookie.

use std::fmt;

/// What the cookie's name begins with. A port follows: browsers keep cookies by host and not by port, and two servers of one
/// host would take each other's.
const COOKIE_PREFIX: &str = "pixi_resume_";

/// Bits in hexadecimal digits.
const DIGITS: usize = 32;

/// Whoever shows it is taken for the player it was given to: it is never displayed, and never logged.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct SessionToken(u128);

impl SessionToken {
    /// A token nobody has; `None` when the operating system has no random numbers to give.
    pub fn draw() -> Option<Self> {
        let mut bytes = [0; size_of::<u128>()];
        getrandom::fill(&mut bytes).ok()?;
        Some(Self::of(u128::from_ne_bytes(bytes)))
    }

    /// The token of this number.
    pub fn of(number: u128) -> Self {
        Self(number)
    }

    /// Its number.
    pub fn number(self) -> u128 {
        self.0
    }

    /// The first one in the value of a `Cookie` header, of those for the port that the client addressed.
    pub fn in_cookies(header: &str, port: u16) -> Option<Self> {
        let ours = cookie_name(port);
        // Several headers have been joined with commas.
        header.split([';', ',']).find_map(|cookie| {
            let (name, value) = cookie.trim_ascii().split_once('=')?;
            let is_ours = name == ours && value.len() == DIGITS;
            let is_hex = value.bytes().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f'));
            (is_ours && is_hex).then(|| u128::from_str_radix(value, 16).ok().map(Self))?
        })
    }

    /// The value of the `Set-Cookie` header that hands it out: for the port that the client addressed and what is below `path`,
    /// out of the reach of scripts, as long as the browser is open, and over `https` alone where the client speaks that.
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
    fn a_cookie_handed_out_is_recognised() {
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
    fn servers_of_one_host_keep_their_cookies_apart() {
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
    fn anything_else_is_none() {
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
    fn no_two_are_alike_and_none_is_shown() {
        let (one, other) = (SessionToken::draw().unwrap(), SessionToken::draw().unwrap());
        assert_ne!(one, other);
        assert_eq!(format!("{one:?}"), "SessionToken");
    }
}
