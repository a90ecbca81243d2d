//! A line in, a response out.

use std::sync::atomic::{AtomicBool, Ordering};

use flow_api::{
    json::{self, Fields, JsonError},
    observer::GetFlowsResponse,
};
use tracing::warn;

/// Of a bad line so much is shown.
const SHOWN_BYTES: usize = 64 * 1024;

/// A line that holds a response.
pub(super) struct Line<'a> {
    pub(super) response: GetFlowsResponse,
    /// The line itself, if it is what we would write for the response. Then only the fields that
    /// were asked for are in the response; else all are.
    pub(super) json: Option<&'a str>,
    /// Fields that this build does not know were skipped.
    pub(super) warning: Option<Warning>,
}

/// What there is to say about a line.
#[derive(Debug)]
pub(super) enum Warning {
    /// It holds no response.
    Bad { error: String, line: String },
    /// It holds more than this build knows, as those of a newer Hubble do. The rest of it is worth
    /// showing, and one warning is enough.
    Newer { error: JsonError },
}

/// Turns lines into responses.
pub(super) struct LineReader {
    fields: Fields,
    /// It was said already that there are unknown fields. Not set by who reads such a line, since
    /// many read at the same time and the first line is the one to name.
    newer_is_known: AtomicBool,
}

impl LineReader {
    pub(super) fn new(fields: Fields) -> Self {
        Self {
            fields,
            newer_is_known: AtomicBool::new(false),
        }
    }

    pub(super) fn read<'a>(&self, line: &'a [u8]) -> Result<Line<'a>, Warning> {
        let text = str::from_utf8(line).map_err(|error| Warning::bad(&error, line))?;
        if let Some(response) = json::from_canonical(text, &self.fields) {
            return Ok(Line {
                response,
                json: Some(text),
                warning: None,
            });
        }
        let (response, warning) = self.read_any(text)?;
        Ok(Line {
            response,
            json: None,
            warning,
        })
    }

    fn read_any(&self, text: &str) -> Result<(GetFlowsResponse, Option<Warning>), Warning> {
        let options = json::ReadOptions {
            ignore_unknown: true,
        };
        let lenient = || json::from_str_with(text, options);
        let bad = |error: JsonError| Warning::bad(&error, text.as_bytes());
        if self.newer_is_known.load(Ordering::Relaxed) {
            return Ok((lenient().map_err(bad)?, None));
        }
        match json::from_str(text) {
            Ok(response) => Ok((response, None)),
            Err(error @ (JsonError::UnknownField { .. } | JsonError::InvalidValue { .. })) => {
                // What else is wrong with it is the reason to refuse it.
                let response = lenient().map_err(bad)?;
                Ok((response, Some(Warning::Newer { error })))
            }
            Err(error) => Err(bad(error)),
        }
    }

    /// Logs a warning about the line at this place.
    pub(super) fn log(&self, warning: &Warning, file: &str, number: u64) {
        match warning {
            Warning::Bad { error, line } => {
                warn!(%error, %line, file, number, "Failed to unmarshal json to flow");
            }
            Warning::Newer { error } => {
                if !self.newer_is_known.swap(true, Ordering::Relaxed) {
                    warn!(
                        %error,
                        file,
                        number,
                        "unknown field detected, upgrade the Hubble CLI to get rid of this warning"
                    );
                }
            }
        }
    }
}

impl Warning {
    fn bad(error: &impl ToString, line: &[u8]) -> Self {
        let shown = &line[..line.len().min(SHOWN_BYTES)];
        Self::Bad {
            error: error.to_string(),
            line: String::from_utf8_lossy(shown).into_owned(),
        }
    }
}
