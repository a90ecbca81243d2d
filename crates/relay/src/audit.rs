//! Who asked what: a record for each call goes in, a line of JSON for each comes out, into a file or
//! to standard output.
//!
//! A call never waits for it. Records wait in a bounded queue for a thread that writes; those that find
//! no room are counted, and a line says so.
//!
//! ```json
//! {"time":"2026-01-02T03:04:05.678Z","client":"192.0.2.1","token":"team-shop","call":"GetFlows",
//!  "request":{"number":20},"code":"OK","seconds":0.012,"messages":21}
//! ```

use std::fs::OpenOptions;
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::task::{Context, Poll};
use std::thread;
use std::time::SystemTime;

use bytes::Bytes;
use flow_api::code_name;
use flow_api::server::ClientName;
use futures::Stream;
use http::Extensions;
use http::header::USER_AGENT;
use serde::Serialize;
use serde_json::value::RawValue;
use tokio::time::Instant;
use tonic::metadata::MetadataMap;
use tonic::{Code, Status};

use crate::access::Grant;
use crate::defaults::{AUDIT_RECORDS, AUDIT_REQUEST_BYTES};

/// What stands for standard output.
const STDOUT: &str = "-";

/// Where records go.
#[derive(Debug)]
pub(crate) struct Audit {
    /// To the thread that writes, which ends when this is dropped.
    lines: SyncSender<Vec<u8>>,
    lost: AtomicU64,
}

impl Audit {
    /// Opens the file, to append to it, and starts the thread.
    ///
    /// # Errors
    /// When the file cannot be opened.
    pub(crate) fn open(path: &Path) -> io::Result<Arc<Self>> {
        let out: Box<dyn Write + Send> = if path == Path::new(STDOUT) {
            Box::new(io::stdout())
        } else {
            // Who asked for what is not everybody's business.
            let file = OpenOptions::new()
                .create(true)
                .append(true)
                .mode(0o600)
                .open(path)?;
            Box::new(file)
        };
        let (lines, waiting) = sync_channel(AUDIT_RECORDS);
        thread::Builder::new()
            .name("audit".to_owned())
            .spawn(move || write_all(BufWriter::new(out), &waiting))?;
        Ok(Arc::new(Self {
            lines,
            lost: AtomicU64::new(0),
        }))
    }

    /// A call has begun; it is written down when what is returned is dropped.
    pub(crate) fn begin(
        self: &Arc<Self>,
        call: &'static str,
        extensions: &Extensions,
        metadata: &MetadataMap,
        request: String,
    ) -> Record {
        let grant = extensions.get::<Arc<Grant>>();
        let text = |value: &str| value.chars().take(LONGEST_TEXT).collect();
        let user_agent = metadata.get(USER_AGENT.as_str());
        Record {
            audit: Arc::clone(self),
            began: Instant::now(),
            time: SystemTime::now(),
            client: extensions
                .get::<ClientName>()
                .map(ToString::to_string)
                .unwrap_or_default(),
            token: grant.map(|grant| grant.name.clone()),
            user_agent: user_agent.and_then(|it| it.to_str().ok()).map(text),
            call,
            request,
            code: Code::Cancelled,
            messages: 0,
        }
    }

    fn write(&self, record: &Record) {
        let Ok(mut line) = serde_json::to_vec(&Line::of(record)) else {
            return;
        };
        line.push(b'\n');
        let lost = self.lost.swap(0, Ordering::Relaxed);
        if lost > 0 {
            let told = format!("{{\"lost\":{lost}}}\n").into_bytes();
            if self.lines.try_send(told).is_err() {
                self.lost.fetch_add(lost, Ordering::Relaxed);
            }
        }
        if self.lines.try_send(line).is_err() {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// What is kept of a text of the client's.
const LONGEST_TEXT: usize = 128;

/// The thread: writes what comes, and all that is there before it flushes.
fn write_all(mut out: BufWriter<Box<dyn Write + Send>>, waiting: &Receiver<Vec<u8>>) {
    let mut is_told = false;
    while let Ok(first) = waiting.recv() {
        let written = std::iter::once(first)
            .chain(waiting.try_iter())
            .try_for_each(|line| out.write_all(&line))
            .and_then(|()| out.flush());
        match written {
            Ok(()) => is_told = false,
            Err(error) if !is_told => {
                tracing::error!(%error, "cannot write the audit log: calls go on without");
                is_told = true;
            }
            Err(_) => {}
        }
    }
}

/// One call, written down when it is dropped: as cancelled, unless it has ended.
#[derive(Debug)]
pub(crate) struct Record {
    audit: Arc<Audit>,
    began: Instant,
    time: SystemTime,
    client: String,
    token: Option<String>,
    user_agent: Option<String>,
    call: &'static str,
    /// As JSON.
    request: String,
    code: Code,
    messages: u64,
}

impl Record {
    /// The call has ended with one answer, or without.
    pub(crate) fn answered<T>(mut self, answer: &Result<T, Status>) {
        self.messages = u64::from(answer.is_ok());
        self.code = answer.as_ref().err().map_or(Code::Ok, Status::code);
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        self.audit.write(self);
    }
}

/// A record as it is written.
#[derive(Serialize)]
struct Line<'a> {
    time: String,
    client: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    token: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    user_agent: Option<&'a str>,
    call: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    request: Option<&'a RawValue>,
    /// Instead of a request that is too long.
    #[serde(skip_serializing_if = "Option::is_none")]
    request_bytes: Option<usize>,
    code: &'a str,
    seconds: f64,
    messages: u64,
}

impl<'a> Line<'a> {
    fn of(record: &'a Record) -> Self {
        let request = &record.request;
        let is_short = request.len() <= AUDIT_REQUEST_BYTES;
        let shown = is_short.then(|| serde_json::from_str(request).ok());
        Self {
            time: prost_types::Timestamp::from(record.time).to_string(),
            client: &record.client,
            token: record.token.as_deref(),
            user_agent: record.user_agent.as_deref(),
            call: record.call,
            request: shown.flatten(),
            request_bytes: (!is_short).then_some(request.len()),
            code: code_name(record.code),
            seconds: record.began.elapsed().as_secs_f64(),
            messages: record.messages,
        }
    }
}

/// A stream that is written down when it ends.
pub(crate) struct Audited<S> {
    pub(crate) inner: S,
    pub(crate) record: Record,
}

impl<S> Stream for Audited<S>
where
    S: Stream<Item = Result<Bytes, Status>> + Unpin,
{
    type Item = Result<Bytes, Status>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        let item = Pin::new(&mut this.inner).poll_next(cx);
        match &item {
            Poll::Ready(Some(Ok(_))) => this.record.messages += 1,
            Poll::Ready(Some(Err(status))) => this.record.code = status.code(),
            Poll::Ready(None) if this.record.code == Code::Cancelled => {
                this.record.code = Code::Ok;
            }
            Poll::Ready(None) | Poll::Pending => {}
        }
        item
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(audit: &Arc<Audit>, request: &str) -> Record {
        let (extensions, metadata) = (Extensions::new(), MetadataMap::new());
        audit.begin("GetFlows", &extensions, &metadata, request.to_owned())
    }

    #[test]
    fn records_that_find_no_room_are_counted_and_nobody_waits() {
        let (lines, waiting) = sync_channel(2);
        let audit = Arc::new(Audit {
            lines,
            lost: AtomicU64::new(0),
        });
        for _ in 0..5 {
            record(&audit, "{}").answered(&Ok(()));
        }
        assert_eq!(waiting.try_iter().count(), 2);
        record(&audit, "{}").answered(&Err::<(), _>(Status::not_found("")));
        let told: Vec<String> = waiting
            .try_iter()
            .map(|line| String::from_utf8(line).unwrap())
            .collect();
        assert_eq!(told[0], "{\"lost\":3}\n");
        assert!(told[1].contains("\"code\":\"NotFound\""), "{}", told[1]);
    }

    #[test]
    fn a_request_that_is_too_long_is_told_by_its_length() {
        let (lines, waiting) = sync_channel(2);
        let audit = Arc::new(Audit {
            lines,
            lost: AtomicU64::new(0),
        });
        let long = format!("\"{}\"", "x".repeat(AUDIT_REQUEST_BYTES));
        drop(record(&audit, &long));
        let line = String::from_utf8(waiting.recv().unwrap()).unwrap();
        assert!(line.contains(&format!("\"request_bytes\":{}", long.len())));
        assert!(line.contains("\"code\":\"Canceled\"") && line.len() < 400);
    }
}
