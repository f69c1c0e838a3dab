//! The `Date` field of a response (RFC 9110, section 6.6.1).

use std::time::{Duration, UNIX_EPOCH};

use httpdate::HttpDate;

/// The last second of the format, whose years have four digits.
const SECONDS_MAX: u64 = 253_402_300_799;

/// Length of a date: `Sun, 06 Nov 1994 08:49:37 GMT`.
const TEXT_BYTES: usize = 29;

/// A second of the wall clock with its text, shared by all responses of that second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Date {
    /// The date.
    pub http_date: HttpDate,
    text: [u8; TEXT_BYTES],
}

impl Date {
    /// Creates the date `seconds` after the start of 1970.
    ///
    /// # Panics
    /// Never: every date has the same length.
    pub fn from_unix_s(seconds: u64) -> Self {
        let http_date = http_date(seconds);
        let text = http_date.to_string().into_bytes().try_into().expect("a date has 29 bytes");
        Self { http_date, text }
    }

    /// Returns the value of the `Date` field.
    pub fn text(&self) -> &[u8] {
        &self.text
    }
}

/// Returns the date `seconds` after the start of 1970, capped at the end of the format.
pub fn http_date(seconds: u64) -> HttpDate {
    HttpDate::from(UNIX_EPOCH + Duration::from_secs(seconds.min(SECONDS_MAX)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_have_the_format_of_the_rfc_and_are_capped() {
        assert_eq!(Date::from_unix_s(784_111_777).text(), b"Sun, 06 Nov 1994 08:49:37 GMT");
        assert_eq!(Date::from_unix_s(0).text(), b"Thu, 01 Jan 1970 00:00:00 GMT");
        assert_eq!(Date::from_unix_s(u64::MAX).text(), b"Fri, 31 Dec 9999 23:59:59 GMT");
    }
}
