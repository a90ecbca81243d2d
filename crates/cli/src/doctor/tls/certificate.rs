//! What a certificate says, as far as people ask.

use rustls::pki_types::CertificateDer;
use x509_parser::{
    extensions::GeneralName,
    prelude::{FromDer as _, X509Certificate},
};

/// More names than these are not shown.
const MAX_NAMES: usize = 4;

/// What the server showed.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Shown {
    /// Whom it is for, as in `*.default.hubble-grpc.cilium.io`.
    pub(super) names: Vec<String>,
    pub(super) subject: String,
    pub(super) issuer: String,
    /// It may sign others, and servers are not to show it.
    pub(super) is_authority: bool,
    /// In seconds since 1970.
    pub(super) not_before: i64,
    pub(super) not_after: i64,
}

impl Shown {
    /// `None` if it is no certificate.
    pub(super) fn read(der: &CertificateDer<'_>) -> Option<Self> {
        let (_, certificate) = X509Certificate::from_der(der).ok()?;
        let names = match certificate.subject_alternative_name() {
            Ok(Some(names)) => names.value.general_names.iter().filter_map(name).collect(),
            _ => Vec::new(),
        };
        Some(Self {
            names,
            subject: certificate.subject().to_string(),
            issuer: certificate.issuer().to_string(),
            is_authority: certificate.is_ca(),
            not_before: certificate.validity().not_before.timestamp(),
            not_after: certificate.validity().not_after.timestamp(),
        })
    }

    /// Nobody stands for it but itself.
    pub(super) fn is_self_signed(&self) -> bool {
        self.subject == self.issuer
    }

    /// Whom it is for, in words.
    pub(super) fn whom(&self) -> String {
        let names = self.names.iter().take(MAX_NAMES).cloned();
        let names = names.collect::<Vec<_>>().join(" and ");
        match self.names.len().saturating_sub(MAX_NAMES) {
            _ if self.names.is_empty() => format!("no name (subject {})", self.subject),
            0 => names,
            more => format!("{names} and {more} more"),
        }
    }
}

fn name(name: &GeneralName<'_>) -> Option<String> {
    match name {
        GeneralName::DNSName(name) => Some((*name).to_owned()),
        GeneralName::IPAddress(bytes) => {
            if let Ok(four) = <[u8; 4]>::try_from(*bytes) {
                return Some(std::net::Ipv4Addr::from(four).to_string());
            }
            let sixteen = <[u8; 16]>::try_from(*bytes).ok()?;
            Some(std::net::Ipv6Addr::from(sixteen).to_string())
        }
        _ => None,
    }
}
