//! The built program against a server in this process: players, and hostile peers.

mod hostile;
mod players;
mod server;
