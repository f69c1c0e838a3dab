//! An address with one port or a range of ports, of which a server takes the first free one.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

/// An address and the ports from `first` to `last`; never empty. Port 0 is a range of its own: the kernel picks a port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AddressRange {
    ip: IpAddr,
    first: u16,
    last: u16,
}

impl AddressRange {
    /// Returns the range from this address to port `last`; `None` if it is empty, or has more ports than only the kernel's.
    pub(super) fn new(from: SocketAddr, last: u16) -> Option<Self> {
        let (ip, first) = (from.ip(), from.port());
        (first == last || (0 < first && first < last)).then_some(Self { ip, first, last })
    }

    /// Returns the addresses, in the order in which a server tries them.
    pub fn addresses(self) -> impl Iterator<Item = SocketAddr> {
        (self.first..=self.last).map(move |port| SocketAddr::new(self.ip, port))
    }
}

impl From<SocketAddr> for AddressRange {
    fn from(address: SocketAddr) -> Self {
        Self { ip: address.ip(), first: address.port(), last: address.port() }
    }
}

impl fmt::Display for AddressRange {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}", SocketAddr::new(self.ip, self.first))?;
        if self.first < self.last { write!(out, "-{}", self.last) } else { Ok(()) }
    }
}
