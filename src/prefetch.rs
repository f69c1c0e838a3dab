//! Software prefetch: loads cache lines before they are needed.
//!
//! The state of ten thousand connections and viewers does not fit into the cache, and each miss costs about as much as a
//! hundred instructions. The next connection or viewer is known in advance, so its lines are prefetched while the current
//! one is processed. A prefetch never stalls and never faults. On architectures other than `x86_64` it does nothing.

/// Size of a cache line, in bytes.
pub const LINE_BYTES: usize = 64;

/// Prefetches the cache line in which a value begins.
pub fn prefetch<T>(value: &T) {
    #[cfg(target_arch = "x86_64")]
    safe_arch::prefetch_t0(value);
    #[cfg(not(target_arch = "x86_64"))]
    let _ = value;
}

/// Prefetches every cache line of these values. No value is larger than a line.
pub fn prefetch_all<T>(values: &[T]) {
    const { assert!(size_of::<T>() > 0 && size_of::<T>() <= LINE_BYTES) };
    values.iter().step_by(LINE_BYTES / size_of::<T>()).for_each(prefetch);
}
