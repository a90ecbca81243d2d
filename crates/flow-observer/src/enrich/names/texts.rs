//! Names as shared text: thousands of workloads look for the same few.

use std::{hash::BuildHasher as _, sync::Arc};

/// Names that are found again. One that was pushed out by another is written anew, which costs
/// memory and nothing else.
const PLACES: usize = 4_096;

/// The latest names, by hash.
#[derive(Debug, Default)]
pub(super) struct Texts {
    places: Vec<Option<Arc<str>>>,
    hasher: foldhash::fast::RandomState,
}

impl Texts {
    pub(super) fn share(&mut self, text: &str) -> Arc<str> {
        if self.places.is_empty() {
            self.places.resize(PLACES, None);
        }
        let hash = self.hasher.hash_one(text) as usize;
        let Some(place) = self.places.get_mut(hash % PLACES) else {
            return text.into();
        };
        match place {
            Some(known) if **known == *text => Arc::clone(known),
            _ => Arc::clone(place.insert(text.into())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_texts_share_their_memory() {
        let mut texts = Texts::default();
        let first = texts.share("www.example.test");
        assert!(Arc::ptr_eq(&first, &texts.share("www.example.test")));
        assert_eq!(&*texts.share("other.test"), "other.test");
    }
}
