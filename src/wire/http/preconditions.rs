//! Conditional and range requests: RFC 9110, sections 13 and 14.
//!
//! Work is linear in the fields and stops after [`HTTP_LIST_ITEMS_MAX`] entries of a list. A response contains
//! at most one range, so it never exceeds the size of the representation.

use std::num::NonZeroUsize;
use std::ops::Range;

use http_range_header::{RangeUnsatisfiableError, parse_range_header_with_max_ranges};
use httpdate::HttpDate;

use super::Method;
use crate::limits::HTTP_LIST_ITEMS_MAX;

/// A request for several ranges gets the full representation, as RFC 9110 section 14.2 allows.
const RANGES_MAX: NonZeroUsize = NonZeroUsize::MIN;

/// The fields that [`Preconditions::evaluate`] reads; repeated ones are joined with commas.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Preconditions {
    /// The `If-Match` header.
    pub if_match: Option<String>,
    /// The `If-None-Match` header.
    pub if_none_match: Option<String>,
    /// The `If-Modified-Since` header.
    pub if_modified_since: Option<String>,
    /// The `If-Unmodified-Since` header.
    pub if_unmodified_since: Option<String>,
    /// The `If-Range` header.
    pub if_range: Option<String>,
    /// The `Range` header.
    pub range: Option<String>,
}

/// The validators of a representation.
#[derive(Clone, Copy, Debug)]
pub struct Validators<'a> {
    /// The value of `ETag`; a strong validator.
    pub etag: &'a str,
    /// The value of `Last-Modified`, if known.
    pub modified: Option<HttpDate>,
}

/// The part of a representation to send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Selection {
    /// All bytes: 200.
    Full,
    /// These bytes: 206. Never empty.
    Partial(Range<usize>),
    /// Nothing, since the client's copy is current: 304.
    NotModified,
    /// Nothing, since a precondition failed: 412.
    PreconditionFailed,
    /// Nothing, since the range is beyond the end: 416.
    RangeNotSatisfiable,
}

impl Preconditions {
    /// Evaluates the fields in the order of RFC 9110, section 13.2.2, for a representation of `length` bytes.
    pub fn evaluate(&self, method: Method, validators: Validators, length: usize) -> Selection {
        let Validators { etag, modified } = validators;
        let is_match = match (&self.if_match, date(self.if_unmodified_since.as_deref()), modified) {
            (Some(tags), ..) => any_tag(tags, |tag| tag == etag),
            (None, Some(since), Some(modified)) => modified <= since,
            (None, ..) => true,
        };
        if !is_match {
            return Selection::PreconditionFailed;
        }
        let is_unmodified = match (&self.if_none_match, date(self.if_modified_since.as_deref()), modified) {
            (Some(tags), ..) => any_tag(tags, |tag| tag.strip_prefix("W/").unwrap_or(tag) == etag),
            (None, Some(since), Some(modified)) => modified <= since,
            (None, ..) => false,
        };
        if is_unmodified {
            return Selection::NotModified;
        }
        match &self.range {
            Some(range) if method == Method::Get && self.if_range_matches(validators) => {
                select_range(range, length)
            }
            _ => Selection::Full,
        }
    }

    /// Returns whether the range applies: `If-Range` is missing or matches. A weak tag never matches.
    fn if_range_matches(&self, validators: Validators) -> bool {
        self.if_range.as_deref().is_none_or(|value| {
            value == validators.etag
                || date(Some(value)).is_some_and(|date| validators.modified == Some(date))
        })
    }
}

/// Returns whether one of the first tags of a list is `*` or satisfies the predicate. Own tags contain no comma.
fn any_tag(tags: &str, is_this: impl Fn(&str) -> bool) -> bool {
    let mut tags = tags.split(',').take(HTTP_LIST_ITEMS_MAX).map(str::trim_ascii);
    tags.any(|tag| tag == "*" || is_this(tag))
}

/// Parses the date of a field; a malformed one is ignored.
fn date(value: Option<&str>) -> Option<HttpDate> {
    value?.parse().ok()
}

fn select_range(range: &str, length: usize) -> Selection {
    // Malformed fields, other units and multiple ranges are ignored.
    let Ok(ranges) = parse_range_header_with_max_ranges(range, RANGES_MAX) else { return Selection::Full };
    match ranges.validate(length as u64).as_deref() {
        Ok([range]) => Selection::Partial(*range.start() as usize..*range.end() as usize + 1),
        Err(RangeUnsatisfiableError::Unsatisfiable) => Selection::RangeNotSatisfiable,
        Ok(_) | Err(_) => Selection::Full,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{super::http_date, *};

    const TAG: &str = "\"1-a\"";
    const MODIFIED: &str = "Sun, 06 Nov 1994 08:49:37 GMT";
    const EARLIER: &str = "Sun, 06 Nov 1994 08:49:36 GMT";
    const LATER: &str = "Sun, 06 Nov 1994 08:49:38 GMT";

    fn validators() -> Validators<'static> {
        Validators { etag: TAG, modified: Some(http_date(784_111_777)) }
    }

    fn preconditions(fields: &[(&str, &str)]) -> Preconditions {
        let mut preconditions = Preconditions::default();
        for &(name, value) in fields {
            *match name {
                "if-match" => &mut preconditions.if_match,
                "if-none-match" => &mut preconditions.if_none_match,
                "if-modified-since" => &mut preconditions.if_modified_since,
                "if-unmodified-since" => &mut preconditions.if_unmodified_since,
                "if-range" => &mut preconditions.if_range,
                _ => &mut preconditions.range,
            } = Some(value.to_owned());
        }
        preconditions
    }

    fn selected(fields: &[(&str, &str)]) -> Selection {
        preconditions(fields).evaluate(Method::Get, validators(), 100)
    }

    #[test]
    fn one_range_selects_its_bytes() {
        for (range, expected) in [
            ("bytes=0-0", 0..1),
            ("bytes=10-19", 10..20),
            ("bytes=99-", 99..100),
            ("bytes=90-1000", 90..100),
            ("bytes=-1", 99..100),
            ("bytes=-1000", 0..100),
            ("bytes=0-", 0..100),
            ("Bytes= 1-2", 1..3),
            ("bytes=0-18446744073709551616", 0..100),
        ] {
            assert_eq!(selected(&[("range", range)]), Selection::Partial(expected), "{range}");
        }
    }

    #[test]
    fn a_range_beyond_the_end_is_unsatisfiable() {
        for range in ["bytes=100-", "bytes=100-200", "bytes=-0", "bytes=99999999999999999999-"] {
            assert_eq!(selected(&[("range", range)]), Selection::RangeNotSatisfiable, "{range}");
        }
        let of_nothing = |range| preconditions(&[("range", range)]).evaluate(Method::Get, validators(), 0);
        assert_eq!(of_nothing("bytes=0-"), Selection::RangeNotSatisfiable);
        assert_eq!(of_nothing("bytes=-5"), Selection::Full, "a suffix range of an empty body");
    }

    #[test]
    fn other_ranges_are_ignored() {
        for range in [
            "", "bytes", "bytes=", "bytes=-", "bytes=a-b", "bytes=5-1", "bytes=1", "items=0-1", "bytes=0-1;",
            "bytes=+1-2", "bytes=0-1,5-6", "bytes=0-0,0-0,0-0", "bytes=0-1,bytes=5-6", "bytes=--1",
            "bytes=0x1-2", "\u{fffd}",
        ] {
            assert_eq!(selected(&[("range", range)]), Selection::Full, "{range}");
        }
        assert_eq!(
            preconditions(&[("range", "bytes=0-0")]).evaluate(Method::Head, validators(), 100),
            Selection::Full
        );
    }

    #[test]
    fn if_range_matches_the_strong_tag_and_the_exact_date() {
        let part = Selection::Partial(0..10);
        for (value, expected) in [
            (TAG, &part),
            (MODIFIED, &part),
            ("Sunday, 06-Nov-94 08:49:37 GMT", &part),
            ("W/\"1-a\"", &Selection::Full),
            ("\"other\"", &Selection::Full),
            ("*", &Selection::Full),
            (EARLIER, &Selection::Full),
            (LATER, &Selection::Full),
            ("yesterday", &Selection::Full),
        ] {
            assert_eq!(&selected(&[("range", "bytes=0-9"), ("if-range", value)]), expected, "{value}");
        }
    }

    #[test]
    fn preconditions_are_evaluated_in_order() {
        use Selection::{Full, NotModified, Partial, PreconditionFailed};
        let cases: [(&[(&str, &str)], Selection); 16] = [
            (&[("if-match", TAG)], Full),
            (&[("if-match", "\"x\", \"1-a\"")], Full),
            (&[("if-match", "*")], Full),
            (&[("if-match", "W/\"1-a\"")], PreconditionFailed),
            (&[("if-match", "\"x\""), ("if-none-match", TAG)], PreconditionFailed),
            (&[("if-unmodified-since", MODIFIED)], Full),
            (&[("if-unmodified-since", EARLIER)], PreconditionFailed),
            (&[("if-unmodified-since", "never")], Full),
            (&[("if-match", TAG), ("if-unmodified-since", EARLIER)], Full),
            (&[("if-none-match", "\"x\", W/\"1-a\"")], NotModified),
            (&[("if-modified-since", MODIFIED)], NotModified),
            (&[("if-modified-since", EARLIER)], Full),
            (&[("if-modified-since", "never")], Full),
            (&[("if-none-match", "\"x\""), ("if-modified-since", LATER)], Full),
            (&[("if-none-match", TAG), ("range", "bytes=0-9")], NotModified),
            (&[("if-none-match", "\"x\""), ("range", "bytes=0-9")], Partial(0..10)),
        ];
        for (fields, expected) in cases {
            assert_eq!(selected(fields), expected, "{fields:?}");
        }
    }

    #[test]
    fn only_the_first_tags_of_a_long_list_are_compared() {
        for (before, known, expected) in [
            (HTTP_LIST_ITEMS_MAX - 1, Selection::NotModified, Selection::Full),
            (HTTP_LIST_ITEMS_MAX, Selection::Full, Selection::PreconditionFailed),
        ] {
            let tags = ",".repeat(before) + TAG;
            assert_eq!(selected(&[("if-none-match", &tags)]), known, "{before}");
            assert_eq!(selected(&[("if-match", &tags)]), expected, "{before}");
        }
    }

    #[test]
    fn date_conditions_are_ignored_without_a_modification_date() {
        let undated = Validators { modified: None, ..validators() };
        for name in ["if-modified-since", "if-unmodified-since"] {
            assert_eq!(
                preconditions(&[(name, EARLIER)]).evaluate(Method::Get, undated, 100),
                Selection::Full,
                "{name}"
            );
        }
        let dated = preconditions(&[("range", "bytes=0-9"), ("if-range", MODIFIED)]);
        assert_eq!(dated.evaluate(Method::Get, undated, 100), Selection::Full);
    }

    proptest! {
        #[test]
        fn a_partial_selection_is_inside_the_body(
            range in prop_oneof![".*", "bytes=[-0-9, \t]{0,40}", "bytes=[0-9]{0,3}-[0-9]{0,3}"],
            others in prop::array::uniform5(prop::option::of(".*")),
            length in 0..300_usize,
        ) {
            let [if_match, if_none_match, if_modified_since, if_unmodified_since, if_range] = others;
            let preconditions = Preconditions {
                if_match, if_none_match, if_modified_since, if_unmodified_since, if_range, range: Some(range),
            };
            if let Selection::Partial(part) = preconditions.evaluate(Method::Get, validators(), length) {
                prop_assert!(part.start < part.end && part.end <= length, "{part:?} of {length}");
            }
        }

        #[test]
        fn a_range_selects_its_bytes(start in 0..400_usize, end in 0..400_usize, length in 1..300_usize) {
            let expected = if start > end {
                Selection::Full
            } else if start >= length {
                Selection::RangeNotSatisfiable
            } else {
                Selection::Partial(start..length.min(end + 1))
            };
            prop_assert_eq!(select_range(&format!("bytes={start}-{end}"), length), expected);
        }
    }
}
