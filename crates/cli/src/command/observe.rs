//! `palomar observe`: sends the request, prints what comes.

use std::{
    io::{IsTerminal as _, Write as _},
    pin::pin,
    time::Duration,
};

use flow_api::{coverage, extension, json};
use futures::{FutureExt as _, StreamExt as _, future, stream};
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;
use tonic::Code;
use tracing::debug;

use crate::cli::Globals;
use crate::filters::raw;
use crate::observe::{
    args::Args,
    checked::Checked,
    closing::Closing,
    explain::{Decides, explain},
    request::{self, Display},
};
use crate::print::{Page, Printer, Screen};
use crate::progress::Progress;
use crate::settings::Settings;
use crate::source::{
    Flows, Responses,
    file::{self, Files},
    follow,
    server::{RpcError, Server},
};

pub(crate) async fn flows(
    globals: Globals<Args>,
    shutdown: CancellationToken,
) -> anyhow::Result<()> {
    let mut args = globals.command;
    let settings = Settings::new(args.server.clone(), globals.config.clone())?;
    let (request, mut display) = request::flows(&mut args, &globals.config, globals.debug)?;
    let checked = Checked::new(&args.conditions, &request)?;
    if args.conditions.explain {
        let decides = match args.is_read_here() {
            true => Decides::Here,
            false => Decides::Server,
        };
        return super::print(&explain(&request, &args.conditions, decides));
    }
    if args.print_raw_filters {
        return super::print(&raw::print(&request.whitelist, &request.blacklist));
    }
    display.recorder = args.record.open()?;
    #[cfg(feature = "node")]
    {
        let source = crate::embedded::source(&args)?;
        if let Some(source) = source {
            let inventory = crate::embedded::inventory(&args);
            return crate::embedded::observe(source, inventory, request, display, shutdown).await;
        }
    }
    // A follow has no end that one could be near to.
    if !request.follow {
        display.progress = match args.input_file.as_slice() {
            [] => Progress::of_answer(&settings.address()),
            names => Progress::of_bytes(file::length(names)),
        };
    }
    let tells_coverage = args
        .coverage
        .unwrap_or_else(|| std::io::stderr().is_terminal());
    let wants_total = args.total;
    let is_asked = tells_coverage && args.input_file.is_empty();
    let closing = is_asked.then(|| Closing::new(args.coverage == Some(true), request.follow));
    let responses: Flows = if args.input_file.is_empty() {
        let (told, shows_names) = (closing.as_ref().map(Closing::told), display.shows_names());
        let asking = checked.clone();
        let ask = move |server: Server, request| {
            debug!(
                request = json::to_string(&request),
                "Sending GetFlows request"
            );
            let (told, checked) = (told.clone(), asking.clone());
            async move {
                let mut observer = server.observer();
                let call = async |mut request: tonic::Request<_>| {
                    if told.is_some() {
                        coverage::ask(request.metadata_mut());
                    }
                    if wants_total {
                        extension::ask_for_total(request.metadata_mut());
                    }
                    if shows_names {
                        extension::ask_for_names(&mut request);
                    }
                    checked.ask(&mut observer, request).await
                };
                let told = told.clone();
                let ended = move |trailers: &tonic::metadata::MetadataMap| {
                    if let (Some(told), Some(report)) = (told, coverage::told(trailers)) {
                        // Said once: a stream ends once.
                        drop(told.set(report));
                    }
                };
                Ok(server.streaming_to_end(request, call, ended).await?)
            }
            .boxed()
        };
        asked(&shutdown, follow::responses(&settings, request, ask)).await
    } else {
        if settings.forward().is_some() {
            anyhow::bail!("cannot use --input-file and --auto-port-forward together");
        }
        debug!(
            request = json::to_string(&request),
            "Sending GetFlows request"
        );
        let files = Files::open(&args.input_file, &request, display.progress.clone())?;
        if display.is_stateless() {
            return files.print(display, shutdown).await;
        }
        files.flows(display.shown())?
    };
    let responses = checked.only(responses);
    show(responses, display, shutdown, |printer, response, page| {
        if let Some(closing) = &closing {
            closing.count(response);
        }
        printer.flows(response, page);
        page.save(response);
        Ok(())
    })
    .await?;
    if let Some(line) = closing.and_then(|closing| closing.line()) {
        // Who has closed standard error does not want to know.
        drop(writeln!(std::io::stderr(), "{line}"));
    }
    Ok(())
}

pub(crate) async fn agent_events(
    globals: Globals<Args>,
    shutdown: CancellationToken,
) -> anyhow::Result<()> {
    let args = globals.command;
    let settings = Settings::new(args.server.clone(), globals.config.clone())?;
    let (request, display) = request::agent_events(&args, globals.debug)?;
    let ask = |server: Server, request| {
        debug!(
            request = json::to_string(&request),
            "Sending GetAgentEvents request"
        );
        async move {
            let mut observer = server.observer();
            let call = async |request| observer.get_agent_events(request).await;
            Ok(server.streaming(request, call).await?)
        }
        .boxed()
    };
    let responses = asked(&shutdown, follow::responses(&settings, request, ask)).await;
    show(responses, display, shutdown, |printer, response, page| {
        let event = response.agent_event.as_ref();
        let event = event.ok_or(NoEvent("an agent event"))?;
        printer.agent_event(response, event, page);
        Ok(())
    })
    .await
}

pub(crate) async fn debug_events(
    globals: Globals<Args>,
    shutdown: CancellationToken,
) -> anyhow::Result<()> {
    let args = globals.command;
    let settings = Settings::new(args.server.clone(), globals.config.clone())?;
    let (request, display) = request::debug_events(&args, globals.debug)?;
    let ask = |server: Server, request| {
        debug!(
            request = json::to_string(&request),
            "Sending GetDebugEvents request"
        );
        async move {
            let mut observer = server.observer();
            let call = async |request| observer.get_debug_events(request).await;
            Ok(server.streaming(request, call).await?)
        }
        .boxed()
    };
    let responses = asked(&shutdown, follow::responses(&settings, request, ask)).await;
    show(responses, display, shutdown, |printer, response, page| {
        let event = response.debug_event.as_ref();
        let event = event.ok_or(NoEvent("a debug event"))?;
        printer.debug_event(response, event, page);
        Ok(())
    })
    .await
}

/// The responses to a call; a failed call is a stream of one error, and one that a signal cut short
/// an empty stream.
pub(super) async fn asked<T: Send + 'static>(
    shutdown: &CancellationToken,
    asking: impl Future<Output = anyhow::Result<Responses<T>>>,
) -> Responses<T> {
    match shutdown.run_until_cancelled(asking).await {
        Some(Ok(responses)) => responses,
        Some(Err(error)) => stream::once(future::ready(Err(error))).boxed(),
        None => stream::empty().boxed(),
    }
}

/// A response of the right type without what it is for.
#[derive(Debug, thiserror::Error)]
#[error("not {0}")]
pub(crate) struct NoEvent(&'static str);

/// Prints responses until they end, fail, or a signal comes. What was printed before an error is
/// written.
pub(crate) async fn show<T>(
    responses: Responses<T>,
    display: Display,
    shutdown: CancellationToken,
    print: impl Fn(&mut dyn Printer, &T, &mut Page) -> Result<(), NoEvent>,
) -> anyhow::Result<()> {
    let mut printer = display.printer();
    let mut screen = Screen::new(display.silent);
    screen.progress = display.progress.clone();
    screen.record(display.recorder);
    let mut responses = pin!(responses);
    let mut ticks = printer.interval().map(Ticks::new);
    let outcome = loop {
        if ticks.as_mut().is_some_and(Ticks::is_due) {
            printer.tick(&mut screen.page);
            screen.flush()?;
        }
        // What is ready is printed together; before waiting for more, it is written.
        let next = match responses.next().now_or_never() {
            Some(next) => next,
            None => {
                screen.flush()?;
                let next = shutdown.run_until_cancelled(responses.next());
                let next = match &ticks {
                    Some(ticks) => timeout_at(ticks.due, next).await,
                    None => Ok(next.await),
                };
                match next {
                    Ok(Some(next)) => next,
                    Ok(None) => break Ok(()),
                    Err(_elapsed) => continue,
                }
            }
        };
        let printed = match next {
            Some(Ok(response)) => print(&mut *printer, &response, &mut screen.page),
            Some(Err(error)) => break ended_by(error),
            None => break Ok(()),
        };
        if let Err(error) = printed {
            break Err(error.into());
        }
        screen.turn()?;
        if shutdown.is_cancelled() {
            break Ok(());
        }
    };
    printer.finish(&mut screen.page);
    display.progress.finish();
    screen.finish(outcome.is_ok())?;
    outcome
}

/// When a printer is to be called next.
struct Ticks {
    every: Duration,
    due: Instant,
}

impl Ticks {
    fn new(every: Duration) -> Self {
        Self {
            every,
            due: Instant::now() + every,
        }
    }

    /// Whether it is time; then the next time is an interval from now.
    fn is_due(&mut self) -> bool {
        let now = Instant::now();
        let is_due = now >= self.due;
        if is_due {
            self.due = now + self.every;
        }
        is_due
    }
}

/// What an error at the end of a stream means: one that says that the call was cancelled is no
/// error, and of one without a code only the text counts.
fn ended_by(error: anyhow::Error) -> anyhow::Result<()> {
    match error.downcast::<RpcError>() {
        Ok(RpcError {
            code: Code::Cancelled,
            ..
        }) => Ok(()),
        Ok(RpcError {
            code: Code::Unknown,
            message,
        }) => Err(anyhow::Error::msg(message)),
        Ok(error) => Err(error.into()),
        Err(error) => Err(error),
    }
}
