//! Negotiation of the content coding: RFC 9110, section 12.5.3.

use super::quality::{QUALITY_MAX, parse_quality};
use crate::limits::HTTP_LIST_ITEMS_MAX;

/// A content coding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ContentCoding {
    /// Brotli, `br`.
    Brotli,
    /// `gzip`.
    Gzip,
}

impl ContentCoding {
    /// All codings, better compression first.
    pub const ALL: [Self; 2] = [Self::Brotli, Self::Gzip];

    /// Returns the value of `Content-Encoding`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Brotli => "br",
            Self::Gzip => "gzip",
        }
    }

    fn has_name(self, name: &str) -> bool {
        name.eq_ignore_ascii_case(self.name()) || self == Self::Gzip && name.eq_ignore_ascii_case("x-gzip")
    }
}

/// Chooses the available coding with the highest quality value. Returns `None` for the identity coding, which
/// is also the fallback if the client accepts nothing. Ties go to the earlier entry of [`ContentCoding::ALL`],
/// and last to the identity coding.
pub fn negotiate_coding(
    accept_encoding: Option<&str>,
    is_available: impl Fn(ContentCoding) -> bool,
) -> Option<ContentCoding> {
    let qualities = QualityValues::parse(accept_encoding?);
    let quality_of =
        |coding: ContentCoding| qualities.codings[coding as usize].or(qualities.others).unwrap_or(0);
    // An identity coding that is not listed is acceptable, but ranks below the listed codings.
    let identity = qualities.identity.or(qualities.others).unwrap_or(0);
    let mut best = None;
    let mut best_quality = 0;
    for coding in ContentCoding::ALL {
        let quality = quality_of(coding);
        if quality > best_quality && quality >= identity && is_available(coding) {
            (best, best_quality) = (Some(coding), quality);
        }
    }
    best
}

/// The quality values of an `Accept-Encoding` field, in thousandths.
#[derive(Default)]
struct QualityValues {
    codings: [Option<u16>; ContentCoding::ALL.len()],
    identity: Option<u16>,
    /// Value of `*`: all codings that are not listed.
    others: Option<u16>,
}

impl QualityValues {
    /// Parses a field. The last value of a repeated coding counts; entries with a malformed value are ignored.
    fn parse(accept_encoding: &str) -> Self {
        let mut qualities = Self::default();
        for entry in accept_encoding.split(',').take(HTTP_LIST_ITEMS_MAX) {
            let (name, parameter) = match entry.split_once(';') {
                Some((name, parameter)) => (name.trim_ascii(), Some(parameter.trim_ascii())),
                None => (entry.trim_ascii(), None),
            };
            let Some(quality) = parameter.map_or(Some(QUALITY_MAX), quality_parameter) else { continue };
            if let Some(coding) = ContentCoding::ALL.into_iter().find(|coding| coding.has_name(name)) {
                qualities.codings[coding as usize] = Some(quality);
            } else if name.eq_ignore_ascii_case("identity") {
                qualities.identity = Some(quality);
            } else if name == "*" {
                qualities.others = Some(quality);
            }
        }
        qualities
    }
}

/// Parses a parameter such as `q=0.5`.
fn quality_parameter(parameter: &str) -> Option<u16> {
    let (name, value) = parameter.split_once('=')?;
    name.eq_ignore_ascii_case("q").then(|| parse_quality(value))?
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn of_both(accept_encoding: &str) -> Option<ContentCoding> {
        negotiate_coding(Some(accept_encoding), |_| true)
    }

    #[test]
    fn the_coding_with_the_highest_quality_is_chosen() {
        use ContentCoding::{Brotli, Gzip};
        for (field, expected) in [
            ("gzip, deflate, br, zstd", Some(Brotli)),
            ("gzip, deflate", Some(Gzip)),
            ("GZIP", Some(Gzip)),
            ("x-gzip", Some(Gzip)),
            ("br;q=0.5, gzip;q=0.8", Some(Gzip)),
            ("br ; q=0.8,gzip;Q=0.800", Some(Brotli)),
            ("br;q=0, gzip", Some(Gzip)),
            ("br;q=0.000, gzip;q=0.", None),
            ("*", Some(Brotli)),
            ("*;q=0.1, br;q=0", Some(Gzip)),
            ("identity;q=0, gzip;q=0.001", Some(Gzip)),
            ("identity, gzip;q=0.5", None),
            ("identity;q=0.5, gzip;q=0.5", Some(Gzip)),
            ("*;q=1, gzip;q=0.5", Some(Brotli)),
            ("gzip;q=2", None),
            ("gzip;q=1.001", None),
            ("gzip;q=0.0001", None),
            ("gzip;level=9", None),
            ("deflate, zstd", None),
            ("identity;q=0", None),
            ("*;q=0", None),
            ("", None),
            (",;,=", None),
        ] {
            assert_eq!(of_both(field), expected, "{field}");
        }
        assert_eq!(negotiate_coding(None, |_| true), None, "no field means the identity coding");
    }

    #[test]
    fn only_the_first_entries_of_a_long_field_are_read() {
        let behind = |count| of_both(&(",".repeat(count) + "gzip"));
        assert_eq!(behind(HTTP_LIST_ITEMS_MAX - 1), Some(ContentCoding::Gzip));
        assert_eq!(behind(HTTP_LIST_ITEMS_MAX), None);
    }

    #[test]
    fn only_available_codings_are_chosen() {
        assert_eq!(
            negotiate_coding(Some("br, gzip"), |coding| coding == ContentCoding::Gzip),
            Some(ContentCoding::Gzip)
        );
        assert_eq!(negotiate_coding(Some("br"), |coding| coding == ContentCoding::Gzip), None);
        assert_eq!(negotiate_coding(Some("br, gzip"), |_| false), None);
    }

    proptest! {
        #[test]
        fn a_chosen_coding_is_named_by_the_field(field in "[a-z;=,. q01]{0,60}") {
            if let Some(coding) = of_both(&field) {
                prop_assert!(field.contains(coding.name()), "{field}");
            }
        }

        #[test]
        fn any_field_is_parsed_without_a_panic(field in ".*") {
            of_both(&field);
        }
    }
}
