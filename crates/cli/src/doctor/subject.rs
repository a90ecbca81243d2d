//! One server, and the steps to it.

use std::time::Duration;

use flow_api::connect::{ConnectOptions, DEFAULT_PORT, Target, TargetError, TlsOptions, connect};

use super::{
    api,
    clock::Clock,
    flows, grpc, name, port,
    report::{Failure, Nodes, Report, Step},
    route, socket,
    speaks::{self, Answer},
    tls,
};
use crate::forward::ForwardError;
use crate::settings::Settings;
use crate::source::server::{Credentials, Server};

/// Whom to look at, and how to reach it.
#[derive(Debug)]
pub(super) struct Subject {
    name: String,
    target: Result<Target, TargetError>,
    options: ConnectOptions,
    credentials: Credentials,
    /// How long a call may take.
    call_timeout: Duration,
    /// Settings by which a relay inside a cluster is reached, if it is one.
    forwarded: Option<Settings>,
}

impl Subject {
    /// The server that the settings name.
    pub(super) fn typed(settings: &Settings) -> anyhow::Result<Self> {
        let options = settings.connect_options();
        let credentials = Credentials::new(settings)?;
        let is_forwarded = settings.forward().is_some();
        let target = match is_forwarded {
            // Never asked: the way is another.
            true => Target::Tcp {
                host: "port-forward".to_owned(),
                port: DEFAULT_PORT,
            },
            false => settings.target()?,
        };
        if credentials.are_given() && !is_encrypted(&target, &options) {
            anyhow::bail!(
                "a password is sent to servers with TLS only: add --tls or write tls:// before \
                 {target}"
            );
        }
        Ok(Self {
            name: match is_forwarded {
                true => "port-forward".to_owned(),
                false => target.to_string(),
            },
            target: Ok(target),
            call_timeout: settings.request_timeout().max(options.connect_timeout),
            options,
            credentials,
            forwarded: is_forwarded.then(|| settings.clone()),
        })
    }

    /// One that a server names. It gets no password: who names it is not who was given the password.
    pub(super) fn peer(
        name: &str,
        address: &str,
        tls: Option<TlsOptions>,
        patience: Duration,
    ) -> Self {
        Self {
            name: name.to_owned(),
            target: address.parse(),
            options: ConnectOptions {
                connect_timeout: patience,
                tls,
            },
            credentials: Credentials::none(),
            call_timeout: patience,
            forwarded: None,
        }
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Whether it is a relay inside a cluster: its nodes cannot be reached from here.
    pub(super) const fn is_forwarded(&self) -> bool {
        self.forwarded.is_some()
    }

    /// Whether both are reached in the same place.
    pub(super) fn is_where(&self, other: &Self) -> bool {
        self.target.is_ok() && self.target == other.target
    }

    /// How long each step may take.
    pub(super) const fn patience(&self) -> Duration {
        self.options.connect_timeout
    }

    /// Takes all steps up to the first that fails. The server comes along if it answers calls.
    pub(super) async fn examine(&self) -> (Report, Option<Server>) {
        let mut report = Report::new(&self.name);
        let server = match self.reach(&mut report).await {
            Ok(server) => server,
            Err(failure) => {
                report.fail(failure);
                return (report, None);
            }
        };
        match self.ask(&server, &mut report).await {
            Ok(()) => (report, Some(server)),
            Err(failure) => {
                let answers = failure.step == Step::Flows;
                report.fail(failure);
                (report, answers.then_some(server))
            }
        }
    }

    /// From the name to something that speaks gRPC.
    async fn reach(&self, report: &mut Report) -> Result<Server, Failure> {
        if let Some(settings) = &self.forwarded {
            let server = Server::connect(settings).await.map_err(|error| {
                let cause = match error.downcast_ref::<ForwardError>() {
                    Some(error) => error.to_string(),
                    None => format!("{error:#}"),
                };
                Failure::new(Step::Forward, cause)
            })?;
            report.address = Some(server.name().to_owned());
            return Ok(server);
        }
        let target = self
            .target
            .as_ref()
            .map_err(|error| Failure::new(Step::Name, error.to_string()))?;
        match target {
            Target::Unix(path) => {
                report.address = Some(target.to_string());
                let mut stream = socket::open(path, self.patience()).await?;
                if !is_encrypted(target, &self.options) {
                    match speaks::answer(&mut stream, self.patience()).await {
                        Answer::Http2 => {}
                        other => return Err(grpc(other, self.patience())),
                    }
                }
            }
            Target::Tcp { host, port } | Target::Tls { host, port } => {
                self.reach_by_tcp(host, *port, is_encrypted(target, &self.options), report)
                    .await?;
            }
        }
        let channel = connect(target, &self.options)
            .await
            .map_err(|error| Failure::new(Step::Grpc, error.to_string()))?;
        Ok(Server::on(
            target.to_string(),
            channel,
            self.credentials.clone(),
            self.call_timeout,
        ))
    }

    async fn reach_by_tcp(
        &self,
        host: &str,
        port: u16,
        is_encrypted: bool,
        report: &mut Report,
    ) -> Result<(), Failure> {
        let patience = self.patience();
        let addresses = name::addresses(host, port, patience).await?;
        let addresses = route::routed(&addresses)?;
        let (address, mut stream) = port::open(&addresses, patience).await?;
        report.address = Some(address.to_string());
        if is_encrypted {
            let peer = tls::Peer {
                host,
                address,
                options: &self.options.tls.clone().unwrap_or_default(),
                patience,
            };
            let mut secured = peer.secure(stream).await?;
            if let Some(warning) = secured.facts.warning() {
                report.warn(warning);
            }
            report.tls = Some(secured.facts.clone());
            return secured.speaks(patience).await;
        }
        let answer = match speaks::answer(&mut stream, patience).await {
            Answer::Http2 => return Ok(()),
            // A server that wants TLS need not say so.
            Answer::Closed | Answer::Broken(_) | Answer::Silence
                if tls::is_spoken(host, address, patience).await =>
            {
                Answer::Tls
            }
            other => other,
        };
        Err(grpc(answer, patience))
    }

    /// What the server says of itself, its clock and its flows.
    async fn ask(&self, server: &Server, report: &mut Report) -> Result<(), Failure> {
        let (status, coarse) = api::status(server, self.call_timeout).await?;
        report.version = Some(match status.version.as_str() {
            "" => "version unknown".to_owned(),
            version => version.to_owned(),
        });
        if let Some(connected) = status.num_connected_nodes {
            let missing = status.num_unavailable_nodes.unwrap_or_default();
            report.nodes = Some(Nodes {
                connected,
                known: connected.saturating_add(missing),
            });
        }
        let (flows, clocks) = flows::seen(server, self.call_timeout).await?;
        // What a relay tells of is the time of a node.
        let told = clocks.told.filter(|_| report.nodes.is_none());
        report.clock = told.or(coarse).or(clocks.shown);
        report.flows = Some(flows);
        let clock = report.clock.as_ref().and_then(Clock::warning);
        for warning in clock.into_iter().chain(flows.warning()) {
            report.warn(warning);
        }
        Ok(())
    }
}

const fn is_encrypted(target: &Target, options: &ConnectOptions) -> bool {
    match target {
        Target::Tls { .. } => true,
        Target::Tcp { .. } | Target::Unix(_) => options.tls.is_some(),
    }
}
