//! Listening sockets: binding with advice for the operator, and the errors of `accept`.

use std::io::{self, ErrorKind};
use std::net::{IpAddr, SocketAddr};

use mio::net::TcpListener;
use nix::errno::Errno;

use super::os;
use super::socket::TcpSocket;
use crate::config::{AddressRange, Config};
use crate::server::core::starts_silent;
use crate::server::core::system::Accepted;

/// An address to listen on.
#[derive(Debug)]
pub(super) struct Place {
    addresses: AddressRange,
    is_shared: bool,
    /// It listens once the core says so.
    is_deferred: bool,
    /// The settings that define it, for messages.
    settings: String,
}

/// Returns the places to listen at, the public one first.
pub(super) fn places(config: &Config) -> Vec<Place> {
    let (host, port, is_shared) = (config.host, config.port, config.reuse_port);
    let settings = format!("HOST={host} PORT={port}");
    let is_deferred = starts_silent(config);
    let game = Place { addresses: SocketAddr::new(host, port).into(), is_shared, is_deferred, settings };
    let admin = config.admin_addr.map(|addresses| Place {
        addresses,
        is_shared: false,
        is_deferred: false,
        settings: format!("ADMIN_ADDR={addresses}"),
    });
    [game].into_iter().chain(admin).collect()
}

impl Place {
    /// Binds and listens on the first free address.
    ///
    /// # Errors
    /// The message names the settings that define the address, and the cause.
    pub(super) fn bind(&self) -> io::Result<TcpListener> {
        let bind = if self.is_deferred { os::bind_only } else { os::listen_on };
        self.first_free(bind).map_err(|error| self.bind_error(&error))
    }

    /// Checks whether [`Place::bind`] would succeed. An address in use is a warning: this configuration's server may run.
    ///
    /// # Errors
    /// As for [`Place::bind`].
    pub(super) fn check(&self) -> io::Result<()> {
        match self.first_free(os::check_address) {
            Err(error) if error.kind() == ErrorKind::AddrInUse => {
                log::warn!("{} is in use, by the running server or by another program", self.settings);
                Ok(())
            }
            result => result.map_err(|error| self.bind_error(&error)),
        }
    }

    /// Returns the result of the first address that is not in use.
    fn first_free<T>(&self, bind: fn(IpAddr, u16, bool) -> io::Result<T>) -> io::Result<T> {
        let mut result = Err(ErrorKind::AddrNotAvailable.into());
        for address in self.addresses.addresses() {
            result = bind(address.ip(), address.port(), self.is_shared);
            if !result.as_ref().is_err_and(|error| error.kind() == ErrorKind::AddrInUse) {
                break;
            }
        }
        result
    }

    fn bind_error(&self, error: &io::Error) -> io::Error {
        let problem =
            format!("can't listen on {}: {error}{}", self.settings, advice(error.kind(), self.is_shared));
        io::Error::new(error.kind(), problem)
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

/// Advice for the operator about an address that cannot be bound.
fn advice(problem: ErrorKind, is_shared: bool) -> &'static str {
    match problem {
        ErrorKind::AddrInUse if is_shared => {
            "; a program of another user, or one without REUSE_PORT, listens there: stop it, or choose another port"
        }
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
