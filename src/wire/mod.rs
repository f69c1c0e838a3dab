//! Encoding and decoding of the wire protocols, from bytes to values and back, without sockets or a clock.
//!
//! * [`forwarded`], [`proxy_protocol`]: client addresses reported by proxies.
//! * [`http`]: request heads, responses, the WebSocket handshake.
//! * [`websocket`]: framing. It unmasks whole messages itself; tungstenite, over memory, handles all other frames.
//! * [`message`]: the game messages inside the frames.
//!
//! This module has no notion of players; `server` translates messages into inputs of the world.

pub mod forwarded;
pub mod http;
pub mod message;
pub mod proxy_protocol;
pub mod websocket;
