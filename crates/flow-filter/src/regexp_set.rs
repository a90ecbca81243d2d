//! The regular expressions of one field, any of which may match.
//!
//! Expressions come from clients, and a short one may stand for much. Those of a field are compiled
//! some at a time, so that ten thousand take neither the memory nor the time of as many engines, and
//! all of a request share one [`Budget`].

use regex::bytes::{RegexSet, RegexSetBuilder};

use crate::error::RegexpError;
use crate::re2;
use crate::regexp::{COMPILED_SIZE_LIMIT, Regexp, STATES_LIMIT};

/// What all expressions of a request may take, in bytes. Ten thousand names fit.
const REQUEST_SIZE_LIMIT: usize = 32 << 20;

/// The crate tells no size, only whether a limit is kept, so limits are tried from this one on, each
/// twice the one before.
const SMALLEST_SIZE: usize = 32 << 10;

/// As many expressions are compiled to one engine. With more of them an engine has so many states
/// at once that it is not faster than several.
const CHUNK: usize = 64;

/// What is left for the expressions of a request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Budget {
    bytes: usize,
}

impl Default for Budget {
    fn default() -> Self {
        Self {
            bytes: REQUEST_SIZE_LIMIT,
        }
    }
}

impl Budget {
    /// Bytes that were taken.
    pub(crate) fn taken(&self) -> usize {
        REQUEST_SIZE_LIMIT - self.bytes
    }

    pub(crate) fn take(&mut self, bytes: usize) -> Result<(), RegexpError> {
        let left = self.bytes.checked_sub(bytes);
        self.bytes = left.ok_or(RegexpError::TooMany {
            limit: REQUEST_SIZE_LIMIT,
        })?;
        Ok(())
    }
}

/// Compiled expressions.
#[derive(Clone, Debug)]
pub(crate) struct RegexpSet(Vec<Engine>);

#[derive(Clone, Debug)]
enum Engine {
    One(Regexp),
    Some(RegexSet),
}

impl RegexpSet {
    /// Compiles the expressions. An error comes with the first entry that it is about.
    pub(crate) fn compile<'p>(
        patterns: &'p [String],
        budget: &mut Budget,
    ) -> Result<Self, (&'p str, RegexpError)> {
        let mut engines = Vec::new();
        for chunk in patterns.chunks(CHUNK) {
            if chunk.len() > 1
                && let Some((set, size)) = compile_together(chunk)
            {
                let taken = budget.take(size + STATES_LIMIT);
                taken.map_err(|error| (chunk[0].as_str(), error))?;
                engines.push(Engine::Some(set));
                continue;
            }
            for pattern in chunk {
                let one = compile_one(pattern, budget).map_err(|error| (pattern.as_str(), error));
                engines.push(Engine::One(one?));
            }
        }
        Ok(Self(engines))
    }

    pub(crate) fn finds(&self, text: &[u8]) -> bool {
        self.0.iter().any(|engine| match engine {
            Engine::One(regexp) => regexp.finds(text),
            Engine::Some(set) => set.is_match(text),
        })
    }
}

/// The limits that are tried.
fn sizes() -> impl Iterator<Item = usize> {
    let doubled = |size: &usize| Some(size * 2).filter(|size| *size <= COMPILED_SIZE_LIMIT);
    std::iter::successors(Some(SMALLEST_SIZE), doubled)
}

fn compile_one(pattern: &str, budget: &mut Budget) -> Result<Regexp, RegexpError> {
    let mut too_big = None;
    for size in sizes() {
        match Regexp::compile_within(pattern, size) {
            Err(error @ RegexpError::TooBig { .. }) => too_big = Some(error),
            Err(error) => return Err(error),
            Ok(regexp) => return budget.take(size + STATES_LIMIT).map(|()| regexp),
        }
    }
    Err(too_big.unwrap_or(RegexpError::TooBig {
        limit: COMPILED_SIZE_LIMIT,
    }))
}

/// Several expressions as one, with its size. Nothing if one of them is wrong, or all of them
/// together too large.
fn compile_together(patterns: &[String]) -> Option<(RegexSet, usize)> {
    let translated: Result<Vec<_>, _> = patterns
        .iter()
        .map(|pattern| re2::translate(pattern))
        .collect();
    let translated = translated.ok()?;
    for size in sizes() {
        let mut builder = RegexSetBuilder::new(&translated);
        match builder
            .size_limit(size)
            .dfa_size_limit(STATES_LIMIT)
            .build()
        {
            Ok(set) => return Some((set, size)),
            Err(regex::Error::CompiledTooBig(_)) => {}
            Err(_) => return None,
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    fn compile(patterns: &[String]) -> Result<RegexpSet, (&str, RegexpError)> {
        RegexpSet::compile(patterns, &mut Budget::default())
    }

    #[test]
    fn ten_thousand_names_are_compiled_and_found() {
        let patterns: Vec<_> = (0..10_000)
            .map(|number| format!(r"^host-{number}\.example\.com\.$"))
            .collect();
        let set = compile(&patterns).unwrap();
        assert!(set.finds(b"host-0.example.com."));
        assert!(set.finds(b"host-9999.example.com."));
        assert!(!set.finds(b"host-10000.example.com."));
    }

    #[test]
    fn the_first_wrong_entry_is_named() {
        let mut patterns = vec!["a".to_owned(); 200];
        patterns[70] = "(".to_owned();
        patterns[71] = "[".to_owned();
        let (entry, error) = compile(&patterns).unwrap_err();
        assert_eq!(entry, "(");
        assert_eq!(error, Regexp::compile("(").unwrap_err());
    }

    #[test]
    fn a_large_entry_among_small_ones_is_compiled_alone_and_a_larger_one_refused() {
        let small = ["a".to_owned(), "b".to_owned()];
        let large = [&small[..], &vec!["[^/]{1,1000}".to_owned(); 4]].concat();
        assert!(compile(&large).is_ok());
        let larger = [&small[..], &[r"\pL{1000}".to_owned()]].concat();
        let (entry, error) = compile(&larger).unwrap_err();
        assert_eq!(entry, r"\pL{1000}");
        assert!(matches!(error, RegexpError::TooBig { .. }), "{error}");
    }

    #[test]
    fn a_request_has_a_budget() {
        let mut budget = Budget::default();
        let large = vec!["[^/]{1,1000}".to_owned(); 20];
        let mut compiled = 0;
        let error = loop {
            match RegexpSet::compile(&large, &mut budget) {
                Ok(_) => compiled += 1,
                Err((_, error)) => break error,
            }
        };
        assert!((1..10).contains(&compiled), "{compiled}");
        assert_eq!(
            error,
            RegexpError::TooMany {
                limit: REQUEST_SIZE_LIMIT
            }
        );
    }

    proptest! {
        #[test]
        fn many_find_what_one_of_them_finds(
            patterns in vec(r"\^?[ab.(?Ps<n>)|*]{1,5}", 0..80),
            text in "[abc]{0,4}",
        ) {
            let alone: Vec<_> =
                patterns.iter().map(|pattern| Regexp::compile(pattern)).collect();
            match compile(&patterns) {
                Ok(set) => {
                    let naive = alone.iter().flatten().any(|one| one.finds(text.as_bytes()));
                    prop_assert_eq!(set.finds(text.as_bytes()), naive);
                    prop_assert!(alone.iter().all(Result::is_ok));
                }
                Err((_, error)) => {
                    let first = alone.into_iter().find_map(Result::err);
                    prop_assert_eq!(Some(error), first);
                }
            }
        }
    }
}
