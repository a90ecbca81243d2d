//! What rustls says, in plain words and with what to do.

use std::io;

use rustls::{AlertDescription, CertificateError, Error, InvalidMessage};

use super::{GIVE_CERTIFICATE, certificate::Shown};
use crate::doctor::{
    clock::{day, now_ns},
    report::{Failure, Step},
};

/// TLS's own reason for an error of a connection, if it has one.
pub(super) fn tls_error(error: &io::Error) -> Option<&Error> {
    let inner = error.get_ref()?;
    match inner.downcast_ref() {
        Some(error) => Some(error),
        None => inner.source()?.downcast_ref(),
    }
}

/// Why there is no TLS; `None` if the other side does not speak it. `asked` is the name that the
/// certificate should have had.
pub(super) fn failure(error: &Error, asked: &str, shown: Option<&Shown>) -> Option<Failure> {
    let failed = |cause: String| Failure::new(Step::Tls, cause);
    Some(match error {
        Error::InvalidCertificate(error) => certificate(error, asked, shown),
        Error::AlertReceived(alert) => refused(*alert),
        Error::InvalidMessage(InvalidMessage::InvalidContentType)
        | Error::InvalidMessage(InvalidMessage::MessageTooLarge)
        | Error::InvalidMessage(InvalidMessage::UnknownProtocolVersion)
        | Error::InvalidMessage(InvalidMessage::InvalidEmptyPayload) => return None,
        Error::PeerIncompatible(_) => failed(format!("no version or cipher in common: {error}"))
            .next("the server needs TLS 1.2 or newer"),
        other => failed(other.to_string()),
    })
}

fn certificate(error: &CertificateError, asked: &str, shown: Option<&Shown>) -> Failure {
    let failed = |cause: String| Failure::new(Step::Tls, cause);
    let Some(shown) = shown else {
        return failed("the server's certificate cannot be read".to_owned());
    };
    let now = now_ns() / 1_000_000_000;
    match error {
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            let cause = if shown.not_after < now {
                format!("certificate ended on {}", day(shown.not_after))
            } else {
                "a certificate between the server's and its authority's has ended".to_owned()
            };
            failed(cause).next("renew it, or check this machine's clock")
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => failed(
            format!("certificate is not valid before {}", day(shown.not_before)),
        )
        .next("check this machine's clock and the one that issued it"),
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            failed(format!(
                "certificate is for {}, asked for {asked}",
                shown.whom()
            ))
            .next("ask by that name, or with --tls-server-name")
        }
        CertificateError::UnknownIssuer if shown.is_self_signed() => {
            failed(format!("certificate is self-signed ({})", shown.subject))
                .next("add it with --tls-ca-cert-files if you trust it")
        }
        CertificateError::UnknownIssuer => failed(format!(
            "certificate is signed by an authority that is not trusted here ({})",
            shown.issuer
        ))
        .next("add the authority's certificate with --tls-ca-cert-files"),
        CertificateError::BadSignature => failed(format!(
            "certificate is not signed by the trusted {}, only in its name",
            shown.issuer
        ))
        .next("the authority may have a new key: update --tls-ca-cert-files"),
        CertificateError::Revoked => failed("certificate is revoked".to_owned()).next("renew it"),
        CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
            failed("certificate is not for servers".to_owned())
                .next("issue one with the extended key usage of a server")
        }
        CertificateError::Other(_) if shown.is_authority => {
            let whose = match shown.is_self_signed() {
                true => "self-signed and an authority's",
                false => "an authority's",
            };
            failed(format!("certificate is {whose} ({})", shown.subject))
                .next("give the server one of its own without CA:TRUE, which that one may sign")
        }
        other => failed(format!("certificate is not valid: {other}")),
    }
}

/// The server does not go on, and says why in a word.
fn refused(alert: AlertDescription) -> Failure {
    let failed = |cause: &str| Failure::new(Step::Tls, cause);
    match alert {
        AlertDescription::CertificateRequired => {
            failed("the server demands a client certificate").next(GIVE_CERTIFICATE)
        }
        AlertDescription::UnknownCA => {
            failed("the server does not trust the authority of our client certificate")
                .next("use a certificate of the authority that the server was given")
        }
        AlertDescription::CertificateExpired => {
            failed("the server says that our client certificate has ended").next("renew it")
        }
        AlertDescription::BadCertificate
        | AlertDescription::CertificateUnknown
        | AlertDescription::CertificateRevoked
        | AlertDescription::UnsupportedCertificate
        | AlertDescription::AccessDenied
        | AlertDescription::DecryptError => failed(&format!(
            "the server refuses our client certificate ({alert:?})"
        ))
        .next("see the server's log"),
        AlertDescription::NoApplicationProtocol => {
            failed("the server speaks TLS, but no HTTP/2 (ALPN)")
                .next("this is no agent or relay: check the port")
        }
        AlertDescription::ProtocolVersion => failed("the server has no version of TLS from 1.2 on"),
        AlertDescription::UnrecognisedName => {
            failed("the server does not know the name that it was asked for")
                .next("ask by its own name, or with --tls-server-name")
        }
        other => {
            failed(&format!("the server breaks off with {other:?}")).next("see the server's log")
        }
    }
}
