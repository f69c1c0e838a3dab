//! What a player shows when it comes back: 128 bits that nobody can guess, in a cookie.

use std::fmt;

/// The name of the cookie.
const COOKIE: &str = "pixi_resume";

/// Bits in hexadecimal digits.
const DIGITS: usize = 32;

/// Whoever shows it is taken for the player it was given to: it is never displayed, and never logged.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Ticket(u128);

impl Ticket {
    /// A ticket nobody has; `None` when the operating system has no random numbers to give.
    pub fn draw() -> Option<Self> {
        let mut bytes = [0; size_of::<u128>()];
        getrandom::fill(&mut bytes).ok()?;
        Some(Self::of(u128::from_ne_bytes(bytes)))
    }

    /// The ticket of this number.
    pub fn of(number: u128) -> Self {
        Self(number)
    }

    /// Its number.
    pub fn number(self) -> u128 {
        self.0
    }

    /// The first one in the value of a `Cookie` header.
    pub fn in_cookies(header: &str) -> Option<Self> {
        // Several headers have been joined with commas.
        header.split([';', ',']).find_map(|cookie| {
            let (name, value) = cookie.trim_ascii().split_once('=')?;
            let is_ours = name == COOKIE && value.len() == DIGITS;
            let is_hex = value.bytes().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f'));
            (is_ours && is_hex).then(|| u128::from_str_radix(value, 16).ok().map(Self))?
        })
    }

    /// The value of the `Set-Cookie` header that hands it out: for this endpoint alone, out of the reach of scripts, as long
    /// as the browser is open, and over `https` alone where the client speaks that.
    pub fn set_cookie(self, path: &str, is_https: bool) -> String {
        let secure = if is_https { "; Secure" } else { "" };
        format!("{COOKIE}={:0DIGITS$x}; Path={path}; HttpOnly; SameSite=Lax{secure}", self.0)
    }
}

impl fmt::Debug for Ticket {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Ticket")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cookie_handed_out_is_recognised() {
        for ticket in [Ticket::of(0), Ticket::of(u128::MAX), Ticket::draw().unwrap()] {
            let set = ticket.set_cookie("/ws", false);
            assert_eq!(ticket.set_cookie("/ws", true), format!("{set}; Secure"));
            let (cookie, attributes) = set.split_once("; ").unwrap();
            assert_eq!(attributes, "Path=/ws; HttpOnly; SameSite=Lax");
            assert_eq!(Ticket::in_cookies(cookie), Some(ticket));
            assert_eq!(Ticket::in_cookies(&format!("theme=dark; {cookie}")), Some(ticket));
            assert_eq!(Ticket::in_cookies(&format!("{COOKIE}=none,{cookie};a=b")), Some(ticket));
        }
    }

    #[test]
    fn anything_else_is_none() {
        let digits = "0123456789abcdef0123456789abcdef";
        for header in [
            "",
            ";;,=",
            "pixi_resume",
            "pixi_resume=",
            &format!("pixi_resume={digits}0"),
            &format!("pixi_resume={}", &digits[1..]),
            &format!("pixi_resume={}", digits.replace("01", "+1")),
            &format!("pixi_resume={}", digits.to_uppercase()),
            &format!("pixi_resume=\"{digits}\""),
            &format!("other={digits}"),
        ] {
            assert_eq!(Ticket::in_cookies(header), None, "{header}");
        }
    }

    #[test]
    fn no_two_are_alike_and_none_is_shown() {
        let (one, other) = (Ticket::draw().unwrap(), Ticket::draw().unwrap());
        assert_ne!(one, other);
        assert_eq!(format!("{one:?}"), "Ticket");
    }
}
