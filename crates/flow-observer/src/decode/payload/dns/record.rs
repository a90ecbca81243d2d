//! Questions and answers.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use super::{CUT, Name, PayloadError, Reader, malformed};

/// The class of everything on the internet.
const CLASS_IN: u16 = 1;

/// What is asked for.
#[derive(Clone, Copy, Debug)]
pub struct Question<'a> {
    /// The name.
    pub name: Name<'a>,
    /// The kind of answer that is wanted.
    pub record_type: RecordType,
}

impl<'a> Question<'a> {
    pub(super) fn read(message: &'a [u8], reader: &mut Reader<'a>) -> Result<Self, PayloadError> {
        let name = Name::read(message, reader)?;
        let record_type = RecordType(reader.u16().ok_or(CUT)?);
        let _class = reader.u16().ok_or(CUT)?;
        Ok(Self { name, record_type })
    }
}

/// One answer.
#[derive(Clone, Copy, Debug)]
pub struct Answer<'a> {
    /// Whose record it is.
    pub name: Name<'a>,
    /// Its type.
    pub record_type: RecordType,
    /// Seconds for which it holds.
    pub ttl: u32,
    /// What it says.
    pub data: Data<'a>,
}

/// What an answer says.
#[derive(Clone, Copy, Debug)]
pub enum Data<'a> {
    /// An IPv4 address.
    A(Ipv4Addr),
    /// An IPv6 address.
    Aaaa(Ipv6Addr),
    /// The name that the asked one is an alias of.
    Cname(Name<'a>),
    /// The server of a service, in its own name (RFC 2782).
    Srv(Name<'a>),
    /// How a service is reached: HTTPS or SVCB (RFC 9460).
    Binding(Binding<'a>),
    /// Any other type, as it is on the wire.
    Other(&'a [u8]),
}

impl<'a> Answer<'a> {
    pub(super) fn read(message: &'a [u8], reader: &mut Reader<'a>) -> Result<Self, PayloadError> {
        let name = Name::read(message, reader)?;
        let record_type = RecordType(reader.u16().ok_or(CUT)?);
        let class = reader.u16().ok_or(CUT)?;
        let ttl = reader.u32().ok_or(CUT)?;
        let len = reader.u16().ok_or(CUT)?;
        let mut inside = *reader;
        let bytes = reader.take(len.into()).ok_or(CUT)?;
        let data = match record_type {
            _ if class != CLASS_IN => Data::Other(bytes),
            RecordType::A => Data::A(Ipv4Addr::from(address::<4>(bytes)?)),
            RecordType::AAAA => Data::Aaaa(Ipv6Addr::from(address::<16>(bytes)?)),
            RecordType::CNAME => {
                let alias = Name::read(message, &mut inside)?;
                if inside.at() != reader.at() {
                    return Err(malformed("length of an alias"));
                }
                Data::Cname(alias)
            }
            RecordType::SRV => {
                let _priority_weight_port = inside.array::<6>().ok_or(malformed("SRV record"))?;
                let server = Name::read(message, &mut inside)?;
                if inside.at() != reader.at() {
                    return Err(malformed("length of an SRV record"));
                }
                Data::Srv(server)
            }
            RecordType::SVCB | RecordType::HTTPS => {
                let _priority = inside.u16().ok_or(malformed("service binding"))?;
                let _target = Name::read(message, &mut inside)?;
                let names_len = inside.at() - (reader.at() - bytes.len());
                let parameters = bytes.get(names_len..).ok_or(malformed("service binding"))?;
                Data::Binding(Binding { parameters })
            }
            _ => Data::Other(bytes),
        };
        Ok(Self {
            name,
            record_type,
            // One with the sign bit is to be taken for 0 (RFC 2181, 8).
            ttl: i32::try_from(ttl).map_or(0, i32::cast_unsigned),
            data,
        })
    }
}

/// How a service is reached.
#[derive(Clone, Copy, Debug)]
pub struct Binding<'a> {
    parameters: &'a [u8],
}

impl<'a> Binding<'a> {
    /// Addresses that clients may try before they have asked for those of the target, up to the
    /// first parameter that is malformed.
    pub fn hints(self) -> impl Iterator<Item = IpAddr> + use<'a> {
        const IPV4_HINT: u16 = 4;
        const IPV6_HINT: u16 = 6;

        let mut parameters = Reader::new(self.parameters);
        std::iter::from_fn(move || Some((parameters.u16()?, parameters.vector16()?))).flat_map(
            |(key, value)| {
                let (ipv4, ipv6): (&[u8], &[u8]) = match key {
                    IPV4_HINT => (value, &[]),
                    IPV6_HINT => (&[], value),
                    _ => (&[], &[]),
                };
                let (ipv4, _) = ipv4.as_chunks::<4>();
                let (ipv6, _) = ipv6.as_chunks::<16>();
                let ipv4 = ipv4.iter().map(|&address| IpAddr::from(address));
                ipv4.chain(ipv6.iter().map(|&address| IpAddr::from(address)))
            },
        )
    }
}

fn address<const N: usize>(bytes: &[u8]) -> Result<[u8; N], PayloadError> {
    bytes
        .try_into()
        .map_err(|_| malformed("length of an address"))
}

/// A kind of record, by its number; shown by name where it has a common one, else as in `TYPE99`.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct RecordType(pub u16);

impl RecordType {
    /// An IPv4 address.
    pub const A: Self = Self(1);
    /// An alias.
    pub const CNAME: Self = Self(5);
    /// An IPv6 address.
    pub const AAAA: Self = Self(28);
    /// The server of a service.
    pub const SRV: Self = Self(33);
    /// How a service is reached.
    pub const SVCB: Self = Self(64);
    /// How a web site is reached.
    pub const HTTPS: Self = Self(65);

    /// Its name, where it has a common one.
    #[must_use]
    pub fn name(self) -> Option<&'static str> {
        Some(match self.0 {
            1 => "A",
            2 => "NS",
            5 => "CNAME",
            6 => "SOA",
            12 => "PTR",
            13 => "HINFO",
            15 => "MX",
            16 => "TXT",
            28 => "AAAA",
            33 => "SRV",
            35 => "NAPTR",
            39 => "DNAME",
            41 => "OPT",
            43 => "DS",
            46 => "RRSIG",
            47 => "NSEC",
            48 => "DNSKEY",
            50 => "NSEC3",
            52 => "TLSA",
            64 => "SVCB",
            65 => "HTTPS",
            251 => "IXFR",
            252 => "AXFR",
            255 => "ANY",
            256 => "URI",
            257 => "CAA",
            _ => return None,
        })
    }
}

impl fmt::Display for RecordType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.write_str(name),
            None => write!(f, "TYPE{}", self.0),
        }
    }
}
