//! The connections whose addresses this host translates, as the kernel's connection tracking tells:
//! those to services that kube-proxy and others map to backends, and those that are masqueraded.
//!
//! In: news of connections that begin and end, and the whole table at the start and whenever news
//! were lost. Out: the translation of a packet's connection. The kernel queues the news; who makes
//! flows reads them between two batches, so there is neither a thread nor a lock.

mod filter;
mod message;
mod socket;

use std::{
    fs, io, mem,
    os::fd::OwnedFd,
    sync::Arc,
    time::{Duration, Instant},
};

use nix::libc;
use tracing::debug;

use self::{
    message::{Said, messages},
    socket::Read,
};
use super::statistics::{ProbeStatistics, TranslationCounts};
use crate::{
    recent::Recent,
    source::Moment,
    translation::{Connection, Ends, Translation, Translations},
};

/// The name of the hook.
pub(super) const NAME: &str = "conntrack";

/// Translated connections at the same time, some 300 bytes each. A busy node has some tens of
/// thousands, most of them questions to the cluster's DNS that are over but not yet forgotten.
const CONNECTIONS: usize = 65_536;
/// Those that ended lately, half of them: what is left to say of a connection may come later.
const ENDED: usize = 4_096;
/// The kernel hands out its table in pieces of up to 32 KiB.
const DATAGRAM_BYTES: usize = 32 << 10;
/// News that are read before the next batch is turned to.
const DATAGRAMS_AT_ONCE: usize = 8_192;
/// How long the table is read at a time: a short while beside what the ring of the probes holds.
const READ_FOR: Duration = Duration::from_millis(5);
/// As above, when the agent starts.
const FIRST_READ_FOR: Duration = Duration::from_secs(1);
/// The kernel need not tell of the end of connections that are older than the agent. As long as
/// there may be such, the table is read again after so long.
const READ_EVERY: Duration = Duration::from_secs(120);
/// After news were lost it is read again, but not at once: more may be lost in the same rush, and
/// reading takes time from catching up.
const READ_AFTER_LOSS: Duration = Duration::from_secs(1);

/// Why there is nothing to be heard.
#[derive(Debug, thiserror::Error)]
pub(super) enum ConntrackError {
    /// A kernel without `CONFIG_NF_CT_NETLINK`.
    #[error("the kernel does not tell of its connections (nf_conntrack_netlink is missing)")]
    Missing,
    /// An administrator's choice.
    #[error(
        "the kernel is not to tell of its connections (net.netfilter.nf_conntrack_events is 0)"
    )]
    NoEvents,
    /// Usually a privilege.
    #[error("cannot ask the kernel for its connections")]
    Socket(#[source] io::Error),
}

/// Translated connections of the network namespace that it was started in.
pub(super) struct Conntrack {
    news: OwnedFd,
    questions: OwnedFd,
    buffer: Vec<u8>,
    connections: Translations,
    ended: Recent<Connection, Arc<Translation>>,
    /// The table is being read, piece by piece.
    is_reading: bool,
    /// When to read it again.
    due: Option<Instant>,
    /// Which reading of the table confirmed a connection.
    round: u32,
    /// Some were there before there was anybody to tell of their end.
    has_older: bool,
    counts: TranslationCounts,
    statistics: Arc<ProbeStatistics>,
}

impl Conntrack {
    /// Listens from now on, and reads what there is already. News that wait to be read take at most
    /// `queue_bytes`.
    pub(super) fn start(
        queue_bytes: usize,
        statistics: Arc<ProbeStatistics>,
    ) -> Result<Self, ConntrackError> {
        // There is no such file before somebody tracks connections.
        let events = fs::read_to_string("/proc/sys/net/netfilter/nf_conntrack_events");
        if events.is_ok_and(|events| events.trim() == "0") {
            return Err(ConntrackError::NoEvents);
        }
        let mut conntrack = Self {
            news: socket::news(queue_bytes).map_err(cannot_ask)?,
            questions: socket::questions().map_err(cannot_ask)?,
            buffer: vec![0; DATAGRAM_BYTES],
            connections: Translations::with_capacity(CONNECTIONS),
            ended: Recent::with_generation(ENDED),
            is_reading: true,
            due: None,
            round: 0,
            has_older: false,
            counts: TranslationCounts::default(),
            statistics,
        };
        socket::ask(&conntrack.questions).map_err(cannot_ask)?;
        conntrack.read_on(FIRST_READ_FOR).map_err(cannot_ask)?;
        conntrack.count();
        Ok(conntrack)
    }

    /// The connection of a packet, if it is translated.
    pub(super) fn find(
        &mut self,
        protocol: u8,
        ends: &Ends,
        moment: Moment,
    ) -> Option<Arc<Translation>> {
        if let Some(found) = self.connections.find(protocol, ends) {
            return Some(Arc::clone(found));
        }
        match moment {
            Moment::Later => None,
            // The kernel tells of a connection before its first packet leaves, or gets to a socket. At
            // points before that it may have done so by now.
            Moment::First => {
                self.listen();
                self.connections.find(protocol, ends).cloned()
            }
            Moment::Over if self.ended.is_empty() => None,
            Moment::Over => {
                let connection = Connection::between(protocol, ends);
                self.ended.get_mut(&connection).cloned()
            }
        }
    }

    /// Reads what has come since the last time.
    pub(super) fn refresh(&mut self) {
        if !self.is_reading && self.due.is_some_and(|due| Instant::now() >= due) {
            self.is_reading = true;
            self.round = self.round.wrapping_add(1);
            if let Err(error) = socket::ask(&self.questions) {
                self.give_up(&error);
            }
        }
        if self.is_reading
            && let Err(error) = self.read_on(READ_FOR)
        {
            self.give_up(&error);
        }
        self.listen();
        self.count();
    }

    /// Hears the news.
    fn listen(&mut self) {
        for _ in 0..DATAGRAMS_AT_ONCE {
            match socket::read(&self.news, &mut self.buffer) {
                Ok(Read::Datagram(length)) => drop(self.hear(length, false)),
                Ok(Read::Nothing) => return,
                Ok(Read::Overrun) => self.overrun(),
                Err(error) => {
                    debug!(%error, "cannot read the kernel's news of connections");
                    return;
                }
            }
        }
    }

    fn overrun(&mut self) {
        self.counts.overruns += 1;
        self.due = Some(Instant::now() + READ_AFTER_LOSS);
    }

    /// Reads on in the table, for a while.
    fn read_on(&mut self, patience: Duration) -> io::Result<()> {
        let began = Instant::now();
        while self.is_reading && began.elapsed() < patience {
            match socket::read(&self.questions, &mut self.buffer)? {
                Read::Datagram(length) => match self.hear(length, true) {
                    Some(Said::Done) => {
                        self.connections.remove_unless(self.round);
                        self.finish();
                    }
                    Some(Said::Interrupted) => self.finish(),
                    Some(Said::Refused(code)) => return Err(io::Error::from_raw_os_error(code)),
                    _ => {}
                },
                Read::Nothing => break,
                Read::Overrun => self.overrun(),
            }
        }
        Ok(())
    }

    /// The table was read.
    fn finish(&mut self) {
        self.is_reading = false;
        self.has_older &= self.connections.len() > 0;
        let now = Instant::now();
        // What was lost in the meantime has a time of its own, which is to come.
        let lost = self.due.filter(|due| *due > now);
        self.due = lost.or_else(|| self.has_older.then(|| now + READ_EVERY));
    }

    /// Tries again another time.
    fn give_up(&mut self, error: &io::Error) {
        debug!(%error, "cannot read the kernel's table of connections");
        self.is_reading = false;
        self.due = Some(Instant::now() + READ_EVERY);
    }

    /// Takes in a datagram of so many bytes. Tells what ends the table, if it is in there.
    fn hear(&mut self, length: usize, is_table: bool) -> Option<Said> {
        let buffer = mem::take(&mut self.buffer);
        let mut end = None;
        for said in messages(buffer.get(..length).unwrap_or_default()) {
            match said {
                Said::Is(translation) => {
                    let is_new = self.connections.insert(translation, self.round);
                    self.has_older |= is_table && is_new;
                }
                Said::Ended(translation) => self.end(&translation),
                Said::NotOfInterest => {}
                Said::Malformed => self.counts.unreadable += 1,
                Said::Done | Said::Interrupted | Said::Refused(_) => end = Some(said),
            }
        }
        self.buffer = buffer;
        end
    }

    fn end(&mut self, translation: &Translation) {
        let known = self
            .connections
            .remove(translation.protocol, &translation.original);
        if let Some(known) = known {
            for connection in known.keys() {
                self.ended.insert(connection, Arc::clone(&known));
            }
        }
    }

    fn count(&mut self) {
        self.counts.connections = self.connections.len() as u64;
        self.counts.evicted = self.connections.evicted();
        let counts = self.counts;
        self.statistics
            .with(|snapshot| snapshot.translations = counts);
    }
}

fn cannot_ask(error: io::Error) -> ConntrackError {
    match error.raw_os_error() {
        // No such part of netlink, and no such netlink.
        Some(libc::EINVAL | libc::EPROTONOSUPPORT) => ConntrackError::Missing,
        _ => ConntrackError::Socket(error),
    }
}
