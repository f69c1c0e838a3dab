//! Which content coding of a representation a client gets: RFC 9110, section 12.5.3.

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
    /// Both, the one that packs better first.
    pub const ALL: [Self; 2] = [Self::Brotli, Self::Gzip];

    /// The value of `Content-Encoding`.
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

/// The coding that the client likes best of those that there are; `None` for the plain representation, also where the
/// client takes none at all. Of equals the earlier one of [`ContentCoding::ALL`] is chosen, and the plain one last.
pub fn negotiate_coding(
    accept_encoding: Option<&str>,
    is_available: impl Fn(ContentCoding) -> bool,
) -> Option<ContentCoding> {
    let qualities = QualityValues::parse(accept_encoding?);
    let quality_of =
        |coding: ContentCoding| qualities.codings[coding as usize].or(qualities.others).unwrap_or(0);
    // A client that does not speak of the plain representation takes it, but likes better what it speaks of.
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

/// The qualities that a field gives, in thousandths.
#[derive(Default)]
struct QualityValues {
    codings: [Option<u16>; ContentCoding::ALL.len()],
    identity: Option<u16>,
    /// Of what it does not name: `*`.
    others: Option<u16>,
}

impl QualityValues {
    /// Of a coding that is named twice the last quality counts. An entry with a malformed quality is ignored.
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

/// The quality of `q=0.5`.
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
    fn clients_get_the_coding_they_like_best() {
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
        assert_eq!(negotiate_coding(None, |_| true), None, "a client that does not ask gets the plain file");
    }

    #[test]
    fn only_the_first_entries_of_a_long_field_are_read() {
        let behind = |count| of_both(&(",".repeat(count) + "gzip"));
        assert_eq!(behind(HTTP_LIST_ITEMS_MAX - 1), Some(ContentCoding::Gzip));
        assert_eq!(behind(HTTP_LIST_ITEMS_MAX), None);
    }

    #[test]
    fn only_what_is_there_is_chosen() {
        assert_eq!(
            negotiate_coding(Some("br, gzip"), |coding| coding == ContentCoding::Gzip),
            Some(ContentCoding::Gzip)
        );
        assert_eq!(negotiate_coding(Some("br"), |coding| coding == ContentCoding::Gzip), None);
        assert_eq!(negotiate_coding(Some("br, gzip"), |_| false), None);
    }

    proptest! {
        #[test]
        fn no_field_brings_a_coding_that_it_does_not_name(field in "[a-z;=,. q01]{0,60}") {
            if let Some(coding) = of_both(&field) {
                prop_assert!(field.contains(coding.name()), "{field}");
            }
        }

        #[test]
        fn any_field_can_be_read(field in ".*") {
            of_both(&field);
        }
    }
}
