//! Packets that no ordinary socket sends.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddrV4, SocketAddrV6},
    os::fd::{AsRawFd as _, OwnedFd},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use nix::sys::{
    socket::{
        AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, SockaddrIn, SockaddrIn6, recv,
        sendto, setsockopt, socket, sockopt,
    },
    time::{TimeVal, TimeValLike as _},
};

const UDP: u8 = 17;
const TCP: u8 = 6;

/// An IPv4 packet made by hand; its header's checksum is the kernel's work.
#[derive(Clone, Debug)]
pub(crate) struct Packet {
    pub(crate) source: Ipv4Addr,
    pub(crate) destination: Ipv4Addr,
    pub(crate) protocol: u8,
    pub(crate) time_to_live: u8,
    pub(crate) dont_fragment: bool,
    pub(crate) payload: Vec<u8>,
}

impl Packet {
    pub(crate) fn new(
        source: Ipv4Addr,
        destination: Ipv4Addr,
        protocol: u8,
        payload: Vec<u8>,
    ) -> Self {
        Self {
            source,
            destination,
            protocol,
            time_to_live: 64,
            dont_fragment: false,
            payload,
        }
    }

    /// A UDP datagram of so many zeros, without a checksum.
    pub(crate) fn udp(from: SocketAddrV4, to: SocketAddrV4, length: u16) -> Self {
        let mut payload = ports(from, to);
        payload.extend((8 + length).to_be_bytes());
        payload.resize(8 + usize::from(length), 0);
        Self::new(*from.ip(), *to.ip(), UDP, payload)
    }

    /// A UDP datagram whose checksum is wrong.
    pub(crate) fn bad_udp(from: SocketAddrV4, to: SocketAddrV4) -> Self {
        let mut packet = Self::udp(from, to, 8);
        packet.spoil(6);
        packet
    }

    /// A SYN whose checksum is wrong.
    pub(crate) fn bad_tcp(from: SocketAddrV4, to: SocketAddrV4) -> Self {
        const SYN: u8 = 2;
        let mut payload = ports(from, to);
        payload.extend([0, 0, 0, 1, 0, 0, 0, 0, 5 << 4, SYN, 0xff, 0xff, 0, 0, 0, 0]);
        let mut packet = Self::new(*from.ip(), *to.ip(), TCP, payload);
        packet.spoil(16);
        packet
    }

    /// Puts the checksum to where it belongs, one off.
    fn spoil(&mut self, at: usize) {
        let length = self.payload.len() as u16;
        let pseudo = [
            &self.source.octets()[..],
            &self.destination.octets(),
            &[0, self.protocol],
            &length.to_be_bytes(),
            &self.payload,
        ];
        // Neither is zero then, which would mean that there is none.
        let wrong = checksum(&pseudo.concat()) ^ 0x5500;
        self.payload[at..at + 2].copy_from_slice(&wrong.to_be_bytes());
    }

    /// Sends it from this thread's network namespace.
    pub(crate) fn send(&self) -> Result<()> {
        let socket = open(AddressFamily::Inet, SockProtocol::Raw)?;
        let length = 20 + self.payload.len() as u16;
        let mut bytes = vec![0x45, 0];
        bytes.extend(length.to_be_bytes());
        bytes.extend([0, 0, if self.dont_fragment { 0x40 } else { 0 }, 0]);
        bytes.extend([self.time_to_live, self.protocol, 0, 0]);
        bytes.extend(self.source.octets());
        bytes.extend(self.destination.octets());
        bytes.extend(&self.payload);
        let to = SockaddrIn::from(SocketAddrV4::new(self.destination, 0));
        let sent = sendto(socket.as_raw_fd(), &bytes, &to, MsgFlags::empty())
            .with_context(|| format!("cannot send {self:?}"))?;
        ensure!(sent == bytes.len(), "sent {sent} bytes of {}", bytes.len());
        Ok(())
    }
}

fn ports(from: SocketAddrV4, to: SocketAddrV4) -> Vec<u8> {
    [from.port().to_be_bytes(), to.port().to_be_bytes()].concat()
}

fn open(family: AddressFamily, protocol: SockProtocol) -> Result<OwnedFd> {
    socket(family, SockType::Raw, SockFlag::SOCK_CLOEXEC, protocol)
        .context("cannot open a raw socket")
}

fn checksum(bytes: &[u8]) -> u16 {
    let mut sum: u32 = bytes
        .chunks(2)
        .map(|pair| u32::from(pair[0]) << 8 | pair.get(1).copied().map_or(0, u32::from))
        .sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

/// A socket that pings.
pub(crate) struct Echo {
    socket: OwnedFd,
    is_v4: bool,
    timeout: Duration,
}

impl Echo {
    /// Of this thread's network namespace.
    pub(crate) fn open(is_v4: bool, timeout: Duration) -> Result<Self> {
        let (family, protocol) = if is_v4 {
            (AddressFamily::Inet, SockProtocol::Icmp)
        } else {
            (AddressFamily::Inet6, SockProtocol::IcmpV6)
        };
        let socket = open(family, protocol)?;
        let longest = TimeVal::milliseconds(timeout.as_millis().try_into()?);
        setsockopt(&socket, sockopt::ReceiveTimeout, &longest)?;
        Ok(Self {
            socket,
            is_v4,
            timeout,
        })
    }

    /// Sends a request and waits for its reply.
    pub(crate) fn ask(&self, to: IpAddr, number: u16) -> Result<()> {
        const IDENTIFIER: u16 = 0x7061;
        let (request, reply) = if self.is_v4 { (8, 0) } else { (128, 129) };
        let rest = [IDENTIFIER.to_be_bytes(), number.to_be_bytes()].concat();
        let mut message = [&[request, 0, 0, 0], &rest[..], b"as known"].concat();
        if self.is_v4 {
            let sum = checksum(&message).to_be_bytes();
            message[2..4].copy_from_slice(&sum);
        }
        let (socket, none) = (self.socket.as_raw_fd(), MsgFlags::empty());
        match to {
            IpAddr::V4(to) => sendto(
                socket,
                &message,
                &SockaddrIn::from(SocketAddrV4::new(to, 0)),
                none,
            )?,
            IpAddr::V6(to) => {
                let to = SocketAddrV6::new(to, 0, 0, 0);
                sendto(socket, &message, &SockaddrIn6::from(to), none)?
            }
        };
        // The socket gets all other messages too, with the IP header before those of IPv4.
        let deadline = Instant::now() + self.timeout;
        let mut received = [0; 2048];
        while Instant::now() < deadline {
            let length = recv(socket, &mut received, none).context("no reply")?;
            let start = if self.is_v4 { 20 } else { 0 };
            let message = received[..length].get(start..).unwrap_or_default();
            if message.first() == Some(&reply) && message.get(4..8) == Some(&rest[..]) {
                return Ok(());
            }
        }
        anyhow::bail!("no reply from {to} within {:?}", self.timeout)
    }
}
