//! What the server answers beside the game: the handshake, health, metrics, files, and refusals.

mod admin;
mod dates;
mod encodings;
mod endings;
mod files;
mod folders;
mod handshake;
mod keepalive;
mod metrics;
mod options;
mod pages;
mod ranges;
mod requests;
mod site;
mod smuggling;
