//! A cache of the rendered `/metrics`, by format: rendering is expensive, and scrapers need no finer resolution. Each
//! format is rendered at most [`METRICS_RENDERS_PER_S`] times a second; in between all requests get the same bytes.

use std::sync::Arc;

use crate::limits::METRICS_RENDERS_PER_S;
use crate::ops::metrics::Format;

/// Time in which the token bucket regains one rendering, in milliseconds.
const COST_MS: u64 = 1_000 / METRICS_RENDERS_PER_S;

#[derive(Debug, Default)]
struct CachedBody {
    body: Option<Arc<[u8]>>,
    /// Time at which the token bucket is full again, in milliseconds of the loop's clock.
    full_at_ms: u64,
}

/// The last rendering of each format, and its token bucket.
#[derive(Debug, Default)]
pub(super) struct MetricsCache {
    by_format: [CachedBody; 3],
}

impl MetricsCache {
    /// Returns the response body: rendered now if the token bucket allows it, else the last rendering.
    pub fn body(&mut self, format: Format, now_ms: u64, render: impl FnOnce() -> String) -> Arc<[u8]> {
        let cached = &mut self.by_format[format as usize];
        let full_at_ms = cached.full_at_ms.max(now_ms);
        if let Some(body) = &cached.body
            && full_at_ms - now_ms > (METRICS_RENDERS_PER_S - 1) * COST_MS
        {
            return Arc::clone(body);
        }
        let body: Arc<[u8]> = render().into_bytes().into();
        *cached = CachedBody { body: Some(Arc::clone(&body)), full_at_ms: full_at_ms + COST_MS };
        body
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_of_requests_costs_a_few_renderings_a_second() {
        let (mut cache, mut rendered) = (MetricsCache::default(), 0);
        for now_ms in 0..10_000 {
            for _ in 0..10 {
                cache.body(Format::Json, now_ms, || {
                    rendered += 1;
                    String::new()
                });
            }
        }
        let most = METRICS_RENDERS_PER_S * 10 + METRICS_RENDERS_PER_S;
        assert!((METRICS_RENDERS_PER_S * 10..=most).contains(&rendered), "{rendered}");
    }

    #[test]
    fn formats_are_cached_separately() {
        let mut cache = MetricsCache::default();
        let render = |text: &'static str| move || text.to_owned();
        for _ in 0..METRICS_RENDERS_PER_S {
            cache.body(Format::Json, 0, render("old"));
        }
        assert_eq!(&*cache.body(Format::Json, 0, render("new")), b"old");
        assert_eq!(&*cache.body(Format::Prometheus, 0, render("text")), b"text");
        assert_eq!(&*cache.body(Format::Json, COST_MS, render("new")), b"new");
    }
}
