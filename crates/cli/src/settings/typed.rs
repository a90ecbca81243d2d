//! The flags about the server, and what was typed for them.

use crate::config::Value;
use crate::flags::{
    Accept, Flag, Section, ValueError,
    value::{self, Base},
};

pub(super) const SERVER: &str = "server";
pub(super) const TLS: &str = "tls";
pub(super) const TLS_CA_CERT_FILES: &str = "tls-ca-cert-files";
pub(super) const TLS_CLIENT_CERT_FILE: &str = "tls-client-cert-file";
pub(super) const TLS_CLIENT_KEY_FILE: &str = "tls-client-key-file";
pub(super) const TLS_SERVER_NAME: &str = "tls-server-name";
pub(super) const TLS_ALLOW_INSECURE: &str = "tls-allow-insecure";
pub(super) const BASIC_AUTH_USERNAME: &str = "basic-auth-username";
pub(super) const BASIC_AUTH_PASSWORD: &str = "basic-auth-password";
pub(super) const TIMEOUT: &str = "timeout";
pub(super) const REQUEST_TIMEOUT: &str = "request-timeout";
pub(super) const PORT_FORWARD: &str = "port-forward";
pub(super) const PORT_FORWARD_PORT: &str = "port-forward-port";
pub(super) const KUBE_CONTEXT: &str = "kube-context";
pub(super) const KUBE_NAMESPACE: &str = "kube-namespace";
pub(super) const KUBECONFIG: &str = "kubeconfig";

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
pub(super) enum Typed {
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
    pub(super) fn find(&self, name: &str) -> Option<&Typed> {
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

    /// This server alone is meant, whatever was typed.
    pub(super) fn name_server(&mut self, address: &str) {
        self.typed
            .retain(|(name, _)| ![SERVER, PORT_FORWARD].contains(name));
        let address = Typed::Text(address.to_owned());
        self.typed.push((SERVER, address));
    }

    pub(super) fn list(&self, name: &str) -> Option<Vec<String>> {
        match self.find(name)? {
            Typed::List(list) => Some(list.clone()),
            Typed::Text(text) => Some(vec![text.clone()]),
        }
    }
}
