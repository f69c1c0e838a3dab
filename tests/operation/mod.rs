//! What operators do to a running server: read its log, and give it other settings and files.

mod log_lines;
mod reload;
