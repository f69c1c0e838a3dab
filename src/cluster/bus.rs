//! The bus as the event loop uses it: bounded queues in both directions, and the state of the connection.

use std::collections::BTreeSet;
use std::fmt::Debug;

use super::Channel;
use super::link::{Command, Counters, LinkEvent};

/// A connection to the bus. No method blocks; the bus may lose messages.
pub trait Bus: Debug {
    /// Returns the address, without credentials, for logs.
    fn address(&self) -> &str;

    /// Returns the counters.
    fn counters(&self) -> &Counters;

    /// Whether commands and events pass.
    fn is_up(&self) -> bool;

    /// Returns the number of nodes that the bus counts on the common channel, this one included; 0 if unknown.
    fn subscribers(&self) -> u64;

    /// Returns the number of connections made so far. It changes whenever messages may have been lost.
    fn generation(&self) -> u64;

    /// Queues a command. Returns `false` if it was dropped at the bound.
    fn send(&self, command: Command) -> bool;

    /// Sets the channels to receive, from soon on.
    fn subscribe(&self, channels: BTreeSet<Channel>);

    /// Whether events wait; the next event after this call wakes the event loop.
    fn take_wakeup(&self) -> bool;

    /// Returns the next event, without blocking.
    fn next_event(&self) -> Option<LinkEvent>;
}
