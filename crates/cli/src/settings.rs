//! How to reach a server: what was typed, else what is configured, else what usually holds.

mod forward;
mod usual;

use std::{env, path::PathBuf, time::Duration};

use flow_api::connect::{ClientIdentity, ConnectOptions, Target, TargetError, TlsOptions};

pub(crate) use self::usual::SOCKETS;
use crate::config::{Config, Value};
use crate::flags::{
    Accept, Flag, Section, ValueError,
    value::{self, Base},
};

/// How long a call with one answer may take: a relay asks all its nodes, and waits 5 seconds for
/// the slowest.
const REQUEST_TIMEOUT_NS: i64 = 12_000_000_000;

/// How long to wait for a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

const SERVER: &str = "server";
const TLS: &str = "tls";
const TLS_CA_CERT_FILES: &str = "tls-ca-cert-files";
const TLS_CLIENT_CERT_FILE: &str = "tls-client-cert-file";
const TLS_CLIENT_KEY_FILE: &str = "tls-client-key-file";
const TLS_SERVER_NAME: &str = "tls-server-name";
const TLS_ALLOW_INSECURE: &str = "tls-allow-insecure";
const BASIC_AUTH_USERNAME: &str = "basic-auth-username";
const BASIC_AUTH_PASSWORD: &str = "basic-auth-password";
const TIMEOUT: &str = "timeout";
const REQUEST_TIMEOUT: &str = "request-timeout";
const PORT_FORWARD: &str = "port-forward";
const PORT_FORWARD_PORT: &str = "port-forward-port";
const KUBE_CONTEXT: &str = "kube-context";
const KUBE_NAMESPACE: &str = "kube-namespace";
const KUBECONFIG: &str = "kubeconfig";

/// The flags about the server.
pub(crate) const SECTION: Section = Section {
    heading: "Server Flags",
    flags: &[
        Flag::value(
            SERVER,
            "ADDRESS",
            "Whom to ask: host:port, tls://host:port or unix:///path.sock [default: the first that \
            answers of unix:///run/palomar/observer.sock and unix:///var/run/cilium/hubble.sock, if \
            they are there, and localhost:4245]",
        ),
        Flag::switch(
            PORT_FORWARD,
            "Ask the relay of a Kubernetes cluster, through its API server; --server does not count \
            then",
        )
        .short('P'),
        Flag::value(
            KUBECONFIG,
            "FILE",
            "For -P: how to reach the API server [default: $KUBECONFIG, else ~/.kube/config]",
        ),
        Flag::value(
            KUBE_CONTEXT,
            "NAME",
            "For -P: the kubeconfig's context to use [default: its current one]",
        ),
        Flag::value(
            KUBE_NAMESPACE,
            "NAME",
            "For -P: where the relay runs, as service hubble-relay or palomar-relay [default: \
            kube-system, else palomar]",
        ),
        Flag::value(
            PORT_FORWARD_PORT,
            "PORT",
            "For -P: let other programs ask the relay, too, at this port of 127.0.0.1, while this \
            command runs; palomar itself needs none [default: none is opened]",
        ),
        Flag::switch(TLS, "Use TLS, as tls:// before the address does"),
        Flag::value(
            TLS_CA_CERT_FILES,
            "FILES",
            "Trust these certificate authorities instead of the system's; PEM files with commas \
            between",
        ),
        Flag::value(
            TLS_CLIENT_CERT_FILE,
            "FILE",
            "Who we are, for servers that ask: a certificate as PEM; needs its key, too",
        ),
        Flag::value(
            TLS_CLIENT_KEY_FILE,
            "FILE",
            "The private key of that certificate",
        ),
        Flag::value(
            TLS_SERVER_NAME,
            "NAME",
            "The name that the server's certificate must carry, if not the address",
        ),
        Flag::switch(
            TLS_ALLOW_INSECURE,
            "Believe any server that it is the right one, whatever its certificate says: for tests, \
            since whoever is in between can read and change everything",
        ),
        Flag::value(
            BASIC_AUTH_USERNAME,
            "NAME",
            "User name, for servers behind a proxy that asks; needs TLS",
        ),
        Flag::value(
            BASIC_AUTH_PASSWORD,
            "PASSWORD",
            "Its password; better given as $PALOMAR_BASIC_AUTH_PASSWORD, which no process list shows",
        ),
        Flag::value(
            TIMEOUT,
            "DURATION",
            "How long to wait for a connection [default: 5s]",
        ),
        Flag::value(
            REQUEST_TIMEOUT,
            "DURATION",
            "How long a call with one answer may take, such as status or list [default: 12s]",
        ),
    ],
};

/// The same flags where they are taken, but change nothing.
pub(crate) const UNTOLD: Section = Section {
    heading: "",
    flags: SECTION.flags,
};

/// Flags of [`SECTION`] as they were typed, checked one by one.
#[derive(Clone, Debug, Default)]
pub(crate) struct ServerArgs {
    typed: Vec<(&'static str, Typed)>,
}

#[derive(Clone, Debug)]
enum Typed {
    List(Vec<String>),
    Text(String),
}

impl Accept for ServerArgs {
    fn accept(&mut self, flag: &'static Flag, text: &str) -> Result<bool, ValueError> {
        let typed = match flag.long {
            SERVER | TLS_CLIENT_CERT_FILE | TLS_CLIENT_KEY_FILE | TLS_SERVER_NAME
            | BASIC_AUTH_USERNAME | BASIC_AUTH_PASSWORD | KUBE_CONTEXT | KUBE_NAMESPACE
            | KUBECONFIG => Typed::Text(text.to_owned()),
            PORT_FORWARD_PORT => {
                value::unsigned(text, Base::Prefix, u16::BITS)?;
                Typed::Text(text.to_owned())
            }
            TLS | TLS_ALLOW_INSECURE | PORT_FORWARD => {
                value::switch(text)?;
                Typed::Text(text.to_owned())
            }
            TIMEOUT | REQUEST_TIMEOUT => {
                value::duration_ns(text)?;
                Typed::Text(text.to_owned())
            }
            TLS_CA_CERT_FILES => {
                let mut files = self.list(flag.long).unwrap_or_default();
                files.extend(value::list(text)?);
                Typed::List(files)
            }
            _ => return Ok(false),
        };
        self.typed.retain(|(name, _)| *name != flag.long);
        self.typed.push((flag.long, typed));
        Ok(true)
    }
}

impl ServerArgs {
    fn find(&self, name: &str) -> Option<&Typed> {
        self.typed
            .iter()
            .find(|(typed, _)| *typed == name)
            .map(|(_, typed)| typed)
    }

    /// What was typed for a setting: the last value, or all of a list.
    pub(crate) fn typed(&self, name: &str) -> Option<Value> {
        Some(match self.find(name)? {
            Typed::List(list) => Value::List(list.iter().cloned().map(Value::Text).collect()),
            Typed::Text(text) => Value::Text(text.clone()),
        })
    }

    fn list(&self, name: &str) -> Option<Vec<String>> {
        match self.find(name)? {
            Typed::List(list) => Some(list.clone()),
            Typed::Text(text) => Some(vec![text.clone()]),
        }
    }
}

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
        settings
            .args
            .typed
            .retain(|(name, _)| ![SERVER, PORT_FORWARD].contains(name));
        let address = Typed::Text(address.to_owned());
        settings.args.typed.push((SERVER, address));
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
