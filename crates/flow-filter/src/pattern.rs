//! The `*_fqdn` and `node_name` fields: patterns in which `*` stands for any run, possibly empty,
//! of a-z, 0-9, hyphen and dot.

use std::borrow::Borrow;

use crate::error::PatternError;

/// A pattern for a whole name.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) struct NamePattern(String);

/// For patterns without a star among names.
impl Borrow<str> for NamePattern {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl NamePattern {
    /// White space around the pattern, one trailing dot and the case of letters do not count.
    pub(crate) fn parse(pattern: &str) -> Result<Self, PatternError> {
        let pattern = pattern.trim();
        let pattern = pattern.strip_suffix('.').unwrap_or(pattern);
        let pattern: String = pattern.chars().map(lowercase).collect();
        if pattern.is_empty() {
            return Err(PatternError::Empty);
        }
        if pattern.ends_with('.') {
            return Err(PatternError::TrailingDots);
        }
        match pattern
            .chars()
            .find(|character| !is_pattern_character(*character))
        {
            Some(character) => Err(PatternError::InvalidCharacter { character }),
            None => Ok(Self(pattern)),
        }
    }

    /// What stands in front of the first star and behind the last. `None` if there is no star, and
    /// the pattern matches only itself.
    pub(crate) fn around_stars(&self) -> Option<(&str, &str)> {
        let (head, rest) = self.0.split_once('*')?;
        Some((head, rest.rsplit_once('*').map_or(rest, |(_, tail)| tail)))
    }

    /// Compares letter by letter, so that a name with upper-case letters never matches.
    pub(crate) fn matches(&self, name: &str) -> bool {
        let (pattern, name) = (self.0.as_bytes(), name.as_bytes());
        let (mut at, mut seen) = (0, 0);
        // Behind the last star, and how much of the name that star and what precedes it take.
        let mut star = None;
        loop {
            match pattern.get(at) {
                Some(b'*') => {
                    at += 1;
                    star = Some((at, seen));
                }
                Some(byte) if name.get(seen) == Some(byte) => {
                    at += 1;
                    seen += 1;
                }
                None if seen == name.len() => return true,
                _ => {
                    // The last star takes one byte more. Earlier stars need not change: the
                    // shortest run for them leaves the most to the later ones.
                    let Some((behind, taken)) = star else {
                        return false;
                    };
                    if !name.get(taken).is_some_and(|byte| is_wild(*byte)) {
                        return false;
                    }
                    star = Some((behind, taken + 1));
                    (at, seen) = (behind, taken + 1);
                }
            }
        }
    }
}

/// The lower case of one character, as one character.
pub(crate) fn lowercase(character: char) -> char {
    character.to_lowercase().next().unwrap_or(character)
}

fn is_pattern_character(character: char) -> bool {
    matches!(character, 'a'..='z' | '0'..='9' | '-' | '_' | '.' | '*')
}

fn is_wild(byte: u8) -> bool {
    matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.')
}

/// A pattern for a node's name in its cluster, `cluster/node`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct NodePattern {
    pub(crate) cluster: PartPattern,
    pub(crate) node: PartPattern,
}

impl NodePattern {
    /// Without a slash the pattern is for the node, in any cluster.
    pub(crate) fn parse(pattern: &str) -> Result<Self, PatternError> {
        if pattern.is_empty() {
            return Err(PatternError::Empty);
        }
        let (cluster, node) = pattern.split_once('/').unwrap_or(("", pattern));
        if node.contains('/') {
            return Err(PatternError::TooManySlashes);
        }
        Ok(Self {
            cluster: PartPattern::parse(cluster)?,
            node: PartPattern::parse(node)?,
        })
    }

    /// The cluster and the node of a name. One without a cluster counts as one in the cluster
    /// `default`, whatever the local cluster is called.
    pub(crate) fn parts(name: &str) -> Option<(&str, &str)> {
        (!name.is_empty()).then(|| name.split_once('/').unwrap_or(("default", name)))
    }

    #[cfg(test)]
    pub(crate) fn matches(&self, name: &str) -> bool {
        Self::parts(name)
            .is_some_and(|(cluster, node)| self.cluster.matches(cluster) && self.node.matches(node))
    }
}

/// What stands on one side of a node pattern's slash.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) enum PartPattern {
    /// Nothing stands there: any dotted name will do.
    Any,
    Pattern(NamePattern),
}

impl PartPattern {
    fn parse(part: &str) -> Result<Self, PatternError> {
        if part.is_empty() {
            return Ok(Self::Any);
        }
        NamePattern::parse(part).map(Self::Pattern)
    }

    pub(crate) fn matches(&self, part: &str) -> bool {
        match self {
            Self::Any => part.split('.').all(|label| {
                !label.is_empty()
                    && label
                        .bytes()
                        .all(|byte| byte == b'_' || (byte != b'.' && is_wild(byte)))
            }),
            Self::Pattern(pattern) => pattern.matches(part),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_star_stands_for_letters_digits_hyphens_and_dots() {
        for (pattern, name, expected) in [
            ("example.com", "example.com", true),
            ("example.com", "www.example.com", false),
            ("Example.COM.", "example.com", true),
            (" example.com ", "example.com", true),
            ("example.com", "Example.com", false),
            ("*.example.com", "a.b.example.com", true),
            ("*.example.com", "example.com", false),
            ("*example.com", "example.com", true),
            ("*.example.com", "a_b.example.com", false),
            ("a_*.example.com", "a_b.example.com", true),
            ("*", "", true),
            ("*", "a-1.b", true),
            ("*", "ü", false),
            ("*", "A", false),
            ("a*b*c", "abbc", true),
            ("a*b*c", "abb", false),
            ("**", "abc", true),
            ("a..b", "a..b", true),
        ] {
            let compiled = NamePattern::parse(pattern).unwrap();
            assert_eq!(compiled.matches(name), expected, "{pattern} and {name}");
        }
    }

    #[test]
    fn a_pattern_that_is_none_is_explained() {
        for (pattern, expected) in [
            ("", "empty pattern"),
            (" ", "empty pattern"),
            (".", "empty pattern"),
            ("a..", "multiple trailing dots in pattern"),
            ("..", "multiple trailing dots in pattern"),
            ("sp ace", "' ': invalid rune in pattern"),
            ("ünï.example", "'ü': invalid rune in pattern"),
            ("a?c", "'?': invalid rune in pattern"),
            ("a/c", "'/': invalid rune in pattern"),
        ] {
            assert_eq!(
                NamePattern::parse(pattern).unwrap_err().to_string(),
                expected
            );
        }
        for (pattern, expected) in [
            ("", "empty pattern"),
            ("a/b/c", "too many slashes in pattern"),
            ("a/ ", "empty pattern"),
            ("a b", "' ': invalid rune in pattern"),
            ("?/b", "'?': invalid rune in pattern"),
        ] {
            assert_eq!(
                NodePattern::parse(pattern).unwrap_err().to_string(),
                expected
            );
        }
    }

    #[test]
    fn a_node_pattern_is_for_cluster_and_node() {
        for (pattern, name, expected) in [
            ("rack-1", "rack-1", true),
            ("rack-1", "west/rack-1", true),
            ("west/rack-1", "west/rack-1", true),
            ("west/rack-1", "rack-1", false),
            ("default/rack-1", "rack-1", true),
            ("west/", "west/stone_3", true),
            ("west/", "west/Stone", false),
            ("west/", "west/", false),
            ("west/*", "west/stone_3", false),
            ("west/*", "west/a.b", true),
            ("/rack-1", "west/rack-1", true),
            ("/", "west/rack-1", true),
            ("*/rack-1", "rack-1", true),
            ("rack-1", "", false),
            ("*", "west/a/b", false),
            ("/", "west/a..b", false),
            ("/", "we_st/a.b", true),
        ] {
            let compiled = NodePattern::parse(pattern).unwrap();
            assert_eq!(compiled.matches(name), expected, "{pattern} and {name}");
        }
    }

    proptest! {
        #[test]
        fn matching_agrees_with_a_regular_expression(
            pattern in "[ab_.*]{1,8}",
            name in "[ab_.]{0,10}",
        ) {
            let Ok(compiled) = NamePattern::parse(&pattern) else { return Ok(()) };
            let regex = regex::escape(&compiled.0).replace(r"\*", "[-.0-9a-z]*");
            let regex = regex::Regex::new(&format!("^{regex}$")).unwrap();
            prop_assert_eq!(compiled.matches(&name), regex.is_match(&name));
        }
    }
}
