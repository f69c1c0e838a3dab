//! What of a representation a request asks for, by what its client has already: RFC 9110, sections 13 and 14.
//!
//! All work is linear in the fields, and stops at the first [`HTTP_LIST_ITEMS_MAX`] entries of a list. One range is answered at
//! most, so that no request gets more bytes than the representation has.

use std::num::NonZeroUsize;
use std::ops::Range;

use http_range_header::{RangeUnsatisfiableError, parse_range_header_with_max_ranges};
use httpdate::HttpDate;

use super::Method;
use crate::limits::HTTP_LIST_ITEMS_MAX;

/// Of a request for several ranges, which RFC 9110 section 14.2 lets a server ignore, all is sent.
const RANGES_MAX: NonZeroUsize = NonZeroUsize::MIN;

/// The fields of a request that [`Conditions::select`] judges; repeated ones are joined with commas.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Conditions {
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

/// What tells a representation from the ones before it.
#[derive(Clone, Copy, Debug)]
pub struct Validators<'a> {
    /// The value of `ETag`, which is strong.
    pub etag: &'a str,
    /// The value of `Last-Modified`, if there is one.
    pub modified: Option<HttpDate>,
}

/// What is sent of a representation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Selection {
    /// All of it: 200.
    Whole,
    /// These bytes: 206. Never empty.
    Part(Range<usize>),
    /// None of it, since the client has it: 304.
    NotModified,
    /// None of it, since it is not what the client expects: 412.
    Failed,
    /// None of it, since it has no byte of the range: 416.
    Unsatisfiable,
}

impl Conditions {
    /// Judges the fields in the order of RFC 9110, section 13.2.2, for a representation of `length` bytes.
    pub fn select(&self, method: Method, validators: Validators, length: usize) -> Selection {
        let Validators { etag, modified } = validators;
        let is_expected = match (&self.if_match, date(self.if_unmodified_since.as_deref()), modified) {
            (Some(tags), ..) => names(tags, |tag| tag == etag),
            (None, Some(since), Some(modified)) => modified <= since,
            (None, ..) => true,
        };
        if !is_expected {
            return Selection::Failed;
        }
        let is_known = match (&self.if_none_match, date(self.if_modified_since.as_deref()), modified) {
            (Some(tags), ..) => names(tags, |tag| tag.strip_prefix("W/").unwrap_or(tag) == etag),
            (None, Some(since), Some(modified)) => modified <= since,
            (None, ..) => false,
        };
        if is_known {
            return Selection::NotModified;
        }
        match &self.range {
            Some(range) if method == Method::Get && self.is_range_of(validators) => {
                select_range(range, length)
            }
            _ => Selection::Whole,
        }
    }

    /// Whether a range is one of this representation: `If-Range` names it, or is missing. A weak tag names none.
    fn is_range_of(&self, validators: Validators) -> bool {
        self.if_range.as_deref().is_none_or(|value| {
            value == validators.etag
                || date(Some(value)).is_some_and(|date| validators.modified == Some(date))
        })
    }
}

/// Whether the first entity tags of a list hold one of this kind, or stand for all. No tag of the server contains a comma.
fn names(tags: &str, is_this: impl Fn(&str) -> bool) -> bool {
    let mut tags = tags.split(',').take(HTTP_LIST_ITEMS_MAX).map(str::trim_ascii);
    tags.any(|tag| tag == "*" || is_this(tag))
}

/// The date of a field; a malformed one is ignored.
fn date(value: Option<&str>) -> Option<HttpDate> {
    value?.parse().ok()
}

fn select_range(range: &str, length: usize) -> Selection {
    // A malformed field, another unit and a second range are ignored.
    let Ok(ranges) = parse_range_header_with_max_ranges(range, RANGES_MAX) else { return Selection::Whole };
    match ranges.validate(length as u64).as_deref() {
        Ok([range]) => Selection::Part(*range.start() as usize..*range.end() as usize + 1),
        Err(RangeUnsatisfiableError::Unsatisfiable) => Selection::Unsatisfiable,
        Ok(_) | Err(_) => Selection::Whole,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{super::moment, *};

    const TAG: &str = "\"1-a\"";
    const MODIFIED: &str = "Sun, 06 Nov 1994 08:49:37 GMT";
    const EARLIER: &str = "Sun, 06 Nov 1994 08:49:36 GMT";
    const LATER: &str = "Sun, 06 Nov 1994 08:49:38 GMT";

    fn validators() -> Validators<'static> {
        Validators { etag: TAG, modified: Some(moment(784_111_777)) }
    }

    fn conditions(fields: &[(&str, &str)]) -> Conditions {
        let mut conditions = Conditions::default();
        for &(name, value) in fields {
            *match name {
                "if-match" => &mut conditions.if_match,
                "if-none-match" => &mut conditions.if_none_match,
                "if-modified-since" => &mut conditions.if_modified_since,
                "if-unmodified-since" => &mut conditions.if_unmodified_since,
                "if-range" => &mut conditions.if_range,
                _ => &mut conditions.range,
            } = Some(value.to_owned());
        }
        conditions
    }

    fn selected(fields: &[(&str, &str)]) -> Selection {
        conditions(fields).select(Method::Get, validators(), 100)
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
            assert_eq!(selected(&[("range", range)]), Selection::Part(expected), "{range}");
        }
    }

    #[test]
    fn a_range_beyond_the_end_is_unsatisfiable() {
        for range in ["bytes=100-", "bytes=100-200", "bytes=-0", "bytes=99999999999999999999-"] {
            assert_eq!(selected(&[("range", range)]), Selection::Unsatisfiable, "{range}");
        }
        let of_nothing = |range| conditions(&[("range", range)]).select(Method::Get, validators(), 0);
        assert_eq!(of_nothing("bytes=0-"), Selection::Unsatisfiable);
        assert_eq!(of_nothing("bytes=-5"), Selection::Whole, "the last bytes of none are none");
    }

    #[test]
    fn other_ranges_are_ignored() {
        for range in [
            "",
            "bytes",
            "bytes=",
            "bytes=-",
            "bytes=a-b",
            "bytes=5-1",
            "bytes=1",
            "items=0-1",
            "bytes=0-1;",
            "bytes=+1-2",
            "bytes=0-1,5-6",
            "bytes=0-0,0-0,0-0",
            "bytes=0-1,bytes=5-6",
            "bytes=--1",
            "bytes=0x1-2",
            "\u{fffd}",
        ] {
            assert_eq!(selected(&[("range", range)]), Selection::Whole, "{range}");
        }
        assert_eq!(
            conditions(&[("range", "bytes=0-0")]).select(Method::Head, validators(), 100),
            Selection::Whole
        );
    }

    #[test]
    fn if_range_takes_the_strong_tag_and_the_very_date() {
        let part = Selection::Part(0..10);
        for (value, expected) in [
            (TAG, &part),
            (MODIFIED, &part),
            ("Sunday, 06-Nov-94 08:49:37 GMT", &part),
            ("W/\"1-a\"", &Selection::Whole),
            ("\"other\"", &Selection::Whole),
            ("*", &Selection::Whole),
            (EARLIER, &Selection::Whole),
            (LATER, &Selection::Whole),
            ("yesterday", &Selection::Whole),
        ] {
            assert_eq!(&selected(&[("range", "bytes=0-9"), ("if-range", value)]), expected, "{value}");
        }
    }

    #[test]
    fn conditions_are_judged_in_their_order() {
        use Selection::{Failed, NotModified, Part, Whole};
        let cases: [(&[(&str, &str)], Selection); 16] = [
            (&[("if-match", TAG)], Whole),
            (&[("if-match", "\"x\", \"1-a\"")], Whole),
            (&[("if-match", "*")], Whole),
            (&[("if-match", "W/\"1-a\"")], Failed),
            (&[("if-match", "\"x\""), ("if-none-match", TAG)], Failed),
            (&[("if-unmodified-since", MODIFIED)], Whole),
            (&[("if-unmodified-since", EARLIER)], Failed),
            (&[("if-unmodified-since", "never")], Whole),
            (&[("if-match", TAG), ("if-unmodified-since", EARLIER)], Whole),
            (&[("if-none-match", "\"x\", W/\"1-a\"")], NotModified),
            (&[("if-modified-since", MODIFIED)], NotModified),
            (&[("if-modified-since", EARLIER)], Whole),
            (&[("if-modified-since", "never")], Whole),
            (&[("if-none-match", "\"x\""), ("if-modified-since", LATER)], Whole),
            (&[("if-none-match", TAG), ("range", "bytes=0-9")], NotModified),
            (&[("if-none-match", "\"x\""), ("range", "bytes=0-9")], Part(0..10)),
        ];
        for (fields, expected) in cases {
            assert_eq!(selected(fields), expected, "{fields:?}");
        }
    }

    #[test]
    fn only_the_first_tags_of_a_long_list_are_read() {
        for (before, known, expected) in [
            (HTTP_LIST_ITEMS_MAX - 1, Selection::NotModified, Selection::Whole),
            (HTTP_LIST_ITEMS_MAX, Selection::Whole, Selection::Failed),
        ] {
            let tags = ",".repeat(before) + TAG;
            assert_eq!(selected(&[("if-none-match", &tags)]), known, "{before}");
            assert_eq!(selected(&[("if-match", &tags)]), expected, "{before}");
        }
    }

    #[test]
    fn without_a_date_only_tags_count() {
        let undated = Validators { modified: None, ..validators() };
        for name in ["if-modified-since", "if-unmodified-since"] {
            assert_eq!(
                conditions(&[(name, EARLIER)]).select(Method::Get, undated, 100),
                Selection::Whole,
                "{name}"
            );
        }
        let dated = conditions(&[("range", "bytes=0-9"), ("if-range", MODIFIED)]);
        assert_eq!(dated.select(Method::Get, undated, 100), Selection::Whole);
    }

    proptest! {
        #[test]
        fn whatever_a_client_asks_for_is_in_the_body(
            range in prop_oneof![".*", "bytes=[-0-9, \t]{0,40}", "bytes=[0-9]{0,3}-[0-9]{0,3}"],
            others in prop::array::uniform5(prop::option::of(".*")),
            length in 0..300_usize,
        ) {
            let [if_match, if_none_match, if_modified_since, if_unmodified_since, if_range] = others;
            let conditions = Conditions {
                if_match, if_none_match, if_modified_since, if_unmodified_since, if_range, range: Some(range),
            };
            if let Selection::Part(part) = conditions.select(Method::Get, validators(), length) {
                prop_assert!(part.start < part.end && part.end <= length, "{part:?} of {length}");
            }
        }

        #[test]
        fn a_range_selects_what_its_numbers_say(start in 0..400_usize, end in 0..400_usize, length in 1..300_usize) {
            let expected = if start > end {
                Selection::Whole
            } else if start >= length {
                Selection::Unsatisfiable
            } else {
                Selection::Part(start..length.min(end + 1))
            };
            prop_assert_eq!(select_range(&format!("bytes={start}-{end}"), length), expected);
        }
    }
}
