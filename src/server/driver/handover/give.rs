//! The old process: it sends everything, and waits for the new process to commit.

use std::io;
use std::os::fd::{AsFd as _, BorrowedFd};

use super::{Answer, Channel, Contents};
use crate::server::core::{Core, image};
use crate::server::driver::linux::Linux;
use crate::server::driver::os;

/// Hands the core over. The caller has stopped its loop, and goes on if this fails.
///
/// # Errors
/// The new process is gone, refuses, or is too slow; or memory does not suffice.
pub(in crate::server::driver) fn give(core: &Core<Linux>, channel: &mut Channel) -> io::Result<()> {
    let stopped_ns = os::monotonic_ns();
    let linux = core.system();
    let mut descriptors: Vec<BorrowedFd<'_>> = vec![linux.public.as_fd()];
    descriptors.extend(linux.admin.as_ref().map(|listener| listener.as_fd()));
    let listeners = descriptors.len();
    descriptors.extend(image::sockets(core).map(|socket| socket.as_fd()));
    let contents = Contents {
        has_admin: linux.admin.is_some(),
        sockets: descriptors.len() - listeners,
        node: image::node_id(core),
        stopped_ns,
    };
    channel.send_line(&Answer::Accepted(contents))?;
    channel.send_descriptors(&descriptors)?;
    // Made while the new process receives the descriptors.
    let image = image::make(core).map_err(|error| io::Error::other(error.to_string()))?;
    channel.send(&(image.len() as u64).to_le_bytes())?;
    channel.send(&image)?;
    channel.await_commit()?;
    // The service manager must know the new process before this one exits.
    channel.await_release();
    Ok(())
}

/// Refuses a handover. The new process may be gone; the reason is logged by the caller.
pub(in crate::server::driver) fn refuse(channel: &mut Channel, reason: &str) {
    let _ = channel.send_line(&Answer::Refused { reason: reason.to_owned() });
}
