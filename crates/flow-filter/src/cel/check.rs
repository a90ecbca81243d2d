//! Whether an expression makes sense, before there is a flow. In: its syntax. Out: what to evaluate
//! and of which type that is, or all mistakes.
//!
//! Names mean constants, types, functions and fields of the contract; each call must fit one of the
//! function's overloads, unless a type is only known later (`dyn`).

mod comprehension;

use super::macros;
use super::overloads::{self, Function};
use super::program::Node;
use super::report::{Mistakes, Report};
use super::schema::{CONTAINER, Named, Schema};
use super::search::Search;
use super::syntax::{Expr, ExprKind, FieldInit, Literal};
use super::types::Type;
use super::unify::Unifier;
use super::words;
use crate::error::RegexpError;
use crate::regexp_set::Budget;

/// An expression that makes sense.
pub(super) struct Checked {
    pub(super) node: Node,
    pub(super) of: Type,
    /// The first regular expression that is none. Nothing can come of the program then.
    pub(super) bad_regexp: Option<RegexpError>,
}

/// Finds out the types of an expression, and compiles the regular expressions in it.
pub(super) fn check(
    schema: &Schema,
    text: &str,
    expr: &Expr,
    budget: &mut Budget,
) -> Result<Checked, Report> {
    let mut checker = Checker {
        schema,
        types: Unifier::default(),
        locals: Vec::new(),
        mistakes: Mistakes::default(),
        large_searches: 0,
        budget,
        bad_regexp: None,
    };
    let (node, of) = checker.check(expr);
    let of = checker.types.resolved(&of, true);
    if checker.types.is_exhausted() {
        checker
            .mistakes
            .add(expr.place, "the types of this expression are too complex");
    }
    checker.mistakes.report(text)?;
    Ok(Checked {
        node,
        of,
        bad_regexp: checker.bad_regexp,
    })
}

type Typed = (Node, Type);

struct Checker<'s> {
    schema: &'s Schema,
    types: Unifier,
    /// The variables of the comprehensions around, outermost first.
    locals: Vec<(String, Type)>,
    mistakes: Mistakes,
    large_searches: usize,
    budget: &'s mut Budget,
    bad_regexp: Option<RegexpError>,
}

impl Checker<'_> {
    fn check(&mut self, expr: &Expr) -> Typed {
        if self.types.is_exhausted() {
            return nothing();
        }
        match &expr.kind {
            ExprKind::Literal(literal) => (Node::Literal(literal.clone()), type_of(literal)),
            ExprKind::Ident(name) => self.ident(expr.place, name),
            ExprKind::Select { operand, field } => self.select(expr, operand, field),
            ExprKind::Has { operand, field } => self.has(expr.place, operand, field),
            ExprKind::Call {
                function,
                target,
                arguments,
            } => self.call(expr.place, function, target.as_deref(), arguments),
            ExprKind::List(elements) => self.list(elements),
            ExprKind::Map(entries) => self.map(entries),
            ExprKind::Message { name, fields } => self.message(expr.place, name, fields),
            ExprKind::Comprehension(comprehension) => self.comprehension(expr.place, comprehension),
        }
    }

    fn ident(&mut self, place: usize, name: &str) -> Typed {
        if let Some(local) = self.local(name) {
            return local;
        }
        if let Some(named) = self.schema.named(name) {
            return self.named(named);
        }
        self.undeclared(place, name)
    }

    fn local(&mut self, name: &str) -> Option<Typed> {
        let index = self.locals.iter().rposition(|(local, _)| local == name)?;
        let (_, of) = self.locals.get(index)?;
        Some((Node::Local(index), self.types.resolved(of, false)))
    }

    fn named(&self, named: Named) -> Typed {
        match named {
            Named::Constant(number) => (Node::Literal(Literal::Int(i64::from(number))), Type::Int),
            Named::Flow => {
                let flow = self.schema.flow();
                (Node::Flow, flow.map_or(Type::Error, Type::Message))
            }
            Named::Type(of) => (
                Node::TypeName(of.name().to_owned()),
                Type::Meta(Box::new(of)),
            ),
        }
    }

    fn undeclared(&mut self, place: usize, name: &str) -> Typed {
        self.mistake(
            place,
            format!("undeclared reference to '{name}' (in container '{CONTAINER}')"),
        )
    }

    fn no_function(&mut self, place: usize, name: &str, is_method: bool) -> Typed {
        let problem = format!("undeclared reference to '{name}' (in container '{CONTAINER}')");
        let plain = words::no_function(name, is_method);
        self.mistakes.add_in_words(place, problem, plain);
        nothing()
    }

    fn mistake(&mut self, place: usize, problem: String) -> Typed {
        self.mistakes.add(place, problem);
        nothing()
    }

    fn select(&mut self, expr: &Expr, operand: &Expr, field: &str) -> Typed {
        // `a.b.c` may be a name with dots, unless `a` is a variable.
        if let Some(name) = macros::qualified_name(expr) {
            let root = name.split('.').next().unwrap_or_default();
            if !self.locals.iter().any(|(local, _)| local == root)
                && let Some(named) = self.schema.named(&name)
            {
                return self.named(named);
            }
        }
        let (node, of) = self.check(operand);
        let of = self.types.resolved(&of, false);
        let node = Box::new(node);
        match &of {
            Type::Message(message) => match message.get_field_by_name(field) {
                Some(field) => {
                    let of = Type::of_field(&field);
                    (Node::Field(node, field), of)
                }
                None => self.mistake(expr.place, format!("undefined field '{field}'")),
            },
            _ => {
                let of = self.key_type(expr.place, &of);
                (Node::Select(node, field.to_owned()), of)
            }
        }
    }

    /// The type of what a map holds, or something that may be a map.
    fn key_type(&mut self, place: usize, of: &Type) -> Type {
        match of {
            Type::Map(of) => of.1.clone(),
            Type::Dyn | Type::Error => Type::Dyn,
            Type::Param(_) => {
                self.types.fit(&[Type::Dyn], std::slice::from_ref(of));
                Type::Dyn
            }
            _ => {
                let problem = format!("type '{of}' does not support field selection");
                self.mistakes.add(place, problem);
                Type::Error
            }
        }
    }

    fn has(&mut self, place: usize, operand: &Expr, field: &str) -> Typed {
        let (node, of) = self.check(operand);
        let of = self.types.resolved(&of, false);
        let node = Box::new(node);
        if let Type::Message(message) = &of {
            return match message.get_field_by_name(field) {
                Some(field) => (Node::HasField(node, field), Type::Bool),
                None => self.mistake(place, format!("undefined field '{field}'")),
            };
        }
        self.key_type(place, &of);
        (Node::HasKey(node, field.to_owned()), Type::Bool)
    }

    fn call(
        &mut self,
        place: usize,
        name: &str,
        target: Option<&Expr>,
        arguments: &[Expr],
    ) -> Typed {
        // A function with dots in its name looks like a method; none is declared.
        let arguments: Vec<_> = target.into_iter().chain(arguments).collect();
        let (nodes, types): (Vec<_>, Vec<_>) =
            arguments.iter().map(|part| self.check(part)).unzip();
        let plain = name.strip_prefix('.').unwrap_or(name);
        let Some((function, overloads)) = overloads::find(plain) else {
            return self.no_function(place, name, target.is_some());
        };
        let mut result: Option<Type> = None;
        for overload in overloads {
            if overload.is_method != target.is_some() {
                continue;
            }
            let (takes, gives) = overload.signature(&mut self.types);
            if !self.types.fit(&types, &takes) {
                continue;
            }
            let gives = self.types.resolved(&gives, false);
            result = Some(match result {
                Some(other) if other != gives => Type::Dyn,
                _ => gives,
            });
        }
        let Some(result) = result else {
            let types: Vec<Type> = types
                .iter()
                .map(|of| self.types.resolved(of, true))
                .collect();
            let shown = shown(&types, target.is_some());
            self.mistakes.add_in_words(
                place,
                format!("found no matching overload for '{plain}' applied to '{shown}'"),
                words::no_overload(plain, &types),
            );
            return nothing();
        };
        (self.call_node(function, nodes), result)
    }

    fn call_node(&mut self, function: Function, nodes: Vec<Node>) -> Node {
        if function == Function::Conditional {
            return match <[Node; 3]>::try_from(nodes) {
                Ok(parts) => Node::Conditional(Box::new(parts)),
                Err(nodes) => Node::Call(function, nodes),
            };
        }
        match (function, <[Node; 2]>::try_from(nodes)) {
            (Function::And, Ok(parts)) => Node::And(Box::new(parts)),
            (Function::Or, Ok(parts)) => Node::Or(Box::new(parts)),
            (Function::Matches, Ok([text, Node::Literal(Literal::String(pattern))])) => {
                match Search::compile(&pattern, &mut self.large_searches, self.budget) {
                    Ok(pattern) => Node::Matches(Box::new(text), pattern),
                    Err(error) => {
                        self.bad_regexp.get_or_insert(error);
                        text
                    }
                }
            }
            (function, Ok(nodes)) => Node::Call(function, nodes.into()),
            (function, Err(nodes)) => Node::Call(function, nodes),
        }
    }

    fn list(&mut self, elements: &[Expr]) -> Typed {
        let mut element_type = None;
        let mut nodes = Vec::with_capacity(elements.len());
        for element in elements {
            let (node, of) = self.check(element);
            nodes.push(node);
            element_type = Some(self.types.joined(element_type, of));
        }
        let element_type = element_type.unwrap_or_else(|| self.types.param());
        (Node::List(nodes), Type::list(element_type))
    }

    fn map(&mut self, entries: &[(Expr, Expr)]) -> Typed {
        let (mut key_type, mut value_type) = (None, None);
        let mut nodes = Vec::with_capacity(entries.len());
        for (key, value) in entries {
            let (key, of_key) = self.check(key);
            let (value, of_value) = self.check(value);
            nodes.push((key, value));
            key_type = Some(self.types.joined(key_type, of_key));
            value_type = Some(self.types.joined(value_type, of_value));
        }
        let key_type = key_type.unwrap_or_else(|| self.types.param());
        let value_type = value_type.unwrap_or_else(|| self.types.param());
        (Node::Map(nodes), Type::map(key_type, value_type))
    }

    fn message(&mut self, place: usize, name: &str, fields: &[FieldInit]) -> Typed {
        let Some(message) = self.schema.message(name) else {
            for field in fields {
                self.check(&field.value);
            }
            return match self.schema.named(name) {
                Some(_) => self.mistake(place, format!("'{name}' is not a message type")),
                None => self.undeclared(place, name),
            };
        };
        let mut nodes = Vec::with_capacity(fields.len());
        for FieldInit { place, name, value } in fields {
            let (node, given) = self.check(value);
            let Some(field) = message.get_field_by_name(name) else {
                self.mistakes
                    .add(*place, format!("undefined field '{name}'"));
                continue;
            };
            let wanted = Type::of_field(&field);
            if !self
                .types
                .fit(std::slice::from_ref(&wanted), std::slice::from_ref(&given))
            {
                let given = self.types.resolved(&given, true);
                self.mistakes.add(
                    *place,
                    format!(
                        "expected type of field '{name}' is '{wanted}' but provided type is \
                         '{given}'"
                    ),
                );
            }
            nodes.push((field, node));
        }
        let of = Type::of_message(&message);
        (Node::Message(message, nodes), of)
    }
}

fn shown(types: &[Type], is_method: bool) -> String {
    let types: Vec<_> = types.iter().map(Type::to_string).collect();
    match types.split_first() {
        Some((target, arguments)) if is_method => format!("{target}.({})", arguments.join(", ")),
        _ => format!("({})", types.join(", ")),
    }
}

/// What stands for an expression with a mistake.
fn nothing() -> Typed {
    (Node::Literal(Literal::Null), Type::Error)
}

fn type_of(literal: &Literal) -> Type {
    match literal {
        Literal::Bool(_) => Type::Bool,
        Literal::Bytes(_) => Type::Bytes,
        Literal::Double(_) => Type::Double,
        Literal::Int(_) => Type::Int,
        Literal::Null => Type::Null,
        Literal::String(_) => Type::String,
        Literal::Uint(_) => Type::Uint,
    }
}
