//! Which labels tell workloads apart: in go patterns as of Cilium's `labels` option, out comes what
//! counts for identities and is shown in flows.

use foldhash::HashMap;
use regex::Regex;

/// Distinct keys of labels whose relevance is remembered while facts are gone through: clusters have
/// some hundred. What comes beyond is found out each time.
const MAX_REMEMBERED: usize = 4096;

/// What counts unless told otherwise; the same as in Cilium.
const DEFAULTS: [&str; 19] = [
    "reserved:.*",
    r"io\.kubernetes\.pod\.namespace",
    r"io\.cilium\.k8s\.namespace\.labels",
    r"app\.kubernetes\.io",
    r"io\.cilium\.k8s\.policy\.",
    r"!io\.kubernetes",
    r"!kubernetes\.io",
    r"!statefulset\.kubernetes\.io/pod-name",
    r"!apps\.kubernetes\.io/pod-index",
    r"!batch\.kubernetes\.io/job-completion-index",
    r"!batch\.kubernetes\.io/controller-uid",
    r"!.*beta\.kubernetes\.io",
    r"!k8s\.io",
    "!pod-template-generation",
    "!pod-template-hash",
    "!controller-revision-hash",
    "!annotation.*",
    "!controller-uid",
    "!etcd_node",
];

/// Tells the labels that count for identities from the others.
///
/// A pattern is `[SOURCE:][!]KEY`: a regular expression for the beginning of a label's key, with `!`
/// in front for labels that do not count. Of the patterns that match a label, the longest match of
/// one that includes must be longer than the shortest of those that exclude. A label that none
/// matches counts as long as there is no pattern of the user's own that includes.
#[derive(Clone, Debug)]
pub struct LabelFilter {
    patterns: Vec<Pattern>,
    /// Nothing counts that no pattern includes.
    is_exclusive: bool,
}

/// Why a list of patterns cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LabelFilterError {
    /// Nothing is left of a pattern but its source or its `!`.
    #[error("label pattern {0:?} has no key, expected [SOURCE:][!]KEY")]
    NoKey(String),
    /// Not a regular expression.
    #[error("label pattern {pattern:?} is not a regular expression")]
    NotRegex {
        /// The pattern.
        pattern: String,
        /// What is wrong with it.
        #[source]
        source: Box<regex::Error>,
    },
}

#[derive(Clone, Debug)]
struct Pattern {
    source: Option<Box<str>>,
    excludes: bool,
    key: KeyPattern,
}

#[derive(Clone, Debug)]
enum KeyPattern {
    /// The key begins with it. Most patterns are no more than that.
    Prefix(Box<str>),
    Regex(Regex),
}

impl Default for LabelFilter {
    fn default() -> Self {
        // A test sees to it that all of them are sound.
        let patterns = DEFAULTS.iter().filter_map(|it| Pattern::parse(it).ok());
        Self {
            patterns: patterns.collect(),
            is_exclusive: false,
        }
    }
}

impl LabelFilter {
    /// The default patterns and some of the user's own, in lists with spaces or commas between.
    ///
    /// # Errors
    /// When one is not `[SOURCE:][!]KEY` with a regular expression for a key.
    pub fn with_patterns<L: AsRef<str>>(lists: &[L]) -> Result<Self, LabelFilterError> {
        let mut filter = Self::default();
        for list in lists {
            let separators = |it: char| it == ',' || it.is_whitespace();
            for text in list.as_ref().split(separators).filter(|it| !it.is_empty()) {
                let pattern = Pattern::parse(text)?;
                filter.is_exclusive |= !pattern.excludes;
                filter.patterns.push(pattern);
            }
        }
        Ok(filter)
    }

    /// Whether a label, `source:key=value`, counts.
    #[must_use]
    pub fn is_relevant(&self, label: &str) -> bool {
        let (source, key) = without_value(label).split_once(':').unwrap_or(("", label));
        let (mut included, mut excluded) = (0, usize::MAX);
        for pattern in &self.patterns {
            match pattern.matched(source, key) {
                Some(length) if pattern.excludes => excluded = excluded.min(length),
                Some(length) => included = included.max(length),
                None => {}
            }
        }
        let is_excluded = excluded != usize::MAX;
        (!self.is_exclusive && !is_excluded)
            || (included > 0 && (!is_excluded || included > excluded))
    }

    /// For going through the labels of many facts.
    pub(super) fn relevance(&self) -> Relevance<'_> {
        Relevance {
            filter: self,
            known: HashMap::default(),
        }
    }
}

/// A filter that remembers its answers: there are far fewer keys than labels.
#[derive(Debug)]
pub(super) struct Relevance<'a> {
    filter: &'a LabelFilter,
    /// By source and key.
    known: HashMap<Box<str>, bool>,
}

impl Relevance<'_> {
    pub(super) fn is_relevant(&mut self, label: &str) -> bool {
        let key = without_value(label);
        if let Some(&known) = self.known.get(key) {
            return known;
        }
        let is_relevant = self.filter.is_relevant(label);
        if self.known.len() < MAX_REMEMBERED {
            self.known.insert(key.into(), is_relevant);
        }
        is_relevant
    }
}

/// The source and the key of a label.
fn without_value(label: &str) -> &str {
    label.split_once('=').map_or(label, |(key, _)| key)
}

impl Pattern {
    fn parse(text: &str) -> Result<Self, LabelFilterError> {
        let (source, rest) = match text.split_once(':') {
            Some((source, rest)) => (Some(source), rest),
            None => (None, text),
        };
        let (excludes, key) = match rest.strip_prefix('!') {
            Some(key) => (true, key),
            None => (false, rest),
        };
        if key.is_empty() {
            return Err(LabelFilterError::NoKey(text.to_owned()));
        }
        let key = match literal(key) {
            Some(prefix) => KeyPattern::Prefix(prefix.into()),
            None => {
                let anchored = Regex::new(&format!("^(?:{key})"));
                KeyPattern::Regex(anchored.map_err(|source| LabelFilterError::NotRegex {
                    pattern: text.to_owned(),
                    source: Box::new(source),
                })?)
            }
        };
        Ok(Self {
            source: source
                .filter(|source| !matches!(*source, "" | "any"))
                .map(Into::into),
            excludes,
            key,
        })
    }

    /// How much of a key matches.
    fn matched(&self, source: &str, key: &str) -> Option<usize> {
        if self.source.as_deref().is_some_and(|it| it != source) {
            return None;
        }
        match &self.key {
            KeyPattern::Prefix(prefix) => key.starts_with(&**prefix).then_some(prefix.len()),
            KeyPattern::Regex(regex) => regex.find(key).map(|found| found.end()),
        }
    }
}

/// What a regular expression stands for, when it is no more than a text.
fn literal(pattern: &str) -> Option<String> {
    let mut text = String::with_capacity(pattern.len());
    let mut characters = pattern.chars();
    while let Some(character) = characters.next() {
        match character {
            '\\' => text.push(characters.next().filter(char::is_ascii_punctuation)?),
            '.' | '*' | '+' | '?' | '(' | ')' | '[' | ']' | '{' | '}' | '|' | '^' | '$' => {
                return None;
            }
            plain => text.push(plain),
        }
    }
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_default_patterns_are_sound() {
        assert_eq!(LabelFilter::default().patterns.len(), DEFAULTS.len());
    }

    #[test]
    fn by_default_everything_counts_but_what_differs_from_pod_to_pod() {
        let filter = LabelFilter::default();
        for label in [
            "k8s:app=web",
            "k8s:app.kubernetes.io/name=web",
            "k8s:io.kubernetes.pod.namespace=shop",
            "k8s:io.cilium.k8s.policy.cluster=default",
            "k8s:io.cilium.k8s.policy.serviceaccount=web",
            "k8s:io.cilium.k8s.namespace.labels.kubernetes.io/metadata.name=shop",
            "reserved:health",
            "k8s:job-name=backup",
            "k8s:example.com/team=a",
            "container:name=web",
        ] {
            assert!(filter.is_relevant(label), "{label}");
        }
        for label in [
            "k8s:io.kubernetes.container.name=web",
            "k8s:kubernetes.io/hostname=n1",
            "k8s:statefulset.kubernetes.io/pod-name=web-0",
            "k8s:apps.kubernetes.io/pod-index=0",
            "k8s:batch.kubernetes.io/job-completion-index=3",
            "k8s:batch.kubernetes.io/controller-uid=1",
            "k8s:failure-domain.beta.kubernetes.io/zone=a",
            "k8s:k8s.io/x=y",
            "k8s:pod-template-generation=1",
            "k8s:pod-template-hash=5d8",
            "k8s:controller-revision-hash=5d8",
            "k8s:annotation.foo=x",
            "k8s:controller-uid=1",
            "k8s:etcd_node=x",
        ] {
            assert!(!filter.is_relevant(label), "{label}");
        }
    }

    #[test]
    fn with_an_included_label_nothing_else_counts_but_the_defaults() {
        let filter = LabelFilter::with_patterns(&["k8s:app, k8s:!app-version"]).unwrap();
        let cases = [
            ("k8s:app=web", true),
            ("k8s:application=web", true),
            ("container:app=web", false),
            ("k8s:team=a", false),
            ("k8s:app.kubernetes.io/name=web", true),
            ("k8s:io.kubernetes.pod.namespace=shop", true),
            ("reserved:host", true),
        ];
        for (label, expected) in cases {
            assert_eq!(filter.is_relevant(label), expected, "{label}");
        }
        // The match of the pattern that excludes is longer than that of the one that includes.
        assert!(!filter.is_relevant("k8s:app-version=1"));
    }

    #[test]
    fn of_what_includes_and_excludes_the_longer_match_wins() {
        let filter = LabelFilter::with_patterns(&["!foo", r"foo\.bar"]).unwrap();
        assert!(filter.is_relevant("k8s:foo.bar=1"));
        assert!(!filter.is_relevant("k8s:foo.baz=1"));
        let filter = LabelFilter::with_patterns(&["k8s:!team"]).unwrap();
        assert!(!filter.is_relevant("k8s:team=a"));
        assert!(filter.is_relevant("k8s:app=web"), "only one was excluded");
    }

    #[test]
    fn a_pattern_is_for_the_beginning_of_a_key() {
        let filter = LabelFilter::with_patterns(&["!.*-hash", "any:!ver(sion)?$"]).unwrap();
        assert!(!filter.is_relevant("k8s:my-hash=1"));
        assert!(!filter.is_relevant("x:version=1"));
        assert!(filter.is_relevant("k8s:my-version=1"));
        assert!(filter.is_relevant("k8s:versions=1"));
        assert!(filter.is_relevant("k8s:app=my-hash"), "values do not count");
    }

    #[test]
    fn what_is_no_pattern_is_told() {
        for (list, expected) in [
            (
                "k8s:!",
                "label pattern \"k8s:!\" has no key, expected [SOURCE:][!]KEY",
            ),
            ("a b(", "label pattern \"b(\" is not a regular expression"),
        ] {
            let error = LabelFilter::with_patterns(&[list]).unwrap_err();
            assert_eq!(error.to_string(), expected);
        }
    }

    #[test]
    fn what_is_remembered_is_the_same_and_bounded() {
        let filter = LabelFilter::default();
        let mut relevance = filter.relevance();
        for number in 0..2 * MAX_REMEMBERED {
            let label = format!("k8s:key-{number}=value");
            assert_eq!(relevance.is_relevant(&label), filter.is_relevant(&label));
        }
        assert_eq!(relevance.known.len(), MAX_REMEMBERED);
        assert!(!relevance.is_relevant("k8s:pod-template-hash=1"));
        assert!(!relevance.is_relevant("k8s:pod-template-hash=2"));
    }
}
