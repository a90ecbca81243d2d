//! The file of tokens, read again when it changes. The last one that made sense holds.
//!
//! ```yaml
//! tokens:
//!   - name: operators
//!     sha256: 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08
//!   - name: team-shop
//!     token: 5up3r-s3cr3t-0f-th3-sh0p
//!     namespaces: [shop, shop-test]
//! ```

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::{fs, io};

use flow_api::server::{Stamp, Watched};
use serde::Deserialize;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::{Access, Digest, Grant, digest_of};
use crate::defaults::FILE_LOOK_EVERY;

/// A longer file is none of tokens.
const LONGEST_FILE: u64 = 1024 * 1024;

/// A shorter token can be guessed.
const SHORTEST_TOKEN: usize = 16;

/// What each token allows.
pub(super) type Grants = HashMap<Digest, Arc<Grant>>;

/// Why a file of tokens cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TokensError {
    /// It is not there, or may not be read.
    #[error("cannot read tokens from {}: {reason}", file.display())]
    Unreadable {
        /// The file.
        file: PathBuf,
        /// Why not.
        reason: io::Error,
    },
    /// Something in it makes no sense.
    #[error("{}:{line}: {reason}", file.display())]
    Line {
        /// The file.
        file: PathBuf,
        /// Which line; the first is 1.
        line: u64,
        /// What is wrong with it. Tokens are not in it.
        reason: String,
    },
}

/// A file that is followed.
#[derive(Debug)]
pub(crate) struct TokensFile {
    path: PathBuf,
    watched: Watched<Option<Stamp>>,
}

impl TokensFile {
    pub(super) fn open(path: &Path) -> Result<(Self, Grants), TokensError> {
        let watched = Watched::new(Stamp::of(path));
        let grants = read_file(path)?;
        let path = path.to_owned();
        Ok((Self { path, watched }, grants))
    }

    /// Takes what is new until `closing`.
    pub(crate) async fn follow(mut self, access: Arc<Access>, closing: CancellationToken) {
        while closing
            .run_until_cancelled(sleep(FILE_LOOK_EVERY))
            .await
            .is_some()
        {
            if !self.watched.has_changed(Stamp::of(&self.path)) {
                continue;
            }
            let path = self.path.clone();
            match tokio::task::spawn_blocking(move || read_file(&path)).await {
                Ok(Ok(grants)) => {
                    tracing::info!(file = %self.path.display(), tokens = grants.len(), "tokens read");
                    access.replace(grants);
                }
                Ok(Err(error)) => tracing::warn!(%error, "the tokens of before hold"),
                Err(error) => tracing::error!(%error, "cannot read tokens"),
            }
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    tokens: Vec<serde_saphyr::Spanned<Entry>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    name: String,
    #[serde(default)]
    token: Option<String>,
    #[serde(default)]
    sha256: Option<String>,
    #[serde(default)]
    namespaces: Option<Vec<String>>,
}

fn read_file(path: &Path) -> Result<Grants, TokensError> {
    let unreadable = |reason| TokensError::Unreadable {
        file: path.to_owned(),
        reason,
    };
    if fs::metadata(path).map_err(unreadable)?.len() > LONGEST_FILE {
        return Err(unreadable(io::Error::other("it is longer than 1 MiB")));
    }
    let text = fs::read_to_string(path).map_err(unreadable)?;
    parse(&text).map_err(|(line, reason)| TokensError::Line {
        file: path.to_owned(),
        line,
        reason,
    })
}

fn parse(text: &str) -> Result<Grants, (u64, String)> {
    // Without a piece of the file in the message: it may hold a token.
    let options = serde_saphyr::options! { with_snippet: false };
    let document: Document =
        serde_saphyr::from_str_with_options(text, options).map_err(|error| {
            let line = error.location().map_or(1, |it| it.line());
            (line, error.to_string())
        })?;
    let mut grants = Grants::new();
    for entry in document.tokens {
        let line = entry.referenced.line();
        let entry = entry.value;
        let name = entry.name;
        let mistake = |reason: String| (line, format!("token of {name:?}: {reason}"));
        let digest = match (&entry.token, &entry.sha256) {
            (Some(token), None) if token.len() >= SHORTEST_TOKEN => digest_of(token),
            (Some(_), None) => {
                let reason = format!("shorter than {SHORTEST_TOKEN} characters");
                return Err(mistake(reason));
            }
            (None, Some(text)) => hex(text)
                .ok_or_else(|| mistake("expected 64 hexadecimal digits as `sha256`".to_owned()))?,
            _ => return Err(mistake("expected either `token` or `sha256`".to_owned())),
        };
        if let Some(empty) = &entry.namespaces
            && (empty.is_empty() || empty.iter().any(|it| it.is_empty() || it.contains('/')))
        {
            let reason = "expected names of namespaces; leave them out to allow all";
            return Err(mistake(reason.to_owned()));
        }
        let grant = Grant {
            name: name.clone(),
            namespaces: entry.namespaces,
            revoked: CancellationToken::new(),
        };
        if let Some(other) = grants.insert(digest, Arc::new(grant)) {
            return Err(mistake(format!("it is that of {:?}, too", other.name)));
        }
    }
    Ok(grants)
}

fn hex(text: &str) -> Option<Digest> {
    let mut digest = Digest::default();
    if text.len() != 2 * digest.len() || !text.is_ascii() {
        return None;
    }
    for (index, byte) in digest.iter_mut().enumerate() {
        *byte = u8::from_str_radix(text.get(2 * index..2 * index + 2)?, 16).ok()?;
    }
    Some(digest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_may_be_given_by_its_digest() {
        let text = "tokens:\n\
                    - name: a\n  sha256: 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08\n\
                    - name: b\n  token: 0123456789abcdef\n  namespaces: [shop]\n";
        let grants = parse(text).unwrap();
        assert_eq!(grants[&digest_of("test")].name, "a");
        let b = &grants[&digest_of("0123456789abcdef")];
        assert_eq!(b.namespaces, Some(vec!["shop".to_owned()]));
    }

    #[test]
    fn a_mistake_is_told_with_its_line_and_without_the_token() {
        let cases = [
            ("- name: a\n  token: short-secret\n", 2, "shorter than 16"),
            ("- name: a\n", 2, "expected either"),
            ("- name: a\n  sha256: 123\n", 2, "64 hexadecimal"),
            (
                "- name: a\n  token: 0123456789abcdef\n  namespaces: []\n",
                2,
                "leave them out",
            ),
            (
                "- name: a\n  token: 0123456789abcdef\n- name: b\n  token: 0123456789abcdef\n",
                4,
                "it is that of \"a\", too",
            ),
            (
                "- name: a\n  token: 0123456789abcdef\n  spaces: []\n",
                4,
                "spaces",
            ),
        ];
        for (tokens, expected_line, expected) in cases {
            let (line, reason) = parse(&format!("tokens:\n{tokens}")).unwrap_err();
            assert_eq!(line, expected_line, "{reason}");
            assert!(reason.contains(expected), "{reason}");
            assert!(!reason.contains("secret") && !reason.contains("0123456789"));
        }
    }
}
