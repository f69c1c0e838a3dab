//! Content negotiation for `/metrics`.

use crate::ops::metrics::Format;
use crate::wire::http::media_quality;

/// Returns the format that an `Accept` header prefers (RFC 9110, section 12.5.1). Ties are broken in the
/// order JSON, `OpenMetrics`, Prometheus. Browsers and curl therefore get JSON, as does a header that matches
/// no format. Version parameters are ignored: a client of an older version can read the current one.
pub(super) fn negotiate(accept: Option<&str>) -> Format {
    let accept = accept.unwrap_or_default();
    let json = media_quality(accept, "application", "json");
    let open_metrics = media_quality(accept, "application", "openmetrics-text");
    let plain = media_quality(accept, "text", "plain");
    if json >= open_metrics && json >= plain {
        Format::Json
    } else if open_metrics >= plain {
        Format::OpenMetrics
    } else {
        Format::Prometheus
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::HTTP_LIST_ITEMS_MAX;

    #[test]
    fn negotiates_the_format() {
        for (accept, format) in [
            ("", Format::Json),
            ("*/*", Format::Json),
            ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", Format::Json),
            ("application/json, text/plain, */*", Format::Json),
            ("text/*", Format::Prometheus),
            ("TEXT/*;q=0.1", Format::Prometheus),
            ("text/*;q=0.5, application/json;q=0.4", Format::Prometheus),
            ("text/*;q=0.5, application/json;q=0.5", Format::Json),
            ("text/*, */*;q=0.1", Format::Prometheus),
            ("*/*;q=0.1, text/*;q=0.2", Format::Prometheus),
            // The most specific range decides, regardless of the others.
            ("text/plain;q=0.1, text/*, application/json;q=0.2", Format::Json),
            ("*/*, application/json;q=0.2", Format::OpenMetrics),
            ("*/*, application/*;q=0.2", Format::Prometheus),
            ("*/*, application/json;q=0", Format::OpenMetrics),
            ("application/*", Format::Json),
            ("application/*, application/json;q=0.9", Format::OpenMetrics),
            ("text/html, text/*;q=0", Format::Json),
            ("text/*;q=0.001", Format::Prometheus),
            ("text/plain;q=1.001", Format::Json),
            ("text/plain;q=2", Format::Json),
            ("text/plain;q=0.0001", Format::Json),
            ("text/plain;q=nan", Format::Json),
            ("text/plain;q=-1", Format::Json),
            ("text/plain;q=", Format::Json),
            ("*/plain", Format::Json),
            ("text", Format::Json),
            ("text/plain;q=0", Format::Json),
            ("text/plain;q=x", Format::Json),
            ("application/json;q=0.1, text/plain", Format::Prometheus),
            ("Text/Plain; version=0.0.4; q=0.5", Format::Prometheus),
            ("application/openmetrics-text;q=0.2,text/plain;q=0.3", Format::Prometheus),
            ("application/openmetrics-text,text/plain", Format::OpenMetrics),
            (
                "application/openmetrics-text;version=1.0.0;q=0.5,application/openmetrics-text;version=0.0.1;q=0.4,\
                 text/plain;version=0.0.4;q=0.3,*/*;q=0.2",
                Format::OpenMetrics,
            ),
        ] {
            assert_eq!(negotiate(Some(accept)), format, "{accept}");
        }
        assert_eq!(negotiate(None), Format::Json);
    }

    #[test]
    fn ignores_ranges_past_the_list_limit() {
        for (before, format) in
            [(HTTP_LIST_ITEMS_MAX - 1, Format::Prometheus), (HTTP_LIST_ITEMS_MAX, Format::Json)]
        {
            let accept = ",".repeat(before) + "text/plain";
            assert_eq!(negotiate(Some(&accept)), format, "{before}");
        }
    }
}
