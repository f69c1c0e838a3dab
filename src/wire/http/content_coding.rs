//! Which content coding of a representation a client gets: RFC 9110, section 12.5.3.

use super::quality::{WEIGHT_MAX, weight};
use crate::limits::HTTP_LIST_ITEMS_MAX;

/// A content coding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Coding {
    /// Brotli, `br`.
    Brotli,
    /// `gzip`.
    Gzip,
}

impl Coding {
    /// Both, the one that packs better first.
    pub const ALL: [Self; 2] = [Self::Brotli, Self::Gzip];

    /// The value of `Content-Encoding`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Brotli => "br",
            Self::Gzip => "gzip",
        }
    }

    fn is_named(self, name: &str) -> bool {
        name.eq_ignore_ascii_case(self.name()) || self == Self::Gzip && name.eq_ignore_ascii_case("x-gzip")
    }
}

/// The coding that the client likes best of those that there are; `None` for the plain representation, also where the
/// client takes none at all. Of equals the earlier one of [`Coding::ALL`] is chosen, and the plain one last.
pub fn choose_coding(accept_encoding: Option<&str>, is_there: impl Fn(Coding) -> bool) -> Option<Coding> {
    let weights = Weights::read(accept_encoding?);
    let of = |coding: Coding| weights.codings[coding as usize].or(weights.others).unwrap_or(0);
    // A client that does not speak of the plain representation takes it, but likes better what it speaks of.
    let plain = weights.identity.or(weights.others).unwrap_or(0);
    let mut best = None;
    let mut best_weight = 0;
    for coding in Coding::ALL {
        let weight = of(coding);
        if weight > best_weight && weight >= plain && is_there(coding) {
            (best, best_weight) = (Some(coding), weight);
        }
    }
    best
}

/// The weights that a field gives, in thousandths.
#[derive(Default)]
struct Weights {
    codings: [Option<u16>; Coding::ALL.len()],
    identity: Option<u16>,
    /// Of what it does not name: `*`.
    others: Option<u16>,
}

impl Weights {
    /// Of a coding that is named twice the last weight counts. An entry with a malformed weight is ignored.
    fn read(accept_encoding: &str) -> Self {
        let mut weights = Self::default();
        for entry in accept_encoding.split(',').take(HTTP_LIST_ITEMS_MAX) {
            let (name, parameter) = match entry.split_once(';') {
                Some((name, parameter)) => (name.trim_ascii(), Some(parameter.trim_ascii())),
                None => (entry.trim_ascii(), None),
            };
            let Some(weight) = parameter.map_or(Some(WEIGHT_MAX), read_weight) else { continue };
            if let Some(coding) = Coding::ALL.into_iter().find(|coding| coding.is_named(name)) {
                weights.codings[coding as usize] = Some(weight);
            } else if name.eq_ignore_ascii_case("identity") {
                weights.identity = Some(weight);
            } else if name == "*" {
                weights.others = Some(weight);
            }
        }
        weights
    }
}

/// The weight of `q=0.5`.
fn read_weight(parameter: &str) -> Option<u16> {
    let (name, value) = parameter.split_once('=')?;
    name.eq_ignore_ascii_case("q").then(|| weight(value))?
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn of_both(accept_encoding: &str) -> Option<Coding> {
        choose_coding(Some(accept_encoding), |_| true)
    }

    #[test]
    fn clients_get_the_coding_they_like_best() {
        use Coding::{Brotli, Gzip};
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
        assert_eq!(choose_coding(None, |_| true), None, "a client that does not ask gets the plain file");
    }

    #[test]
    fn only_the_first_entries_of_a_long_field_are_read() {
        let behind = |count| of_both(&(",".repeat(count) + "gzip"));
        assert_eq!(behind(HTTP_LIST_ITEMS_MAX - 1), Some(Coding::Gzip));
        assert_eq!(behind(HTTP_LIST_ITEMS_MAX), None);
    }

    #[test]
    fn only_what_is_there_is_chosen() {
        assert_eq!(choose_coding(Some("br, gzip"), |coding| coding == Coding::Gzip), Some(Coding::Gzip));
        assert_eq!(choose_coding(Some("br"), |coding| coding == Coding::Gzip), None);
        assert_eq!(choose_coding(Some("br, gzip"), |_| false), None);
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
