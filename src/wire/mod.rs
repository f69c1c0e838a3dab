//! The wire, without sockets and without a clock: bytes in, values out, and back again.
//!
//! * [`http`]: request heads, responses, the WebSocket handshake.
//! * [`websocket`]: framing, through tungstenite over memory.
//! * [`message`]: the game messages inside the frames.
//!
//! Nothing here knows what a player is; `server` translates messages into inputs of the game.

pub mod http;
pub mod message;
pub mod websocket;
