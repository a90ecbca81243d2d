//! Whether a type fits where another is wanted, and what that says about types not yet known.

use super::types::Type;

/// Types can be made to nest in each other without end, by short expressions; so many comparisons
/// are enough for all that are written by hand.
const MOST_STEPS: usize = 100_000;

/// What is known of the types that are to be found out.
#[derive(Debug, Default)]
pub(super) struct Unifier {
    params: Vec<Option<Type>>,
    /// What was known before, newest last, to take back a comparison that failed.
    changes: Vec<(usize, Option<Type>)>,
    steps: usize,
}

impl Unifier {
    /// A type to be found out.
    pub(super) fn param(&mut self) -> Type {
        self.params.push(None);
        Type::Param(self.params.len() - 1)
    }

    /// Whether the types were too much to compare. All answers after that mean nothing.
    pub(super) fn is_exhausted(&self) -> bool {
        self.steps >= MOST_STEPS
    }

    fn step(&mut self) -> bool {
        self.steps += 1;
        !self.is_exhausted()
    }

    /// Whether values of all types `given` fit where the types `wanted` are. If so, what was found
    /// out stays known.
    pub(super) fn fit(&mut self, given: &[Type], wanted: &[Type]) -> bool {
        let before = self.changes.len();
        let fits = given.len() == wanted.len()
            && given
                .iter()
                .zip(wanted)
                .all(|(given, wanted)| self.fits(given, wanted));
        if !fits {
            for (param, known) in self.changes.drain(before..).rev() {
                if let Some(place) = self.params.get_mut(param) {
                    *place = known;
                }
            }
        }
        self.changes.clear();
        fits
    }

    fn fits(&mut self, given: &Type, wanted: &Type) -> bool {
        if !self.step() {
            return false;
        }
        if let Type::Param(param) = wanted {
            match self.try_param(*param, given) {
                (true, _) => return true,
                (false, true) => return false,
                (false, false) => {}
            }
        }
        if let Type::Param(param) = given {
            return self.try_param(*param, wanted).0;
        }
        match (given, wanted) {
            (given, wanted) if given.is_dyn_or_error() || wanted.is_dyn_or_error() => true,
            (Type::Null, other) | (other, Type::Null) => matches!(
                other,
                Type::Duration | Type::Message(_) | Type::Null | Type::Timestamp | Type::Wrapper(_)
            ),
            (Type::Wrapper(given), wanted) => match wanted {
                Type::Wrapper(wanted) => given == wanted,
                wanted => **given == *wanted,
            },
            (given, Type::Wrapper(wanted)) => *given == **wanted,
            (Type::List(given), Type::List(wanted)) => self.fits(given, wanted),
            (Type::Map(given), Type::Map(wanted)) => {
                self.fits(&given.0, &wanted.0) && self.fits(&given.1, &wanted.1)
            }
            (Type::Meta(_), Type::Meta(_)) => true,
            (given, wanted) => given == wanted,
        }
    }

    /// Whether the type can be what is to be found out, and whether something was known of that.
    fn try_param(&mut self, param: usize, given: &Type) -> (bool, bool) {
        if *given == Type::Param(param) {
            return (true, true);
        }
        let Some(known) = self.params.get(param).cloned().flatten() else {
            let is_free = !self.mentions(given, param);
            if is_free {
                self.set(param, given.clone());
            }
            return (is_free, false);
        };
        if known == *given {
            return (true, true);
        }
        if !self.fits(given, &known) {
            return (false, true);
        }
        let general = more_general(given, &known).clone();
        if !self.mentions(&general, param) {
            self.set(param, general);
        }
        (true, true)
    }

    fn set(&mut self, param: usize, to: Type) {
        if let Some(known) = self.params.get_mut(param) {
            self.changes.push((param, known.replace(to)));
        }
    }

    /// Whether the type holds the one to be found out, which then could never be.
    fn mentions(&mut self, of: &Type, param: usize) -> bool {
        if !self.step() {
            return true;
        }
        match of {
            Type::List(of) | Type::Meta(of) | Type::Wrapper(of) => self.mentions(of, param),
            Type::Map(of) => self.mentions(&of.0, param) || self.mentions(&of.1, param),
            Type::Param(other) if *other == param => true,
            Type::Param(other) => match self.params.get(*other).cloned().flatten() {
                Some(known) => self.mentions(&known, param),
                None => false,
            },
            _ => false,
        }
    }

    /// The type with all that was found out. What was not can be anything.
    pub(super) fn resolved(&mut self, of: &Type, unknown_is_dyn: bool) -> Type {
        if !self.step() {
            return Type::Error;
        }
        match of {
            Type::List(element) => Type::list(self.resolved(element, unknown_is_dyn)),
            Type::Map(of) => Type::map(
                self.resolved(&of.0, unknown_is_dyn),
                self.resolved(&of.1, unknown_is_dyn),
            ),
            Type::Param(param) => match self.params.get(*param).cloned().flatten() {
                Some(known) => self.resolved(&known, unknown_is_dyn),
                None if unknown_is_dyn => Type::Dyn,
                None => of.clone(),
            },
            Type::Meta(of) => Type::Meta(Box::new(self.resolved(of, unknown_is_dyn))),
            _ => of.clone(),
        }
    }

    /// What a list holds that holds both.
    pub(super) fn joined(&mut self, one: Option<Type>, other: Type) -> Type {
        match one {
            None => other,
            Some(one) => {
                if self.fit(std::slice::from_ref(&one), std::slice::from_ref(&other)) {
                    more_general(&one, &other).clone()
                } else {
                    Type::Dyn
                }
            }
        }
    }
}

/// The type that says less, of two that fit.
fn more_general<'t>(one: &'t Type, other: &'t Type) -> &'t Type {
    if is_as_general(one, other) {
        one
    } else {
        other
    }
}

fn is_as_general(one: &Type, other: &Type) -> bool {
    match (one, other) {
        (Type::Dyn | Type::Param(_), _) => true,
        (_, Type::Dyn | Type::Param(_)) => false,
        (Type::List(one), Type::List(other)) => is_as_general(one, other),
        (Type::Map(one), Type::Map(other)) => {
            is_as_general(&one.0, &other.0) && is_as_general(&one.1, &other.1)
        }
        (Type::Meta(_), Type::Meta(_)) => true,
        // A wrapper can hold what it wraps, and null.
        (Type::Wrapper(one), other) => matches!(other, Type::Null) || **one == *other,
        (one, other) => one == other,
    }
}
