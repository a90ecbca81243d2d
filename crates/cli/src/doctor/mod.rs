//! `palomar doctor`: why a server cannot be reached, or that it can.
//!
//! In: the server that `observe` would ask and those that it names, or the ones on the command line.
//! Out: a line for each, with the first step that failed, its cause and what to do. Each step is a
//! file here, and a connection is taken apart so that each of them can be told from the next:
//! [`name`], [`route`], [`port`] or [`socket`], [`tls`], [`speaks`], [`api`], [`clock`], [`flows`].

mod api;
mod clock;
mod exit;
mod flows;
mod name;
mod peers;
mod port;
mod progress;
mod report;
mod route;
mod socket;
mod speaks;
mod subject;
mod tls;

use futures::{StreamExt as _, stream};
use tokio_util::sync::CancellationToken;

pub(crate) use self::exit::Exit;
use self::{
    progress::Progress,
    report::{Failure, Report, Step},
    speaks::Answer,
    subject::Subject,
};
use crate::cli::Globals;
use crate::command::{output::Args, print_bytes};
use crate::flags::{Flag, Section};
use crate::settings::Settings;
use crate::source::server;

/// How many servers are looked at at a time.
const AT_A_TIME: usize = 16;

/// How the answer looks.
pub(crate) const SECTION: Section = Section {
    heading: "Formatting Flags",
    flags: &[Flag::value(
        "output",
        "FORMAT",
        "compact or json, a line for each server [default: compact]",
    )
    .short('o')],
};

/// Looks at the servers, and tells how each is doing.
///
/// # Errors
/// [`Exit::Failed`] if one of them is not well, [`Exit::Usage`] if it is not clear what to look at.
pub(crate) async fn run(
    globals: Globals<Args>,
    targets: Vec<String>,
    shutdown: CancellationToken,
) -> anyhow::Result<()> {
    let is_json = match globals.command.output.as_deref().unwrap_or("compact") {
        "compact" => false,
        "json" => true,
        other => return Err(Exit::usage(format!("invalid output format: {other}"))),
    };
    let settings =
        Settings::for_many(globals.command.server, globals.config).map_err(Exit::usage)?;
    server::check_files(&settings.tls_options()).map_err(Exit::usage)?;
    let looking = async {
        let mut table = Table::new(is_json);
        if targets.is_empty() {
            let subject = Subject::typed(&settings).map_err(Exit::usage)?;
            let (mut report, server) = subject.examine().await;
            let mut peers = match server {
                Some(server) if !subject.is_forwarded() => {
                    let tls = settings.tls_options();
                    peers::named(&server, &tls, subject.patience())
                        .await
                        .unwrap_or_else(|error| {
                            report.warn(format!("it does not name its peers: {error}"));
                            Vec::new()
                        })
                }
                _ => Vec::new(),
            };
            // An agent announces itself, too.
            peers.retain(|peer| !peer.is_where(&subject));
            table.make_room(std::iter::once(&subject).chain(&peers));
            table.tell(&report)?;
            table.examine(&peers).await?;
        } else {
            let subjects = targets
                .iter()
                .map(|target| Subject::typed(&settings.with_server(target)))
                .collect::<Result<Vec<_>, _>>()
                .map_err(Exit::usage)?;
            table.make_room(subjects.iter());
            table.examine(&subjects).await?;
        }
        anyhow::Ok(table.has_failures)
    };
    match shutdown.run_until_cancelled(looking).await {
        Some(Ok(false)) => Ok(()),
        // What was not looked at is not well, as far as anybody knows.
        Some(Ok(true)) | None => Err(Exit::Failed.into()),
        Some(Err(error)) => Err(error),
    }
}

/// Lines on standard output.
struct Table {
    is_json: bool,
    /// Of the longest name.
    width: usize,
    has_failures: bool,
}

impl Table {
    const fn new(is_json: bool) -> Self {
        Self {
            is_json,
            width: 0,
            has_failures: false,
        }
    }

    fn make_room<'a>(&mut self, subjects: impl Iterator<Item = &'a Subject>) {
        let widths = subjects.map(|subject| subject.name().chars().count());
        self.width = widths.max().unwrap_or_default();
    }

    fn tell(&mut self, report: &Report) -> anyhow::Result<()> {
        self.has_failures |= report.has_failed();
        print_bytes(&if self.is_json {
            report.json()
        } else {
            report.line(self.width)
        })
    }

    /// Looks at several at a time, and tells of them in their order.
    async fn examine(&mut self, subjects: &[Subject]) -> anyhow::Result<()> {
        let mut progress = Progress::new(subjects.len());
        let mut reports = stream::iter(subjects)
            .map(Subject::examine)
            .buffered(AT_A_TIME);
        while let Some((report, _)) = reports.next().await {
            progress.step_aside();
            self.tell(&report)?;
            progress.advance();
        }
        Ok(())
    }
}

/// The failure of a server that answers something else than gRPC.
fn grpc(answer: Answer, patience: std::time::Duration) -> Failure {
    let failed = |cause: String| Failure::new(Step::Grpc, cause);
    match answer {
        Answer::Http1 => failed("the server speaks HTTP/1".to_owned())
            .next("this is no agent or relay: check the port"),
        Answer::Tls => failed("the server wants TLS".to_owned())
            .next("add --tls, or write tls:// before the address"),
        Answer::Closed => failed("the server closed the connection".to_owned())
            .next("see the server's log, or check the port"),
        Answer::Silence => failed(format!(
            "the connection stands, but nothing is said within {patience:?}"
        ))
        .next("the server hangs, or it is no agent or relay: check the port"),
        Answer::Broken(error) => failed(format!(
            "the connection broke: {}",
            crate::source::reason(&error)
        ))
        .next("see the server's log"),
        Answer::Other(bytes) => failed(format!(
            "the server answers with \"{}\"",
            bytes.escape_ascii()
        ))
        .next("this is no agent or relay: check the port"),
        // Then there is no failure.
        Answer::Http2 => failed("the server speaks HTTP/2".to_owned()),
    }
}
