//! HTTP: the upgrade, `/health`, `/metrics`, static files, the server's own pages, and refused requests.
//!
//! - `handshake`, `requests`, `keepalive`, `options`, `dates`, `endings`: requests, connections and how they end
//! - `smuggling`: ambiguous and oversized heads
//! - `files`, `folders`, `ranges`, `encodings`, `site`: static files
//! - `pages`: the pages built into the server
//! - `metrics`, `admin`: the metrics and the admin listener

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
