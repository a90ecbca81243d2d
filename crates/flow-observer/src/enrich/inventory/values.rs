//! Values of the inventory file that are more than text: what is wrong with one says what came and
//! what was expected. The parser adds the line.

use std::{fmt::Display, net::IpAddr, str::FromStr};

use serde::{Deserialize, Deserializer, de::Error as _};

use crate::enrich::{facts::Port, identity};

/// A name has at most so many bytes (RFC 1035, section 2.3.4).
const MAX_NAME: usize = 253;

/// Protocols of services, with their numbers.
const PROTOCOLS: [(&str, u8); 3] = [("tcp", 6), ("udp", 17), ("sctp", 132)];

/// A range of addresses, as in `10.0.0.0/8`.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Cidr {
    /// Its first address.
    pub address: IpAddr,
    /// How many bits its addresses have in common.
    pub len: u8,
}

impl FromStr for Cidr {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let invalid = || {
            format!("invalid range {text:?}, expected an address and a length, as in 10.0.0.0/8")
        };
        let (address, len) = text.split_once('/').ok_or_else(invalid)?;
        let address: IpAddr = address.parse().map_err(|_| invalid())?;
        let len: u8 = len.parse().map_err(|_| invalid())?;
        let first = match address {
            IpAddr::V4(address) if len <= 32 => {
                let mask = u32::MAX.checked_shl(32 - u32::from(len)).unwrap_or(0);
                IpAddr::V4((address.to_bits() & mask).into())
            }
            IpAddr::V6(address) if len <= 128 => {
                let mask = u128::MAX.checked_shl(128 - u32::from(len)).unwrap_or(0);
                IpAddr::V6((address.to_bits() & mask).into())
            }
            _ => return Err(invalid()),
        };
        Ok(Self {
            address: first,
            len,
        })
    }
}

impl Display for Cidr {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{}/{}", self.address, self.len)
    }
}

impl<'de> Deserialize<'de> for Cidr {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(D::Error::custom)
    }
}

/// An element of a list, read from its text.
struct Element<T>(T);

/// What can be read from an element's text.
trait Readable: Sized {
    fn read(text: &str) -> Result<Self, String>;
}

impl<'de, T: Readable> Deserialize<'de> for Element<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        T::read(&text).map(Self).map_err(D::Error::custom)
    }
}

fn list<'de, D: Deserializer<'de>, T: Readable>(deserializer: D) -> Result<Vec<T>, D::Error> {
    let elements = Vec::<Element<T>>::deserialize(deserializer)?;
    Ok(elements.into_iter().map(|element| element.0).collect())
}

impl Readable for IpAddr {
    fn read(text: &str) -> Result<Self, String> {
        text.parse()
            .map_err(|_| format!("invalid address {text:?}, expected an IPv4 or IPv6 address"))
    }
}

impl Readable for Port {
    fn read(text: &str) -> Result<Self, String> {
        let invalid = || {
            format!(
                "invalid port {text:?}, expected ADDRESS:PORT/PROTOCOL, as in 10.96.0.10:53/udp"
            )
        };
        let (place, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
        let place: std::net::SocketAddr = place.parse().map_err(|_| invalid())?;
        let (_, protocol) = PROTOCOLS
            .into_iter()
            .find(|(name, _)| protocol.eq_ignore_ascii_case(name))
            .ok_or_else(invalid)?;
        Ok(Self {
            ip: place.ip(),
            protocol,
            port: place.port(),
        })
    }
}

impl Readable for String {
    /// A host name, in lower case and without the final dot.
    fn read(text: &str) -> Result<Self, String> {
        let name = text.strip_suffix('.').unwrap_or(text);
        let is_name = !name.is_empty()
            && name.len() <= MAX_NAME
            && name.bytes().all(|byte| byte.is_ascii_graphic());
        if is_name {
            Ok(name.to_ascii_lowercase())
        } else {
            Err(format!(
                "invalid name {text:?}, expected 1 to {MAX_NAME} visible ASCII characters"
            ))
        }
    }
}

pub(super) fn ips<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<IpAddr>, D::Error> {
    list(deserializer)
}

pub(super) fn ports<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Port>, D::Error> {
    list(deserializer)
}

pub(super) fn names<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    list(deserializer)
}

/// 0 stands for everything that is no local workload, so nobody has it.
pub(super) fn endpoint_id<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<u16>, D::Error> {
    let number = u64::deserialize(deserializer)?;
    match u16::try_from(number) {
        Ok(id) if id > 0 => Ok(Some(id)),
        _ => Err(D::Error::custom(format!(
            "invalid id {number}, expected 1 to {}",
            u16::MAX
        ))),
    }
}

/// Numbers below 256 have meanings of their own, and those with more than 24 bits are a node's.
pub(super) fn identity<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<u32>, D::Error> {
    let number = u64::deserialize(deserializer)?;
    let range = identity::FIRST..identity::END;
    match u32::try_from(number) {
        Ok(identity) if range.contains(&identity) => Ok(Some(identity)),
        Ok(identity) if identity < range.start => Err(D::Error::custom(format!(
            "identity {identity} is reserved, expected {} to {}",
            range.start,
            range.end - 1
        ))),
        _ => Err(D::Error::custom(format!(
            "invalid identity {number}, expected {} to {}",
            range.start,
            range.end - 1
        ))),
    }
}
