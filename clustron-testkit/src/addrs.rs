//! Ports to listen on.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};

/// Gives `n` different loopback addresses whose ports were free a moment ago.
///
/// All ports are bound at the same time, so they differ, and then released for the processes under
/// test. Between the release and their own bind another program may take one: a rare race that
/// cannot be closed from outside. A process that meets it fails to bind and says so, and the
/// address is then the cause, not the code under test.
///
/// # Errors
///
/// What the operating system says when it has no more ports or file descriptors.
pub fn free_addrs(n: usize) -> io::Result<Vec<SocketAddr>> {
    let listeners = (0..n)
        .map(|_| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)))
        .collect::<io::Result<Vec<_>>>()?;
    listeners.iter().map(TcpListener::local_addr).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn the_addresses_differ_and_can_be_bound() {
        let addrs = free_addrs(20).unwrap();
        assert_eq!(addrs.iter().collect::<BTreeSet<_>>().len(), 20);
        assert!(addrs.iter().all(|addr| addr.ip().is_loopback() && addr.port() != 0));
        TcpListener::bind(addrs[0]).unwrap();
    }
}
