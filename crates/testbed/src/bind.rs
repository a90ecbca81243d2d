//! Ports that change hands: those that another test, or a round of this one, had just before, and those
//! that a program is to have which has not been started yet.
//!
//! A program that is being started elsewhere in this process has a copy of every socket until it begins,
//! so that a port which was closed here is taken for that long.

use std::{
    io::{ErrorKind, Result},
    net::{IpAddr, SocketAddr, TcpListener, ToSocketAddrs, UdpSocket},
    thread,
    time::{Duration, Instant},
};

use socket2::{Domain, Socket, Type};

/// Far more than it takes until a program begins.
const TIMEOUT: Duration = Duration::from_secs(5);

/// A TCP port of `ip` that nobody has: connections are refused until a program listens there.
///
/// Nobody ever listened, so that copies of the socket are in nobody's way.
///
/// # Errors
/// When there is none, or `ip` is not of this machine.
pub fn free(ip: impl Into<IpAddr>) -> Result<SocketAddr> {
    let address = SocketAddr::new(ip.into(), 0);
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    let address = socket.local_addr()?.as_socket();
    address.ok_or_else(|| ErrorKind::AddrNotAvailable.into())
}

/// A listener on `address`; waits until the port is closed that was there before.
///
/// # Errors
/// When somebody keeps the port, and those of [`TcpListener::bind`].
pub fn tcp(address: impl ToSocketAddrs) -> Result<TcpListener> {
    when_free(|| TcpListener::bind(&address))
}

/// A socket for datagrams on `address`; waits until the port is closed that was there before.
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
    use std::net::{Ipv4Addr, TcpStream};

    use super::*;

    #[test]
    fn a_free_port_refuses_and_can_be_listened_on() {
        let address = free(Ipv4Addr::LOCALHOST).unwrap();
        let error = TcpStream::connect(address).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
        TcpListener::bind(address).unwrap();
    }

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
