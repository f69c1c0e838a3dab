//! What operators do with a server: look at it, read its log, and give it other settings and files while it runs.

mod artillery;
mod demo;
mod programs;
mod targets;
