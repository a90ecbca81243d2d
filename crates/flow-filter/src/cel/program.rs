//! An expression that makes sense, as it is evaluated. Made by `check`.

use prost_reflect::{FieldDescriptor, MessageDescriptor};

use super::overloads::Function;
use super::search::Search;
use super::syntax::{ComprehensionKind, Literal};

/// One step of the evaluation; its parts are evaluated first.
#[derive(Clone, Debug)]
pub(super) enum Node {
    And(Box<[Node; 2]>),
    /// Any other function, on values.
    Call(Function, Vec<Node>),
    Comprehension(Box<Comprehension>),
    Conditional(Box<[Node; 3]>),
    /// A field of a message whose type is known.
    Field(Box<Node>, FieldDescriptor),
    Flow,
    HasField(Box<Node>, FieldDescriptor),
    /// As [`Node::Select`].
    HasKey(Box<Node>, String),
    List(Vec<Node>),
    Literal(Literal),
    /// A variable of a comprehension, by how many are around it.
    Local(usize),
    Map(Vec<(Node, Node)>),
    /// A search for an expression that was written out.
    Matches(Box<Node>, Search),
    Message(MessageDescriptor, Vec<(FieldDescriptor, Node)>),
    Or(Box<[Node; 2]>),
    /// A key of a map, or a field of a message whose type comes with it.
    Select(Box<Node>, String),
    /// The name of a type.
    TypeName(String),
}

#[derive(Clone, Debug)]
pub(super) struct Comprehension {
    pub(super) range: Node,
    pub(super) kind: ComprehensionKind,
    pub(super) predicate: Option<Node>,
    pub(super) transform: Option<Node>,
}
