//! How those are doing who tell who is who.

use std::{fmt::Debug, time::SystemTime};

/// Where a provider, or a part of one, stands.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum ProviderState {
    /// There is no such thing here, and none is needed.
    Absent,
    /// It hears of changes as they happen.
    Connected,
    /// It hears nothing, and goes on with what it knows.
    Lost,
    /// Some of its parts hear nothing.
    Partial,
    /// It has not heard everything yet.
    Starting,
}

impl ProviderState {
    /// A word for it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Absent => "absent",
            Self::Connected => "connected",
            Self::Lost => "lost",
            Self::Partial => "partial",
            Self::Starting => "starting",
        }
    }
}

/// How a provider is doing.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ProviderStatus {
    /// As in `kubernetes`, or `pods` for a part.
    pub name: &'static str,
    /// Where it has its knowledge from; empty for a part.
    pub source: String,
    /// Where it stands.
    pub state: ProviderState,
    /// Since when.
    pub since: SystemTime,
    /// When something changed last.
    pub last_event: Option<SystemTime>,
    /// How old its knowledge is: 0 as long as it hears of changes.
    pub age_seconds: u64,
    /// How many objects it knows.
    pub objects: u64,
    /// Why it is not connected.
    pub reason: String,
    /// What it consists of.
    pub parts: Vec<ProviderStatus>,
}

/// Who can say how it is doing.
pub trait Reports: Debug + Send + Sync {
    /// How it is doing now.
    fn report(&self) -> ProviderStatus;
}
