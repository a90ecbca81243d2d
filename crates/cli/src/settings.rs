//! How to reach a server: what was typed, else what is configured, else what usually holds.

mod forward;
mod typed;
mod usual;

use std::{env, path::PathBuf, time::Duration};

use flow_api::connect::{ClientIdentity, ConnectOptions, Target, TargetError, TlsOptions};

use self::typed::*;
pub(crate) use self::{
    typed::{SECTION, ServerArgs, UNTOLD},
    usual::SOCKETS,
};
use crate::config::Config;
use crate::flags::value;

/// How long a call with one answer may take: a relay asks all its nodes, and waits 5 seconds for
/// the slowest.
const REQUEST_TIMEOUT_NS: i64 = 12_000_000_000;

/// How long to wait for a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Settings that contradict each other.
#[derive(Debug, Eq, PartialEq, thiserror::Error)]
pub(crate) enum SettingsError {
    /// Half of a user's name and password.
    #[error("invalid flag(s): must specify both basic-auth-username and basic-auth-password")]
    HalfCredentials,
    /// Who we are can be proved with TLS only.
    #[error("invalid flag(s): transport layer security required")]
    IdentityWithoutTls,
    /// A certificate without its key, or a key without certificate.
    #[error(
        "invalid flag(s): certificate and private key are both required, but only one was provided"
    )]
    HalfIdentity,
}

/// What holds.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    args: ServerArgs,
    config: Config,
}

impl Settings {
    /// Settings of what was typed and what is configured.
    ///
    /// # Errors
    /// Half of what must come in pairs, or a certificate that would not be used.
    pub(crate) fn new(args: ServerArgs, config: Config) -> Result<Self, SettingsError> {
        let settings = Self::for_many(args, config)?;
        if settings.is_given(TLS_CLIENT_CERT_FILE) && !settings.wants_tls() {
            return Err(SettingsError::IdentityWithoutTls);
        }
        Ok(settings)
    }

    /// The same where others than the server may be asked, too, with TLS or without.
    ///
    /// # Errors
    /// Half of what must come in pairs.
    pub(crate) fn for_many(args: ServerArgs, config: Config) -> Result<Self, SettingsError> {
        let settings = Self { args, config };
        let given = |name| settings.is_given(name);
        if given(TLS_CLIENT_CERT_FILE) != given(TLS_CLIENT_KEY_FILE) {
            return Err(SettingsError::HalfIdentity);
        }
        if given(BASIC_AUTH_USERNAME) != given(BASIC_AUTH_PASSWORD) {
            return Err(SettingsError::HalfCredentials);
        }
        Ok(settings)
    }

    /// The same for another server.
    pub(crate) fn with_server(&self, address: &str) -> Self {
        let mut settings = self.clone();
        settings.args.name_server(address);
        settings
    }

    /// The servers to try, in this order, as they were given: one that was named, else the usual
    /// ones. Never empty.
    pub(crate) fn servers(&self) -> Vec<String> {
        match self.text(SERVER) {
            Some(server) => vec![server],
            None => usual::servers(self.is_true(TLS)),
        }
    }

    /// Whether the user said whom to ask.
    pub(crate) fn names_server(&self) -> bool {
        self.text(SERVER).is_some()
    }

    /// The first of the servers as something to connect to.
    ///
    /// # Errors
    /// The address is in no form that we know.
    pub(crate) fn target(&self) -> Result<Target, TargetError> {
        target(&self.address())
    }

    /// How to connect.
    pub(crate) fn connect_options(&self) -> ConnectOptions {
        let timeout = self
            .duration_ns(TIMEOUT)
            .and_then(|timeout| u64::try_from(timeout).ok())
            .filter(|timeout| *timeout > 0)
            .map_or(CONNECT_TIMEOUT, Duration::from_nanos);
        ConnectOptions {
            connect_timeout: timeout,
            tls: self.wants_tls().then(|| self.tls_options()),
        }
    }

    fn is_given(&self, name: &str) -> bool {
        self.text(name).is_some_and(|text| !text.is_empty())
    }

    fn wants_tls(&self) -> bool {
        self.address().starts_with("tls://") || self.is_true(TLS)
    }

    fn is_true(&self, name: &str) -> bool {
        self.text(name)
            .is_some_and(|text| value::switch(&text) == Ok(true))
    }

    /// Whom to trust and who to be, where there is TLS.
    pub(crate) fn tls_options(&self) -> TlsOptions {
        let file = |name| {
            self.text(name)
                .filter(|path| !path.is_empty())
                .map(PathBuf::from)
        };
        TlsOptions {
            ca_files: self
                .list(TLS_CA_CERT_FILES)
                .into_iter()
                .map(PathBuf::from)
                .collect(),
            client: file(TLS_CLIENT_CERT_FILE)
                .zip(file(TLS_CLIENT_KEY_FILE))
                .map(|(cert_file, key_file)| ClientIdentity {
                    cert_file,
                    key_file,
                }),
            server_name: self.text(TLS_SERVER_NAME).filter(|name| !name.is_empty()),
            trusts_anyone: self.is_true(TLS_ALLOW_INSECURE),
        }
    }

    /// User name and password, if there are any.
    pub(crate) fn basic_auth(&self) -> Option<(String, String)> {
        self.text(BASIC_AUTH_USERNAME)
            .filter(|name| !name.is_empty())
            .zip(self.text(BASIC_AUTH_PASSWORD))
    }

    /// How long a call with one answer may take; not positive means no time at all.
    pub(crate) fn request_timeout_ns(&self) -> i64 {
        self.duration_ns(REQUEST_TIMEOUT)
            .unwrap_or(REQUEST_TIMEOUT_NS)
    }

    /// The same as a time to wait.
    pub(crate) fn request_timeout(&self) -> Duration {
        Duration::from_nanos(u64::try_from(self.request_timeout_ns()).unwrap_or_default())
    }

    /// The first of the servers, as it was given.
    pub(crate) fn address(&self) -> String {
        self.servers().swap_remove(0)
    }

    /// A setting as text.
    pub(crate) fn text(&self, name: &str) -> Option<String> {
        match self.args.find(name) {
            Some(Typed::Text(text)) => Some(text.clone()),
            Some(Typed::List(list)) => Some(list.join(" ")),
            None => self.config.text(name),
        }
    }

    fn list(&self, name: &str) -> Vec<String> {
        self.args
            .list(name)
            .unwrap_or_else(|| self.config.list(name))
    }

    /// A number without unit, as a file may have it, counts nanoseconds.
    fn duration_ns(&self, name: &str) -> Option<i64> {
        let text = self.text(name)?;
        value::duration_ns(&text)
            .or_else(|_| value::duration_ns(&format!("{text}ns")))
            .ok()
    }
}

/// An address as something to connect to.
///
/// # Errors
/// It is in no form that we know.
pub(crate) fn target(address: &str) -> Result<Target, TargetError> {
    let (scheme, name) = match address.strip_prefix("tls://") {
        Some(name) => ("tls://", name),
        None => ("", address),
    };
    let name = plain_name(name);
    if let Some(path) = name.strip_prefix("unix:")
        && !path.starts_with('/')
        && !path.is_empty()
        && let Ok(here) = env::current_dir()
    {
        return Ok(Target::Unix(here.join(path)));
    }
    if name.starts_with("unix:") {
        return name.parse();
    }
    format!("{scheme}{name}").parse()
}

/// The names that gRPC programs know, in the form that we know: without the name of a resolver, and
/// with a host where any address of this one is meant.
fn plain_name(name: &str) -> String {
    let scheme_end = name.find(':').unwrap_or(0);
    let (scheme, rest) = name.split_at(scheme_end);
    // After a resolver's name comes its own server, which we do not ask, between slashes.
    let without_authority = |rest: &str| {
        let rest = rest.strip_prefix(':').unwrap_or(rest);
        match rest.strip_prefix("//") {
            Some(rest) => rest.split_once('/').map_or("", |(_, name)| name).to_owned(),
            None => rest.strip_prefix('/').unwrap_or(rest).to_owned(),
        }
    };
    let name = match scheme.to_ascii_lowercase().as_str() {
        "dns" => without_authority(rest),
        "passthrough" => without_authority(rest),
        "unix" => format!("unix{rest}"),
        _ => name.to_owned(),
    };
    let name = name.split(['?', '#']).next().unwrap_or_default();
    for any in ["[::]:", ":"] {
        if let Some(port) = name.strip_prefix(any)
            && !port.is_empty()
        {
            return format!("localhost:{port}");
        }
    }
    name.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flags::Accept as _;

    #[test]
    fn names_of_other_grpc_programs_are_understood() {
        for (name, plain) in [
            ("relay:80", "relay:80"),
            (":80", "localhost:80"),
            ("[::]:80", "localhost:80"),
            ("dns:///relay:80", "relay:80"),
            ("DNS:relay:80", "relay:80"),
            ("dns://8.8.8.8/relay:80", "relay:80"),
            ("passthrough:///unix:///run/x.sock", "unix:///run/x.sock"),
            ("UNIX:///run/x.sock", "unix:///run/x.sock"),
            ("relay:80?x=1", "relay:80"),
        ] {
            assert_eq!(plain_name(name), plain, "{name}");
        }
    }

    #[test]
    fn what_comes_in_pairs_is_given_in_pairs() {
        let with = |flags: &[(&'static str, &str)]| {
            let mut args = ServerArgs::default();
            for (name, value) in flags {
                let flag = SECTION
                    .flags
                    .iter()
                    .find(|flag| flag.long == *name)
                    .unwrap();
                args.accept(flag, value).unwrap();
            }
            Settings::new(args, Config::default()).map(drop)
        };
        let cert = (TLS_CLIENT_CERT_FILE, "c");
        let key = (TLS_CLIENT_KEY_FILE, "k");
        assert_eq!(with(&[cert]), Err(SettingsError::HalfIdentity));
        assert_eq!(with(&[cert, key]), Err(SettingsError::IdentityWithoutTls));
        assert_eq!(with(&[cert, key, (TLS, "true")]), Ok(()));
        let name = (BASIC_AUTH_USERNAME, "u");
        assert_eq!(with(&[name]), Err(SettingsError::HalfCredentials));
    }
}
