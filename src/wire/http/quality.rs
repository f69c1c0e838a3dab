//! Quality values of content negotiation (RFC 9110, section 12.4.2), in thousandths.

use crate::limits::HTTP_LIST_ITEMS_MAX;

/// The default quality value.
pub(super) const QUALITY_MAX: u16 = 1_000;

/// Parses the value of `q`: from 0 to 1, with at most three decimal digits.
pub(super) fn parse_quality(q: &str) -> Option<u16> {
    let (whole, fraction) = q.split_once('.').unwrap_or((q, ""));
    let is_valid =
        matches!(whole, "0" | "1") && fraction.len() <= 3 && fraction.bytes().all(|b| b.is_ascii_digit());
    let number = format!("{whole}{fraction:0<3}").parse().ok().filter(|&number| number <= QUALITY_MAX);
    number.filter(|_| is_valid)
}

/// Returns the quality value of a media type in an `Accept` header (section 12.5.1). The most specific
/// matching range counts, and the highest value among equally specific ranges. Returns 0 without a match.
pub fn media_quality(accept: &str, kind: &str, subtype: &str) -> u16 {
    let fit = |range: &str| {
        let mut parts = range.split(';').map(str::trim);
        let (range_kind, range_subtype) = parts.next()?.split_once('/')?;
        let is_kind = range_kind.eq_ignore_ascii_case(kind);
        let specificity = match (range_kind, range_subtype) {
            ("*", "*") => 0,
            (_, "*") if is_kind => 1,
            _ if is_kind && range_subtype.eq_ignore_ascii_case(subtype) => 2,
            _ => return None,
        };
        let q = parts.find_map(|part| part.strip_prefix("q=").or(part.strip_prefix("Q=")));
        Some((specificity, q.map_or(Some(QUALITY_MAX), parse_quality)?))
    };
    accept.split(',').take(HTTP_LIST_ITEMS_MAX).filter_map(fit).max().map_or(0, |(_, quality)| quality)
}
