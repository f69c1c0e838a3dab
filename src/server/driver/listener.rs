//! Listening sockets: binding with advice for the operator, and the errors of `accept`.

use std::io::{self, ErrorKind};
use std::net::SocketAddr;

use mio::net::TcpListener;
use nix::errno::Errno;

use super::os;
use super::socket::TcpSocket;
use crate::config::Config;
use crate::server::core::system::Accepted;

/// Returns the addresses to listen on, the public one first, each with the settings that define it.
pub(super) fn addresses(config: &Config) -> Vec<(SocketAddr, String)> {
    let (host, port) = (config.host, config.port);
    let game = ((host, port).into(), format!("HOST={host} PORT={port}"));
    let admin = config.admin_addr.map(|address| (address, format!("ADMIN_ADDR={address}")));
    [game].into_iter().chain(admin).collect()
}

/// Binds and listens on an address.
///
/// # Errors
/// The message names the settings that define the address, and the cause.
pub(super) fn bind(address: SocketAddr, settings: &str) -> io::Result<TcpListener> {
    os::listen_on(address.ip(), address.port()).map_err(|error| bind_error(&error, settings))
}

/// Checks whether [`bind`] would succeed. An address in use is a warning: this configuration's server may run.
///
/// # Errors
/// As for [`bind`].
pub(super) fn check(address: SocketAddr, settings: &str) -> io::Result<()> {
    match os::check_address(address.ip(), address.port()) {
        Err(error) if error.kind() == ErrorKind::AddrInUse => {
            log::warn!("{settings} is in use, by the running server or by another program");
            Ok(())
        }
        result => result.map_err(|error| bind_error(&error, settings)),
    }
}

/// Accepts the next connection.
pub(super) fn accept(listener: &TcpListener) -> Accepted<TcpSocket> {
    match listener.accept() {
        Ok((stream, peer)) => Accepted::Connection(TcpSocket::new(stream), peer.ip()),
        Err(error) => classify(error),
    }
}

fn classify<S>(error: io::Error) -> Accepted<S> {
    if error.kind() == ErrorKind::WouldBlock {
        return Accepted::None;
    }
    match error.raw_os_error().map(Errno::from_raw) {
        Some(Errno::EMFILE | Errno::ENFILE) => Accepted::NoDescriptor(error),
        Some(Errno::ENOBUFS | Errno::ENOMEM) => Accepted::NoMemory(error),
        // accept(2) reports pending network errors of the new connection; they concern only that connection.
        _ => Accepted::Aborted,
    }
}

fn bind_error(error: &io::Error, settings: &str) -> io::Error {
    let problem = format!("can't listen on {settings}: {error}{}", advice(error.kind()));
    io::Error::new(error.kind(), problem)
}

/// Advice for the operator about an address that cannot be bound.
fn advice(problem: ErrorKind) -> &'static str {
    match problem {
        ErrorKind::AddrInUse => "; another program listens there: stop it, or choose another port",
        ErrorKind::PermissionDenied => {
            "; low ports are for root and for programs with CAP_NET_BIND_SERVICE: choose another port, or run: \
             setcap cap_net_bind_service=+ep pixi-game-server"
        }
        ErrorKind::AddrNotAvailable => "; this machine has no such address",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classifies_accept_errors() {
        let of = |errno: Errno| classify::<()>(io::Error::from(errno));
        assert!(matches!(of(Errno::EAGAIN), Accepted::None));
        assert!(matches!(of(Errno::EMFILE), Accepted::NoDescriptor(_)));
        assert!(matches!(of(Errno::ENFILE), Accepted::NoDescriptor(_)));
        assert!(matches!(of(Errno::ENOBUFS), Accepted::NoMemory(_)));
        assert!(matches!(of(Errno::ENOMEM), Accepted::NoMemory(_)));
        for errno in [Errno::ECONNABORTED, Errno::EINTR, Errno::EPROTO, Errno::ENETDOWN, Errno::EPERM] {
            assert!(matches!(of(errno), Accepted::Aborted), "{errno}");
        }
    }
}
