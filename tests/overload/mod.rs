//! The server under overload: degraded and unaffected functions, and the absence of leaks.
//!
//! - `crowd`: three hundred clients on one server
//! - `churn`: thousands of reconnects
//! - `hostile`: slow, silent and flooding peers, and a suspended server
//! - `exhaustion`: no descriptors, no socket memory, no kernel queues left

mod churn;
mod crowd;
mod exhaustion;
mod hostile;
