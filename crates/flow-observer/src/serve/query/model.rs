//! Requests over a socket, against a plain model of what they should get: a list of events, and
//! the rules of Hubble's server word by word.

use flow_api::{
    connect::{ConnectOptions, Target, connect_lazy},
    flow::{Endpoint, Flow, FlowFilter, Verdict},
    observer::{
        GetFlowsResponse, get_flows_response::ResponseTypes, observer_client::ObserverClient,
    },
    service::observer_server::ObserverServer,
};
use proptest::{collection::vec, option, prelude::*, sample::select};
use tokio::{net::UnixListener, time::timeout};
use tokio_stream::wrappers::UnixListenerStream;
use tonic::transport::{Channel, Server};

use super::*;
use crate::{
    encode::timestamp,
    ring::{Lost, Message},
    serve::ObserverService,
};

/// Times lie in the future: no follow ends for its `until` being over.
const BEGIN: i64 = 4_000_000_000;
/// Requests of a history.
const REQUESTS: usize = 8;

/// What happened.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum What {
    Flow { dropped: bool, identity: u32 },
    Agent,
    Debug,
    Lost,
}

/// When it happened, in seconds, and what. The number tells events apart.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Happened {
    number: u64,
    second: i64,
    what: What,
}

/// A filter of one list.
#[derive(Clone, Debug)]
struct Wanted {
    dropped: Option<bool>,
    identity: Option<u32>,
}

#[derive(Clone, Debug)]
struct Ask {
    number: u64,
    first: bool,
    follow: bool,
    since: Option<i64>,
    until: Option<i64>,
    allow: Vec<Wanted>,
    deny: Vec<Wanted>,
    /// What happens while a follow goes on.
    later: Vec<(i64, What)>,
}

fn what() -> impl Strategy<Value = What> {
    let flow = (any::<bool>(), 1u32..4);
    prop_oneof![
        6 => flow.prop_map(|(dropped, identity)| What::Flow { dropped, identity }),
        1 => Just(What::Agent),
        1 => Just(What::Debug),
        1 => Just(What::Lost),
    ]
}

/// Steps of the clock, which mostly stands or goes on, and is set back now and then.
fn events(most: usize) -> impl Strategy<Value = Vec<(i64, What)>> {
    vec((select(vec![0, 0, 0, 1, 1, 2, 5, -1, -8]), what()), 0..most)
}

fn wanted() -> impl Strategy<Value = Vec<Wanted>> {
    let one = (option::of(any::<bool>()), option::of(1u32..4));
    vec(
        one.prop_map(|(dropped, identity)| Wanted { dropped, identity }),
        0..3,
    )
}

fn ask() -> impl Strategy<Value = Ask> {
    let number = prop_oneof![Just(0), 1u64..30, Just(u64::MAX)];
    let time = || option::of(-10i64..70);
    let flags = (any::<bool>(), any::<bool>());
    (
        number,
        flags,
        time(),
        time(),
        wanted(),
        wanted(),
        events(20),
    )
        .prop_map(
            |(number, (first, follow), since, until, allow, deny, later)| Ask {
                number,
                first,
                follow,
                since,
                until,
                allow,
                deny,
                later,
            },
        )
}

impl Wanted {
    fn covers(&self, dropped: bool, identity: u32) -> bool {
        self.dropped.is_none_or(|wanted| wanted == dropped)
            && self.identity.is_none_or(|wanted| wanted == identity)
    }

    fn filter(&self) -> FlowFilter {
        let verdict = |dropped| match dropped {
            true => Verdict::Dropped.into(),
            false => Verdict::Forwarded.into(),
        };
        FlowFilter {
            verdict: self.dropped.into_iter().map(verdict).collect(),
            source_identity: self.identity.into_iter().collect(),
            ..FlowFilter::default()
        }
    }
}

impl Ask {
    fn request(&self) -> GetFlowsRequest {
        let time = |second: i64| Timestamp {
            seconds: BEGIN + second,
            nanos: 0,
        };
        GetFlowsRequest {
            number: self.number,
            first: self.first,
            follow: self.follow,
            since: self.since.map(time),
            until: self.until.map(time),
            whitelist: self.allow.iter().map(Wanted::filter).collect(),
            blacklist: self.deny.iter().map(Wanted::filter).collect(),
            ..GetFlowsRequest::default()
        }
    }

    fn counts(&self, event: &Happened) -> bool {
        let What::Flow { dropped, identity } = event.what else {
            return false;
        };
        let covers = |wanted: &Wanted| wanted.covers(dropped, identity);
        (self.allow.is_empty() || self.allow.iter().any(covers)) && !self.deny.iter().any(covers)
    }

    /// Where to begin in what the ring has.
    fn start(&self, kept: &[Happened]) -> usize {
        let counted = || (0..kept.len()).rev().filter(|&at| self.counts(&kept[at]));
        if let Some(since) = self.since {
            let older = counted().find(|&at| kept[at].second < since);
            return older.map_or(0, |at| at + 1);
        }
        match (self.number, self.first, self.follow) {
            (0, _, true) => kept.len(),
            (0, ..) | (_, true, _) => 0,
            (number, ..) => usize::try_from(number - 1)
                .ok()
                .and_then(|before| counted().nth(before))
                .unwrap_or(0),
        }
    }

    /// Numbers of the events that the client gets.
    fn answer(&self, kept: &[Happened], later: &[Happened]) -> Vec<u64> {
        let mut answer = Vec::new();
        let mut left = match self.number {
            0 => u64::MAX,
            _ if self.follow => u64::MAX,
            number => number,
        };
        for event in kept[self.start(kept)..].iter().chain(later) {
            if left == 0 {
                break;
            }
            if event.what == What::Lost {
                answer.push(event.number);
                continue;
            }
            if self.until.is_some_and(|until| event.second > until) {
                break;
            }
            if self.since.is_none_or(|since| event.second >= since) && self.counts(event) {
                answer.push(event.number);
                left -= 1;
            }
        }
        answer
    }
}

/// The ring's events, as they are written and as the model knows them.
struct History {
    ring: Arc<FlowRing>,
    happened: Vec<Happened>,
    second: i64,
}

impl History {
    /// Publishes events in batches of so many.
    fn publish(&mut self, events: &[(i64, What)], batch: usize) -> Vec<Happened> {
        let from = self.happened.len();
        for &(step, what) in events {
            self.second = (self.second + step).max(0);
            self.happened.push(Happened {
                number: self.happened.len() as u64 + 1,
                second: self.second,
                what,
            });
        }
        let happened = self.happened[from..].to_vec();
        for batch in happened.chunks(batch) {
            self.ring.publish(&mut batch.iter().map(event).collect());
        }
        happened
    }

    fn kept(&self) -> &[Happened] {
        let capacity = self.ring.capacity() as usize;
        &self.happened[self.happened.len().saturating_sub(capacity)..]
    }
}

fn event(happened: &Happened) -> Event {
    let time_ns = (BEGIN + happened.second) * 1_000_000_000;
    match happened.what {
        What::Flow { dropped, identity } => {
            let verdict = if dropped {
                Verdict::Dropped
            } else {
                Verdict::Forwarded
            };
            let flow = Flow {
                time: Some(timestamp(time_ns)),
                verdict: verdict.into(),
                uuid: happened.number.to_string(),
                source: Some(Endpoint {
                    identity,
                    ..Endpoint::default()
                }),
                ..Flow::default()
            };
            Event::Message(Message {
                time_ns,
                message: Box::new(flow),
            })
        }
        What::Agent => Event::Agent(Message {
            time_ns,
            message: Box::default(),
        }),
        What::Debug => Event::Debug(Message {
            time_ns,
            message: Box::default(),
        }),
        What::Lost => Event::Lost(Lost {
            time_ns,
            count: happened.number,
            cpu: 0,
        }),
    }
}

fn number(response: GetFlowsResponse) -> u64 {
    match response.response_types {
        Some(ResponseTypes::Flow(flow)) => flow.uuid.parse().unwrap(),
        Some(ResponseTypes::LostEvents(lost)) => lost.num_events_lost,
        other => panic!("{other:?}"),
    }
}

/// A server of this ring, and a client of it.
pub(super) fn serve(
    ring: &Arc<FlowRing>,
    directory: &tempfile::TempDir,
) -> ObserverClient<Channel> {
    let socket = directory.path().join("observer.sock");
    let listener = UnixListenerStream::new(UnixListener::bind(&socket).unwrap());
    let service = ObserverService::of(
        Arc::clone(ring),
        NodeFacts::default(),
        CancellationToken::new(),
    );
    let server = Server::builder().add_service(ObserverServer::new(service));
    tokio::spawn(server.serve_with_incoming(listener));
    let target: Target = format!("unix://{}", socket.display()).parse().unwrap();
    ObserverClient::new(connect_lazy(&target, &ConnectOptions::default()).unwrap())
}

async fn compare(client: &mut ObserverClient<Channel>, history: &mut History, ask: &Ask) {
    let answered = client.get_flows(ask.request()).await;
    if ask.first && ask.follow {
        assert_eq!(answered.unwrap_err().code(), tonic::Code::InvalidArgument);
        return;
    }
    let mut responses = answered.unwrap().into_inner();
    let kept = history.kept().to_vec();
    let mut later = Vec::new();
    if ask.follow {
        later = history.publish(&ask.later, 3);
        // Passes every filter, and so tells that nothing comes before it any more.
        later.extend(history.publish(&[(0, What::Lost)], 1));
    }
    let last = later.last().map(|event| event.number);
    let mut answer = Vec::new();
    while answer.is_empty() || answer.last().copied() != last {
        match responses.message().await.unwrap() {
            Some(response) => answer.push(number(response)),
            None => break,
        }
    }
    assert_eq!(answer, ask.answer(&kept, &later), "{ask:?} of {kept:?}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000 / REQUESTS as u32))]
    #[test]
    fn answers_are_those_of_the_model(
        capacity in prop_oneof![1usize..40, Just(10_000)],
        past in events(60),
        batch in 1usize..9,
        mut asks in vec(ask(), REQUESTS),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let directory = tempfile::tempdir().unwrap();
        let compared = async {
            let ring = Arc::new(FlowRing::new(capacity));
            let mut history = History { ring, happened: Vec::new(), second: 0 };
            history.publish(&past, batch);
            let mut client = serve(&history.ring, &directory);
            // A follow would be overtaken in a small ring.
            for ask in &mut asks {
                ask.follow &= capacity == 10_000;
                compare(&mut client, &mut history, ask).await;
            }
        };
        runtime.block_on(async { timeout(Duration::from_secs(30), compared).await.unwrap() });
    }
}
