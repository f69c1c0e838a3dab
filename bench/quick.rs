//! Criterion with measures so short that all benchmarks together take about a minute: good for finding what costs,
//! not for differences of a few percent.

use std::time::Duration;

use criterion::Criterion;

pub fn criterion() -> Criterion {
    Criterion::default()
        .sample_size(20)
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2))
        .configure_from_args()
}
