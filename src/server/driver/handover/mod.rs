//! The handover of a running server to a new process, over the control socket.
//!
//! ```text
//! new -> old   one line: Request::Takeover with its terms
//! old -> new   one line: Answer; after Answer::Accepted, the tokens of the sockets, descriptors in batches, the length of
//!              the image, and the image
//! new -> old   one byte: committed; then the end of the stream, once the service manager knows the new process
//! ```
//!
//! The old process stops its loop before it sends, and reads no socket until the handover has failed. The new process reads
//! none before it has sent its byte. The byte decides: if the old process gives up first, it closes its input, so that the
//! byte can't be sent anymore ([`channel::Channel::await_commit`]). So exactly one of them goes on, and a failure at any
//! step before costs nothing but the time. All of it is bounded by `limits::HANDOVER_MS_MAX`.

mod channel;
mod give;
mod heap;
mod take;

use serde::{Deserialize, Serialize};

use crate::cluster::message::NodeId;
use crate::server::core::image::Terms;
pub(super) use channel::Channel;
pub(super) use give::{give, refuse};
pub(super) use heap::warm;
pub(super) use take::take_image;
pub use take::{Taken, take};

/// A request to the control socket.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "kebab-case")]
pub enum Request {
    /// Hand the game over.
    Takeover {
        /// Terms of the new process.
        terms: Terms,
    },
}

/// The answer to [`Request::Takeover`].
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Answer {
    /// The image follows.
    Accepted(Contents),
    /// Nothing follows; the old process goes on.
    Refused {
        /// The reason, for the operator.
        reason: String,
    },
}

/// What follows [`Answer::Accepted`].
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Contents {
    /// Whether an admin listener follows the public one.
    has_admin: bool,
    /// Sockets of connections, behind the listeners.
    sockets: usize,
    /// This node's id in the cluster.
    node: Option<NodeId>,
    /// Time at which the old process stopped its loop, in nanoseconds of the monotonic clock.
    stopped_ns: u64,
}
