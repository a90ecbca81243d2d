//! One peer's part in one `GetFlows` call: asks the peer, reads its stream, hands batches to the
//! merge, and in a following call asks again when the stream breaks.
//!
//! A reader is a task of its own, so a peer that hangs delays only itself, and it pays for what it
//! hands over with [`Credit`], so a client that reads slowly fills this call's read-ahead, then the
//! window of this call's stream, and then makes the peer wait. No other call notices.

mod hand_over;

use std::error::Error as _;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use flow_api::observer::GetFlowsRequest;
use flow_api::palomar::CoverageReport;
use flow_api::{coverage, resume};
use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio::time::{Instant, sleep, timeout};
use tonic::{Code, Request, Status};

use crate::answer::Answer;
use crate::call::Call;
use crate::credit::Credit;
use crate::defaults::{ACCEPT_GRACE, PEER_TIMEOUT, READ_AHEAD_BYTES, RETRY_CAP};
use crate::merge::LaneId;
use crate::names::Names;
use crate::pool::{Lease, Member, State};
use crate::rejoin::{Again, Reached, Told, as_seen_by};
use crate::retry::Backoff;
use crate::status::error_text;
use crate::wire::Time;

/// One message on its way through the merge.
#[derive(Debug)]
pub(crate) struct Event {
    /// The encoded `GetFlowsResponse`, as the peer sent it.
    pub(crate) bytes: Bytes,
    /// Whether it is a flow, and not a gap or a status.
    pub(crate) is_flow: bool,
    /// On the last event of a batch, what the whole batch was paid with; given back when dropped.
    pub(crate) credit: Option<OwnedSemaphorePermit>,
}

/// What a reader has to say.
#[derive(Debug)]
pub(crate) enum Report {
    /// The peer has accepted the call; said again after each break.
    Opened,
    /// What was there to read.
    Events(Vec<(Time, Event)>),
    /// Whatever else comes is later than this.
    Passed(Time),
    /// Something is missing of what the peer sent, for this reason. The stream goes on.
    Trouble(String),
    /// The stream broke with an error. A following call's reader goes on trying.
    Failed(String),
    /// What the peer's answer covers, said at its end.
    Covered(CoverageReport),
    /// The peer ended a following stream without an error; the reader goes on trying.
    Left,
    /// There is nothing more to come, and this is the reader's last word.
    Ended,
    /// As [`Report::Ended`]: the peer does not take the request, and would not when asked again.
    Refused(String),
}

/// A report and whose it is.
pub(crate) type FromReader = (LaneId, Report);

/// See the [module](self).
#[derive(Debug)]
pub(crate) struct Reader {
    call: Arc<Call>,
    member: Arc<Member>,
    lane: LaneId,
    reports: mpsc::Sender<FromReader>,
    credit: Credit,
    /// Whether the request goes out unchanged: nobody has asked this peer in this call yet.
    is_first: bool,
    /// What was handed over.
    reached: Reached,
    /// Flows that come again after a break.
    again: Option<Again>,
    /// Gaps that were handed over.
    told: Told,
    names: Names,
}

/// Why a stream is over.
enum End {
    /// By the peer, without an error.
    Clean,
    /// There never is anything in it.
    Finished,
    /// Stream or connection broke; the peer may take the request later.
    Broken(String),
    /// The peer does not take this request.
    Refused(String),
    /// The peer has moved; its new address is to be asked.
    Moved,
    /// Nobody listens to this reader any more.
    Unheard,
}

impl From<Status> for End {
    fn from(status: Status) -> Self {
        let text = error_text(&status);
        // Refused by the peer itself. Hubble gives Unknown for bad filters, but for much else too,
        // so such a peer is asked again.
        let is_refusal = matches!(status.code(), Code::InvalidArgument | Code::Unimplemented);
        if is_refusal && status.source().is_none() {
            Self::Refused(text)
        } else {
            Self::Broken(text)
        }
    }
}

impl Reader {
    /// A reader of a peer that is asked as the client asks, or, with `from_now_on`, of one that
    /// joins a following call later: it is asked for what has happened since the call began.
    pub(crate) fn new(
        call: Arc<Call>,
        member: Arc<Member>,
        lane: LaneId,
        reports: mpsc::Sender<FromReader>,
        from_now_on: bool,
    ) -> Self {
        let credit = Credit::new(READ_AHEAD_BYTES, call.shared_credit.clone());
        let names = Names::in_answer(Arc::clone(&member.name), &call.request);
        Self {
            call,
            member,
            lane,
            reports,
            credit,
            is_first: !from_now_on,
            reached: Reached::default(),
            again: None,
            told: Told::default(),
            names,
        }
    }

    /// Reads until there is nothing more to read, or until nobody listens.
    pub(crate) async fn run(mut self) {
        let follow = self.call.request.follow;
        let mut backoff = Backoff::with_cap(RETRY_CAP);
        if !self.is_first {
            self.wait_until_available().await;
        }
        loop {
            let asked = Instant::now();
            let end = self.read_once().await;
            let report = match end {
                End::Finished => Report::Ended,
                End::Clean if !follow || self.call.is_over() => Report::Ended,
                End::Clean => Report::Left,
                End::Broken(message) => Report::Failed(message),
                End::Refused(message) => Report::Refused(message),
                End::Moved => Report::Left,
                End::Unheard => return,
            };
            let is_last = !follow || matches!(report, Report::Ended | Report::Refused(_));
            if !self.report(report).await || is_last {
                return;
            }
            if asked.elapsed() > RETRY_CAP {
                backoff.reset();
            }
            // The pool finds out by itself if it watches the connection; if not, this tells it.
            self.member.nudge();
            sleep(backoff.next()).await;
            self.wait_until_available().await;
        }
    }

    /// While a peer is known to be down the pool alone tries to reach it, however many calls wait.
    async fn wait_until_available(&self) {
        let mut link = self.member.link();
        let available = link
            .wait_for(|link| link.state.is_available())
            .await
            .is_ok();
        if !available {
            // The peer left the pool. Whoever started this reader will stop it.
            std::future::pending::<()>().await;
        }
    }

    /// Asks once and reads to the end.
    async fn read_once(&mut self) -> End {
        let member = Arc::clone(&self.member);
        let (connections, generation) = member.connections();
        let lease = match connections.map(|connections| connections.lease()) {
            Some(Ok(lease)) => lease,
            Some(Err(error)) => return End::Broken(error.to_string()),
            None => return End::Broken("no address is known".to_owned()),
        };
        let mut link = member.link();
        // In a set of its own, so that it is looked at only when it was woken, and not with each flow.
        let mut moved = FuturesUnordered::new();
        if self.call.request.follow {
            moved.push(async {
                let moved = link.wait_for(|link| link.generation != generation);
                moved.await.is_ok()
            });
        }
        tokio::select! {
            biased;
            end = self.read(lease) => end,
            Some(true) = moved.next() => End::Moved,
        }
    }

    async fn read(&mut self, lease: Lease) -> End {
        let request = self.request();
        self.is_first = false;
        let opening = Answer::to(lease.channel.clone(), self.call.method, request);
        let answer = if self.call.request.follow {
            self.open_following(opening).await
        } else {
            match timeout(PEER_TIMEOUT, opening).await {
                Ok(Ok(answer)) => Ok(answer),
                Ok(Err(status)) => Err(status.into()),
                Err(_elapsed) => Err(silent()),
            }
        };
        let mut answer = match answer {
            Ok(answer) => answer,
            Err(end) => return end,
        };
        if answer.is_end() {
            return End::Finished;
        }
        if answer.goes_on() {
            self.again = None;
        } else if self.again.is_some()
            && self.reached.is_ahead(Time::now())
            && !self.report(Report::Trouble(CLOCK_TROUBLE.to_owned())).await
        {
            return End::Unheard;
        }
        let mut messages = Vec::new();
        loop {
            let end = self.next(&mut answer, &mut messages).await;
            if !messages.is_empty() && !self.hand_over(&mut messages).await {
                return End::Unheard;
            }
            let left_out = answer.take_left_out();
            if left_out > 0 && !self.skipped(left_out, UNREADABLE).await {
                return End::Unheard;
            }
            if let Some(end) = end {
                let told = answer.trailers().and_then(coverage::told);
                if let Some(mut told) = told.filter(|_| self.call.asks_for_coverage()) {
                    for node in &mut told.nodes {
                        self.names.complete(&mut node.node_name);
                    }
                    if !self.report(Report::Covered(told)).await {
                        return End::Unheard;
                    }
                }
                return end;
            }
        }
    }

    /// Waits for a following call to be accepted and says so. A Go server that has nothing to send
    /// does not say it itself, so some time without a refusal on a connection that stands will do.
    async fn open_following(
        &mut self,
        opening: impl Future<Output = Result<Answer, Status>>,
    ) -> Result<Answer, End> {
        let mut link = self.member.link();
        let grace = async {
            let stands = link
                .wait_for(|link| link.state == State::Ready)
                .await
                .is_ok();
            if !stands {
                std::future::pending::<()>().await;
            }
            sleep(ACCEPT_GRACE).await;
        };
        tokio::pin!(opening, grace);
        let early = tokio::select! {
            answer = &mut opening => Some(answer),
            () = &mut grace => None,
        };
        let opened = match early {
            Some(Err(status)) => return Err(status.into()),
            Some(Ok(_)) | None => self.report(Report::Opened).await,
        };
        if !opened {
            return Err(End::Unheard);
        }
        Ok(match early {
            Some(answer) => answer?,
            None => opening.await?,
        })
    }

    /// The request for the next attempt: the client's own, and after that one for what has not been
    /// handed over yet, so that nothing comes twice.
    fn request(&mut self) -> Request<GetFlowsRequest> {
        let mut message = self.call.request.clone();
        let mut metadata = self.call.metadata.clone();
        self.names.widen(&mut message);
        if !self.is_first {
            message.number = 0;
            message.first = false;
            self.told.begin_again();
            let since = match (self.reached.since(), self.reached.came(), message.since) {
                (Some((since, again)), ..) => {
                    self.again = Some(again);
                    since
                }
                (None, Some(came), _) => self.by_its_clock(came),
                (None, None, Some(since)) => since.into(),
                (None, None, None) => self.by_its_clock(self.call.began),
            };
            message.since = Some(since.into());
            if let Some(after) = self.reached.after() {
                resume::ask(&mut metadata, after);
            }
        }
        let mut request = Request::new(message);
        *request.metadata_mut() = metadata;
        request
    }

    /// What the peer's clock shows at a time of ours, as far as it is known.
    fn by_its_clock(&self, time: Time) -> Time {
        match self.member.about().clock.filter(|clock| clock.is_off()) {
            Some(clock) => as_seen_by(time, clock.ahead_seconds),
            None => time,
        }
    }

    /// Waits for the next messages, all of one piece; tells the end, if it came.
    async fn next(&self, answer: &mut Answer, messages: &mut Vec<Bytes>) -> Option<End> {
        let next = answer.next(messages);
        let next = if self.call.request.follow {
            next.await
        } else {
            match timeout(PEER_TIMEOUT, next).await {
                Ok(next) => next,
                Err(_elapsed) => return Some(silent()),
            }
        };
        match next {
            Ok(true) => None,
            Ok(false) => Some(End::Clean),
            Err(status) => Some(status.into()),
        }
    }

    async fn report(&self, report: Report) -> bool {
        self.reports.send((self.lane, report)).await.is_ok()
    }
}

/// What is wrong with messages that are left out as they come.
const UNREADABLE: &str = "it has more than 4 MiB or is compressed";

/// What a client is told of a peer that is asked again by time.
const CLOCK_TROUBLE: &str = "its clock was ahead: should it be set back by now, flows are missing until \
                             it has come as far again";

/// A finite query's peer that says nothing: to the client it looks like a call that timed out.
fn silent() -> End {
    let waited = Duration::as_secs(&PEER_TIMEOUT);
    Status::deadline_exceeded(format!("the peer sent nothing for {waited} s")).into()
}
