//! The moment of an answer, as its `Date` field has it (RFC 9110, section 6.6.1).

use std::time::{Duration, UNIX_EPOCH};

use httpdate::HttpDate;

/// The last second that the format can express: its years have four digits.
const SECONDS_MAX: u64 = 253_402_300_799;

/// Characters of a date: `Sun, 06 Nov 1994 08:49:37 GMT`.
const TEXT_BYTES: usize = 29;

/// A second of the wall clock and its text, which many answers share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Date {
    /// The second.
    pub http_date: HttpDate,
    text: [u8; TEXT_BYTES],
}

impl Date {
    /// The second in which `seconds` have passed since the start of 1970.
    ///
    /// # Panics
    /// Never: every date has the same length.
    pub fn from_unix_s(seconds: u64) -> Self {
        let http_date = http_date(seconds);
        let text = http_date.to_string().into_bytes().try_into().expect("a date has 29 bytes");
        Self { http_date, text }
    }

    /// The value of the field.
    pub fn text(&self) -> &[u8] {
        &self.text
    }
}

/// The moment `seconds` after the start of 1970, or the last one that the format can express.
pub fn http_date(seconds: u64) -> HttpDate {
    HttpDate::from(UNIX_EPOCH + Duration::from_secs(seconds.min(SECONDS_MAX)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_date_has_the_form_of_the_rfc_and_an_end() {
        assert_eq!(Date::from_unix_s(784_111_777).text(), b"Sun, 06 Nov 1994 08:49:37 GMT");
        assert_eq!(Date::from_unix_s(0).text(), b"Thu, 01 Jan 1970 00:00:00 GMT");
        assert_eq!(Date::from_unix_s(u64::MAX).text(), b"Fri, 31 Dec 9999 23:59:59 GMT");
    }
}
