//! What operators do with a server: look at it, read its log, and give it other settings and files while it runs.

mod artillery;
mod demo;
mod install;
mod installed_modes;
mod log_lines;
mod package;
mod programs;
mod reload;
mod targets;
