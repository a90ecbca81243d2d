//! An expression as it was written, with its macros recognised. Made by `parse`, read by `check`.

/// A part of an expression.
#[derive(Debug)]
pub(super) struct Expr {
    /// Where mistakes in it are reported, in bytes from the start: at the operator, the dot or the
    /// parenthesis, as clients of CEL know it.
    pub(super) place: usize,
    /// How many levels of parts it has, itself included.
    pub(super) depth: usize,
    pub(super) kind: ExprKind,
}

#[derive(Debug)]
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
#[derive(Debug)]
pub(super) struct FieldInit {
    pub(super) place: usize,
    pub(super) name: String,
    pub(super) value: Expr,
}

/// A macro that asks something of each element of a list, or of each key of a map.
#[derive(Debug)]
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
