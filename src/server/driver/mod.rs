//! The operating system's side of the server.

pub mod capacity;
pub mod health_check;
pub mod os;
pub mod socket;
