//! The wire, without sockets and without a clock: bytes in, values out, and back again.
//!
//! * [`forwarded`], [`proxy_protocol`]: what proxies say about whom they speak for.
//! * [`http`]: request heads, responses, the WebSocket handshake.
//! * [`websocket`]: framing, through tungstenite over memory.
//! * [`message`]: the game messages inside the frames.
//!
//! Nothing here knows what a player is; `server` translates messages into inputs of the game.

pub mod forwarded;
pub mod http;
pub mod message;
pub mod proxy_protocol;
pub mod websocket;
