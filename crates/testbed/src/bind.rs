//! Sockets on ports that another test, or a round of this one, may have had just before.
//!
//! A program that is being started elsewhere in this process has a copy of every socket until it begins,
//! so that a port which was closed here is taken for that long: it is waited for.

use std::{
    io::{ErrorKind, Result},
    net::{TcpListener, ToSocketAddrs, UdpSocket},
    thread,
    time::{Duration, Instant},
};

/// Far more than it takes until a program begins.
const TIMEOUT: Duration = Duration::from_secs(5);

/// A listener on `address`.
///
/// # Errors
/// When somebody keeps the port, and those of [`TcpListener::bind`].
pub fn tcp(address: impl ToSocketAddrs) -> Result<TcpListener> {
    when_free(|| TcpListener::bind(&address))
}

/// A socket for datagrams on `address`.
///
/// # Errors
/// When somebody keeps the port, and those of [`UdpSocket::bind`].
pub fn udp(address: impl ToSocketAddrs) -> Result<UdpSocket> {
    when_free(|| UdpSocket::bind(&address))
}

fn when_free<S>(bind: impl Fn() -> Result<S>) -> Result<S> {
    let deadline = Instant::now() + TIMEOUT;
    loop {
        match bind() {
            Err(error) if error.kind() == ErrorKind::AddrInUse && Instant::now() < deadline => {
                thread::sleep(Duration::from_millis(1));
            }
            bound => return bound,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    #[test]
    fn a_port_that_becomes_free_is_waited_for() {
        let taken = udp((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = taken.local_addr().unwrap();
        let waiting = thread::spawn(move || udp(address).map(|_| ()));
        thread::sleep(Duration::from_millis(20));
        assert!(!waiting.is_finished());
        drop(taken);
        waiting.join().unwrap().unwrap();
    }
}
