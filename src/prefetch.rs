//! Memory called near the processor before it is needed.
//!
//! What ten thousand connections and viewers consist of lies far away at each visit, and each line that has to be waited
//! for costs as much as a hundred instructions. Whose turn comes next is known, though: its lines are called while another
//! is served. A call never waits and never fails, and on processors it is not written for it does nothing.

/// Bytes that come near together.
pub const LINE_BYTES: usize = 64;

/// Calls the line that a value begins in.
pub fn prefetch<T>(value: &T) {
    #[cfg(target_arch = "x86_64")]
    safe_arch::prefetch_t0(value);
    #[cfg(not(target_arch = "x86_64"))]
    let _ = value;
}

/// Calls every line of these values, none of which is longer than a line.
pub fn prefetch_all<T>(values: &[T]) {
    const { assert!(size_of::<T>() > 0 && size_of::<T>() <= LINE_BYTES) };
    values.iter().step_by(LINE_BYTES / size_of::<T>()).for_each(prefetch);
}
