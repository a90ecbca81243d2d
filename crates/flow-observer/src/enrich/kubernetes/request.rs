//! The conversation with the API server: pages of a list, lines of a watch. Whatever comes back is
//! bounded, in size and in time.

use std::{io, marker::PhantomData, pin::Pin, time::Duration};

use futures::{AsyncBufRead, AsyncBufReadExt as _, AsyncReadExt as _};
use kube::{
    Client,
    core::{
        Request,
        params::{ListParams, WatchParams},
    },
};
use serde::Deserialize;
use tokio::time::timeout;

use super::objects::{Metadata, Watched};

/// How long the server may take to begin with an answer, and be silent within a list.
const SILENCE_TIMEOUT: Duration = Duration::from_secs(30);
/// How much longer than it was told to a watch may be silent before it counts as dead.
const WATCH_GRACE: Duration = Duration::from_secs(10);
/// The longest line of a watch. The API server's database takes objects of one and a half megabytes.
const MAX_LINE_BYTES: usize = 8 << 20;
/// The largest page of a list: hundreds of objects with some ten kilobytes each.
const MAX_PAGE_BYTES: u64 = 64 << 20;

/// Why the API server was not understood, or did not answer as hoped. Nothing of this is for ever.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(super) enum RequestError {
    /// The API server says no: mostly for want of rights, or since a version is too old.
    #[error("{message}")]
    Refused {
        /// As in HTTP.
        code: u16,
        /// Its own words.
        message: String,
    },
    /// Nobody there, or the connection broke.
    #[error("{0}")]
    Connection(String),
    /// The server took longer than anybody waits.
    #[error("no answer within {} s", .0.as_secs())]
    Silence(Duration),
    /// A page or a line that is longer than any should be.
    #[error("answer longer than {0} bytes")]
    TooLong(u64),
    /// The answer is no JSON, or none of the expected kind.
    #[error("unexpected answer: {0}")]
    Malformed(serde_json::Error),
    /// A watch ended as soon as it had begun.
    #[error("the server ended the watch at once")]
    EndedAtOnce,
    /// The request cannot be built; a bug.
    #[error("cannot ask: {0}")]
    Unaskable(kube::core::request::Error),
}

impl RequestError {
    /// A word for counting.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Refused { code, .. } => match code {
                401 => "unauthorized",
                403 => "forbidden",
                404 => "not_found",
                410 => "gone",
                429 => "too_many_requests",
                500.. => "server_error",
                _ => "refused",
            },
            Self::Connection(_) => "connection",
            Self::Silence(_) => "timeout",
            Self::TooLong(_) => "too_long",
            Self::Malformed(_) => "malformed",
            Self::EndedAtOnce => "ended_at_once",
            Self::Unaskable(_) => "unaskable",
        }
    }

    pub(super) fn is_not_found(&self) -> bool {
        matches!(self, Self::Refused { code: 404, .. })
    }

    /// The server was there and said so.
    pub(super) fn is_answer(&self) -> bool {
        matches!(
            self,
            Self::Refused { .. } | Self::Malformed(_) | Self::TooLong(_)
        )
    }

    /// Changes may have been missed: only a list tells what is so.
    pub(super) fn needs_list(&self) -> bool {
        matches!(
            self,
            Self::Refused { code: 410, .. } | Self::Malformed(_) | Self::TooLong(_)
        )
    }
}

impl From<kube::Error> for RequestError {
    fn from(error: kube::Error) -> Self {
        if let kube::Error::Api(status) = error {
            return Self::Refused {
                code: status.code,
                message: status.message,
            };
        }
        // The outer errors only say that there was one.
        let mut cause: &dyn std::error::Error = &error;
        while let Some(source) = cause.source() {
            cause = source;
        }
        Self::Connection(cause.to_string())
    }
}

impl From<io::Error> for RequestError {
    fn from(error: io::Error) -> Self {
        match error.get_ref().and_then(|inner| inner.source()) {
            Some(cause) => Self::Connection(cause.to_string()),
            None => Self::Connection(error.to_string()),
        }
    }
}

/// A part of a list.
#[derive(Debug, Deserialize)]
#[serde(bound = "K: serde::de::DeserializeOwned")]
pub(super) struct Page<K> {
    #[serde(default)]
    pub(super) metadata: PageMetadata,
    #[serde(default)]
    pub(super) items: Option<Vec<K>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct PageMetadata {
    /// What a watch goes on from.
    pub(super) resource_version: String,
    /// Asks for the next page; empty after the last.
    pub(super) r#continue: String,
}

/// Asks for a page of a list: the one that `token` stands for.
pub(super) async fn page<K: Watched>(
    client: &Client,
    limit: u32,
    token: &str,
) -> Result<Page<K>, RequestError> {
    let parameters = ListParams {
        limit: Some(limit),
        continue_token: (!token.is_empty()).then(|| token.to_owned()),
        ..ListParams::default()
    };
    let request = Request::new(K::RESOURCE.path())
        .list(&parameters)
        .map_err(RequestError::Unaskable)?;
    let mut body = Box::pin(waiting(SILENCE_TIMEOUT, client.request_stream(request)).await?);
    let mut bytes = Vec::new();
    loop {
        let mut part = (&mut body).take(1 << 20);
        // A megabyte at a time, so that the timeout is about silence and not about the whole.
        if waiting(SILENCE_TIMEOUT, part.read_to_end(&mut bytes)).await? == 0 {
            break;
        }
        if bytes.len() as u64 > MAX_PAGE_BYTES {
            return Err(RequestError::TooLong(MAX_PAGE_BYTES));
        }
    }
    // Megabytes of JSON: too long for a thread that others wait for.
    tokio::task::spawn_blocking(move || serde_json::from_slice(&bytes))
        .await
        .map_err(|error| RequestError::Connection(error.to_string()))?
        .map_err(RequestError::Malformed)
}

/// What happened, as a line of a watch tells it.
#[derive(Debug, Deserialize)]
#[serde(tag = "type", content = "object", rename_all = "UPPERCASE")]
pub(super) enum Event<K> {
    Added(K),
    Modified(K),
    Deleted(K),
    /// Nothing, up to this version.
    Bookmark(Bookmark),
    Error(Refusal),
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Bookmark {
    pub(super) metadata: Metadata,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Refusal {
    code: u16,
    message: String,
}

/// A watch that stands.
pub(super) struct Events<K> {
    body: Pin<Box<dyn AsyncBufRead + Send>>,
    line: Vec<u8>,
    silence: Duration,
    kind: PhantomData<fn() -> K>,
}

/// Begins a watch from what was so at `version`, to last `seconds`.
pub(super) async fn watch<K: Watched>(
    client: &Client,
    version: &str,
    seconds: u32,
) -> Result<Events<K>, RequestError> {
    let parameters = WatchParams {
        bookmarks: true,
        timeout: Some(seconds),
        ..WatchParams::default()
    };
    let request = Request::new(K::RESOURCE.path())
        .watch(&parameters, version)
        .map_err(RequestError::Unaskable)?;
    let body = waiting(SILENCE_TIMEOUT, client.request_stream(request)).await?;
    Ok(Events {
        body: Box::pin(body),
        line: Vec::new(),
        silence: Duration::from_secs(seconds.into()) + WATCH_GRACE,
        kind: PhantomData,
    })
}

impl<K: Watched> Events<K> {
    /// The next event; `None` when the server ended the watch, as it does now and then.
    pub(super) async fn next(&mut self) -> Result<Option<Event<K>>, RequestError> {
        self.line.clear();
        loop {
            let part = waiting(self.silence, self.body.fill_buf()).await?;
            if part.is_empty() {
                // A line that broke off will be told again: the version before it was the last.
                return Ok(None);
            }
            let end = part.iter().position(|byte| *byte == b'\n');
            self.line
                .extend_from_slice(&part[..end.unwrap_or(part.len())]);
            let used = end.map_or(part.len(), |end| end + 1);
            self.body.as_mut().consume(used);
            if self.line.len() > MAX_LINE_BYTES {
                return Err(RequestError::TooLong(MAX_LINE_BYTES as u64));
            }
            if end.is_some() && !self.line.trim_ascii().is_empty() {
                break;
            }
        }
        match serde_json::from_slice(&self.line) {
            Ok(Event::Error(Refusal { code, message })) => {
                Err(RequestError::Refused { code, message })
            }
            Ok(event) => Ok(Some(event)),
            Err(error) => Err(RequestError::Malformed(error)),
        }
    }
}

async fn waiting<T, E: Into<RequestError>>(
    limit: Duration,
    asking: impl Future<Output = Result<T, E>>,
) -> Result<T, RequestError> {
    match timeout(limit, asking).await {
        Ok(answer) => answer.map_err(Into::into),
        Err(_) => Err(RequestError::Silence(limit)),
    }
}
