//! Between the feed, the keys and the clock.

use std::{
    io::{self, IsTerminal as _},
    time::Duration,
};

use anyhow::{Context as _, bail};
use crossterm::event::{Event, EventStream, KeyEventKind};
use flow_api::{extension::ask_for_flow_detail, observer::GetFlowsRequest};
use futures::StreamExt as _;
use tokio::time::{Instant, MissedTickBehavior, interval_at};
use tokio_util::sync::CancellationToken;

use super::{
    TopArgs,
    app::{App, Wish},
    args::Wanted,
    batch,
    draw::{self, Look},
    feed::{Feed, News},
    tally::Tally,
    terminal,
};
use crate::cli::Globals;
use crate::observe::request::{self, Display};
use crate::print::{self, Color, Escape, Format, Screen, Style};
use crate::settings::Settings;

/// Flows that are counted before a key gets its turn: some milliseconds' worth.
const MOST_AT_ONCE: usize = 2_048;

/// Runs `palomar top` until the user has seen enough.
///
/// # Errors
/// Flags that do not go together, a server that cannot be reached at the start, or no terminal.
pub(crate) async fn run(
    globals: Globals<TopArgs>,
    shutdown: CancellationToken,
) -> anyhow::Result<()> {
    let mut args = globals.command;
    let wanted = args.wanted()?;
    if wanted.batches.is_none() && !(io::stdout().is_terminal() && io::stdin().is_terminal()) {
        bail!(
            "palomar top draws on a terminal, and here is none: add --once for a table, or \
             --batches N for more"
        );
    }
    let settings = Settings::new(args.observe.server.clone(), globals.config.clone())?;
    args.observe.follow = true;
    let (request, display) = request::flows(&mut args.observe, &globals.config, globals.debug)?;
    let request = request_for(request, &wanted);
    let color = Color::choose(&args.observe.color);
    let begin = async |feed, server| watch(feed, server, wanted, &display, color, &shutdown).await;
    #[cfg(feature = "node")]
    if let Some(source) = crate::embedded::source(&args.observe)? {
        let inventory = crate::embedded::inventory(&args.observe);
        if source.spec.is_finite() {
            let flows = crate::source::offline::flows(&source, inventory.as_deref(), &request)?;
            return begin(Feed::of(flows), args.observe.source).await;
        }
        return crate::embedded::live(source, inventory, request, &shutdown, async |flows| {
            begin(Feed::of(flows), "this machine".to_owned()).await
        })
        .await;
    }
    let server = settings.address();
    let connecting = Feed::of_server(settings, request);
    match shutdown.run_until_cancelled(connecting).await {
        Some(feed) => begin(feed?, server).await,
        None => Ok(()),
    }
}

/// Everything from now on, with the fields that are shown.
fn request_for(request: GetFlowsRequest, wanted: &Wanted) -> GetFlowsRequest {
    let mut request = GetFlowsRequest {
        number: 0,
        first: false,
        follow: true,
        extensions: Some(ask_for_flow_detail()),
        ..request
    };
    if let Some(mask) = &mut request.field_mask {
        mask.paths
            .extend(wanted.plans.iter().flat_map(|plan| plan.fields.mask()));
        mask.paths.sort();
        mask.paths.dedup();
    }
    request
}

async fn watch(
    feed: Feed,
    server: String,
    wanted: Wanted,
    display: &Display,
    color: Color,
    shutdown: &CancellationToken,
) -> anyhow::Result<()> {
    let app = App::new(server, &wanted);
    // Lines stand on a screen that colours them as a whole.
    let style = Style {
        color: Color::OFF,
        escape: Escape::Nothing,
        ..display.style.clone()
    };
    let printer = print::printer(Format::Compact, style);
    let tally = Tally::new(wanted.plans, wanted.limit, wanted.window, printer);
    let top = Top { app, tally, feed };
    match wanted.batches {
        Some(batches) => top.print(batches, wanted.interval, shutdown).await,
        None => top.draw(Look::new(color), wanted.interval, shutdown).await,
    }
}

struct Top {
    app: App,
    tally: Tally,
    feed: Feed,
}

impl Top {
    /// Prints tables.
    async fn print(
        mut self,
        batches: u64,
        every: Duration,
        shutdown: &CancellationToken,
    ) -> anyhow::Result<()> {
        let mut screen = Screen::new(false);
        for batch in 0..batches {
            let end = Instant::now() + every;
            loop {
                tokio::select! {
                    biased;
                    () = shutdown.cancelled() => return Ok(()),
                    () = tokio::time::sleep_until(end) => break,
                    news = self.feed.next() => self.hear(news),
                }
            }
            self.refresh();
            if batch > 0 {
                screen.page.out.push(b'\n');
            }
            let now = Instant::now().into_std();
            batch::write(&mut screen.page, &self.app, &self.tally, now);
            screen.flush()?;
        }
        Ok(())
    }

    /// Draws on the terminal.
    async fn draw(
        mut self,
        look: Look,
        every: Duration,
        shutdown: &CancellationToken,
    ) -> anyhow::Result<()> {
        let mut screen = terminal::Screen::take().context("cannot take the terminal")?;
        let mut events = EventStream::new();
        let mut ticks = interval_at(Instant::now(), every);
        // After a pause, as when the machine slept, one is enough.
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                biased;
                () = shutdown.cancelled() => return Ok(()),
                event = events.next() => match event {
                    Some(Ok(Event::Key(key))) if key.kind != KeyEventKind::Release => {
                        let now = Instant::now().into_std();
                        if self.app.press(key, &mut self.tally, now) == Wish::Quit {
                            return Ok(());
                        }
                    }
                    // Another size: drawing finds out which.
                    Some(Ok(_)) => {}
                    Some(Err(error)) => return Err(error).context("cannot read the terminal"),
                    // The terminal is gone.
                    None => return Ok(()),
                },
                _ = ticks.tick() => self.refresh(),
                news = self.feed.next() => {
                    self.hear(news);
                    continue;
                }
            }
            let (app, tally) = (&mut self.app, &self.tally);
            screen.terminal().draw(|frame| {
                draw::draw(frame, app, tally, look, Instant::now().into_std());
            })?;
        }
    }

    fn refresh(&mut self) {
        let now = Instant::now().into_std();
        if let Some(status) = self.feed.status() {
            self.tally.nodes.tell(status);
        }
        self.tally.sweep(now);
        self.app.refresh(&self.tally, now);
    }

    /// Takes in what came, and what is there behind it.
    fn hear(&mut self, news: News) {
        let now = Instant::now().into_std();
        self.take(news, now);
        for _ in 1..MOST_AT_ONCE {
            match self.feed.ready() {
                Some(news) => self.take(news, now),
                None => break,
            }
        }
    }

    fn take(&mut self, news: News, now: std::time::Instant) {
        match news {
            News::Flow(response) => self.tally.add(*response, now),
            News::Back => self.app.trouble.clear(),
            News::Gone(why) => self.app.trouble = why,
            News::End => self.app.has_ended = true,
        }
    }
}
