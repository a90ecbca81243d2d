//! An expression as it was written, with its macros recognised. Made by `parse`, read by `check`.

/// A part of an expression.
#[derive(Clone, Debug)]
pub(super) struct Expr {
    /// Where mistakes in it are reported, in bytes from the start: at the operator, the dot or the
    /// parenthesis, as clients of CEL know it.
    pub(super) place: usize,
    /// How many levels of parts it has, itself included.
    pub(super) depth: usize,
    pub(super) kind: ExprKind,
}

impl Expr {
    pub(super) fn new(place: usize, kind: ExprKind) -> Self {
        Self {
            place,
            depth: kind.depth(),
            kind,
        }
    }

    /// An operator or a function of these arguments.
    pub(super) fn call<const N: usize>(place: usize, function: &str, arguments: [Self; N]) -> Self {
        let function = function.to_owned();
        let arguments = arguments.into();
        Self::new(
            place,
            ExprKind::Call {
                function,
                target: None,
                arguments,
            },
        )
    }

    /// A function of a value, called with a dot.
    pub(super) fn method(place: usize, target: Self, function: &str, argument: Self) -> Self {
        Self::new(
            place,
            ExprKind::Call {
                function: function.to_owned(),
                target: Some(Box::new(target)),
                arguments: vec![argument],
            },
        )
    }

    pub(super) fn literal(place: usize, literal: Literal) -> Self {
        Self::new(place, ExprKind::Literal(literal))
    }

    pub(super) fn text(place: usize, text: impl Into<String>) -> Self {
        Self::literal(place, Literal::String(text.into()))
    }
}

#[derive(Clone, Debug)]
pub(super) enum ExprKind {
    Literal(Literal),
    /// With its leading dot, if it has one.
    Ident(String),
    Select {
        operand: Box<Expr>,
        field: String,
    },
    /// `has(operand.field)`
    Has {
        operand: Box<Expr>,
        field: String,
    },
    /// A function or an operator; the name of an operator shows where its arguments go.
    Call {
        function: String,
        target: Option<Box<Expr>>,
        arguments: Vec<Expr>,
    },
    List(Vec<Expr>),
    Map(Vec<(Expr, Expr)>),
    Message {
        name: String,
        fields: Vec<FieldInit>,
    },
    Comprehension(Box<Comprehension>),
}

impl ExprKind {
    /// How many levels an expression of this kind has.
    pub(super) fn depth(&self) -> usize {
        let deepest = |parts: &[Expr]| parts.iter().map(|part| part.depth).max().unwrap_or(0);
        let below = match self {
            Self::Literal(_) | Self::Ident(_) => 0,
            Self::Select { operand, .. } | Self::Has { operand, .. } => operand.depth,
            Self::Call {
                target, arguments, ..
            } => {
                let target = target.as_ref().map_or(0, |target| target.depth);
                target.max(deepest(arguments))
            }
            Self::List(elements) => deepest(elements),
            Self::Map(entries) => {
                let depths = entries
                    .iter()
                    .map(|(key, value)| key.depth.max(value.depth));
                depths.max().unwrap_or(0)
            }
            Self::Message { fields, .. } => {
                let depths = fields.iter().map(|field| field.value.depth);
                depths.max().unwrap_or(0)
            }
            Self::Comprehension(comprehension) => {
                let parts = [&comprehension.predicate, &comprehension.transform];
                let parts = parts.into_iter().flatten().map(|part| part.depth);
                parts.max().unwrap_or(0).max(comprehension.range.depth)
            }
        };
        below + 1
    }
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Literal {
    Bool(bool),
    Bytes(Vec<u8>),
    Double(f64),
    Int(i64),
    Null,
    String(String),
    Uint(u64),
}

/// One field of a message that is written out.
#[derive(Clone, Debug)]
pub(super) struct FieldInit {
    pub(super) place: usize,
    pub(super) name: String,
    pub(super) value: Expr,
}

/// A macro that asks something of each element of a list, or of each key of a map.
#[derive(Clone, Debug)]
pub(super) struct Comprehension {
    pub(super) range: Expr,
    pub(super) variable: String,
    pub(super) kind: ComprehensionKind,
    /// Which elements; for [`ComprehensionKind::Map`] maybe all.
    pub(super) predicate: Option<Expr>,
    /// What becomes of an element, for [`ComprehensionKind::Map`].
    pub(super) transform: Option<Expr>,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum ComprehensionKind {
    All,
    Exists,
    ExistsOne,
    Filter,
    Map,
}
