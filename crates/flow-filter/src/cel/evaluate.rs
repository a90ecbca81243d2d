//! The value of an expression for a flow. In: the program of `check` and the flow as a message. Out:
//! a value, or why there is none.
//!
//! An expression comes from a client and is evaluated for every flow, so each evaluation may take a
//! limited number of steps. A step is a part of the expression, an element that is looked at, or
//! some bytes that are.

use std::borrow::Cow;
use std::cell::Cell;
use std::rc::Rc;

use prost_reflect::{DynamicMessage, FieldDescriptor, MessageDescriptor};

use super::build;
use super::compare;
use super::error::EvaluationError;
use super::functions;
use super::program::{Comprehension, Node};
use super::syntax::ComprehensionKind;
use super::value::{List, Message, Value};

/// A few milliseconds of work. Expressions written by hand take tens to hundreds of steps.
const MOST_STEPS: u32 = 100_000;

/// For all expressions of a filter together: ten thousand that are written by hand may be asked
/// about a flow.
pub(super) const MOST_STEPS_OF_FLOW: u32 = 4 * MOST_STEPS;

/// As many bytes of text are one step.
const BYTES_OF_STEP: usize = 16;

pub(super) type Evaluated<'m> = Result<Value<'m>, EvaluationError>;

/// Evaluates a program that gives yes or no, about a flow or about something that is none. Takes the
/// steps from those that are left for the flow.
pub(super) fn evaluate(
    program: &Node,
    flow_type: &MessageDescriptor,
    flow: Option<&DynamicMessage>,
    left: &Cell<u32>,
) -> Result<bool, EvaluationError> {
    let no_flow = || Message::Invalid(flow_type.clone());
    let may_take = left.get().min(MOST_STEPS);
    let mut evaluation = Evaluation {
        flow: flow.map_or_else(no_flow, Message::Borrowed),
        locals: Vec::new(),
        steps_left: may_take,
    };
    let truth = evaluation.truth(program);
    left.set(left.get() - (may_take - evaluation.steps_left));
    match truth {
        Err(EvaluationError::TooManySteps { .. }) if may_take < MOST_STEPS => {
            Err(EvaluationError::NoStepsLeft {
                limit: MOST_STEPS_OF_FLOW,
            })
        }
        truth => truth,
    }
}

/// An evaluation that goes on.
pub(super) struct Evaluation<'m> {
    flow: Message<'m>,
    /// The variables of the comprehensions around, outermost first.
    locals: Vec<Value<'m>>,
    steps_left: u32,
}

impl<'m> Evaluation<'m> {
    /// Takes steps for work that is about to be done.
    pub(super) fn take(&mut self, steps: usize) -> Result<(), EvaluationError> {
        let left = u32::try_from(steps)
            .ok()
            .and_then(|steps| self.steps_left.checked_sub(steps));
        self.steps_left = left.unwrap_or(0);
        match left {
            Some(_) => Ok(()),
            None => Err(EvaluationError::TooManySteps { limit: MOST_STEPS }),
        }
    }

    pub(super) fn take_bytes(&mut self, bytes: usize) -> Result<(), EvaluationError> {
        self.take(bytes / BYTES_OF_STEP)
    }

    fn evaluate(&mut self, node: &'m Node) -> Evaluated<'m> {
        self.take(1)?;
        match node {
            Node::And(parts) => self.all_or_any(parts, false),
            Node::Or(parts) => self.all_or_any(parts, true),
            Node::Call(function, arguments) => {
                let arguments: Result<Vec<_>, _> = arguments
                    .iter()
                    .map(|argument| self.evaluate(argument))
                    .collect();
                functions::call(self, *function, arguments?)
            }
            Node::Comprehension(comprehension) => self.comprehension(comprehension),
            Node::Conditional(parts) => {
                let [condition, when_true, when_false] = &**parts;
                if self.truth(condition)? {
                    self.evaluate(when_true)
                } else {
                    self.evaluate(when_false)
                }
            }
            Node::Field(operand, field) => match self.evaluate(operand)? {
                Value::Message(message) => message.field(field),
                _ => Err(EvaluationError::NoSuchOverload),
            },
            Node::Flow => Ok(Value::Message(self.flow.clone())),
            Node::HasField(operand, field) => match self.evaluate(operand)? {
                Value::Message(message) => Ok(Value::Bool(message.has(field))),
                _ => Err(EvaluationError::NoSuchOverload),
            },
            Node::HasKey(operand, name) => self.has_key(operand, name),
            Node::List(elements) => {
                let elements: Result<Rc<[_]>, _> = elements
                    .iter()
                    .map(|element| self.evaluate(element))
                    .collect();
                Ok(Value::List(List::Built(elements?)))
            }
            Node::Literal(literal) => Ok(Value::of_literal(literal)),
            Node::Local(index) => {
                let local = self.locals.get(*index).cloned();
                local.ok_or(EvaluationError::NoSuchOverload)
            }
            Node::Map(entries) => self.map(entries),
            Node::Matches(text, search) => match self.evaluate(text)? {
                Value::String(text) => Ok(Value::Bool(search.finds(self, &text)?)),
                _ => Err(EvaluationError::NoSuchOverload),
            },
            Node::Message(message, fields) => self.message(message, fields),
            Node::Select(operand, name) => self.select(operand, name),
            Node::TypeName(name) => Ok(Value::Type(Cow::Borrowed(name))),
        }
    }

    fn truth(&mut self, node: &'m Node) -> Result<bool, EvaluationError> {
        match self.evaluate(node)? {
            Value::Bool(value) => Ok(value),
            _ => Err(EvaluationError::NoSuchOverload),
        }
    }

    /// `&&` and `||`: the side that decides does, even if the other has no value.
    fn all_or_any(&mut self, parts: &'m [Node; 2], decides: bool) -> Evaluated<'m> {
        let [left, right] = parts;
        let left = self.truth(left);
        if left == Ok(decides) || left.as_ref().is_err_and(is_final) {
            return left.map(Value::Bool);
        }
        let right = self.truth(right);
        if right == Ok(decides) || left.is_ok() || right.as_ref().is_err_and(is_final) {
            return right.map(Value::Bool);
        }
        left.map(Value::Bool)
    }

    fn select(&mut self, operand: &'m Node, name: &str) -> Evaluated<'m> {
        match self.evaluate(operand)? {
            Value::Message(message) => match message.field_by_name(name) {
                Some(field) => message.field(&field),
                None => Err(EvaluationError::NoSuchField {
                    name: name.to_owned(),
                }),
            },
            Value::Map(entries) => {
                self.take(entries.len())?;
                let key = Value::String(Cow::Borrowed(name));
                let value = compare::entry(&entries, &key);
                value.cloned().ok_or_else(|| EvaluationError::NoSuchKey {
                    key: name.to_owned(),
                })
            }
            _ => Err(EvaluationError::NoSuchOverload),
        }
    }

    fn has_key(&mut self, operand: &'m Node, name: &str) -> Evaluated<'m> {
        match self.evaluate(operand)? {
            Value::Message(message) => match message.field_by_name(name) {
                Some(field) => Ok(Value::Bool(message.has(&field))),
                None => Err(EvaluationError::NoSuchField {
                    name: name.to_owned(),
                }),
            },
            Value::Map(entries) => {
                self.take(entries.len())?;
                let key = Value::String(Cow::Borrowed(name));
                Ok(Value::Bool(compare::entry(&entries, &key).is_some()))
            }
            _ => Err(EvaluationError::NoSuchOverload),
        }
    }

    fn map(&mut self, nodes: &'m [(Node, Node)]) -> Evaluated<'m> {
        let mut entries: Vec<(Value<'m>, Value<'m>)> = Vec::with_capacity(nodes.len());
        for (key, value) in nodes {
            let key = self.evaluate(key)?;
            let is_key = matches!(
                key,
                Value::Bool(_) | Value::Int(_) | Value::String(_) | Value::Uint(_)
            );
            if !is_key {
                return Err(EvaluationError::NoSuchOverload);
            }
            let value = self.evaluate(value)?;
            self.take(entries.len())?;
            // The last one of a key counts.
            match entries
                .iter_mut()
                .find(|(other, _)| compare::equal(other, &key))
            {
                Some(entry) => entry.1 = value,
                None => entries.push((key, value)),
            }
        }
        Ok(Value::Map(entries.into()))
    }

    fn message(
        &mut self,
        descriptor: &MessageDescriptor,
        fields: &'m [(FieldDescriptor, Node)],
    ) -> Evaluated<'m> {
        let mut message = DynamicMessage::new(descriptor.clone());
        for (field, node) in fields {
            let value = self.evaluate(node)?;
            if let Some(value) = build::field_value(self, field, &value)? {
                let fits = message.try_set_field(field, value);
                fits.map_err(|_| EvaluationError::NoSuchOverload)?;
            }
        }
        Value::of_message(Message::Built(Rc::new(message)))
    }

    fn comprehension(&mut self, comprehension: &'m Comprehension) -> Evaluated<'m> {
        let elements = match self.evaluate(&comprehension.range)? {
            Value::List(list) => list,
            Value::Map(entries) => {
                self.take(entries.len())?;
                List::Built(entries.iter().map(|(key, _)| key.clone()).collect())
            }
            _ => return Err(EvaluationError::NoSuchOverload),
        };
        match comprehension.kind {
            ComprehensionKind::All => self.decide(comprehension, &elements, false),
            ComprehensionKind::Exists => self.decide(comprehension, &elements, true),
            ComprehensionKind::ExistsOne => {
                let mut count = 0;
                for element in elements.iter() {
                    count += usize::from(self.holds(comprehension, element?)?);
                }
                Ok(Value::Bool(count == 1))
            }
            ComprehensionKind::Filter | ComprehensionKind::Map => {
                let mut kept = Vec::new();
                for element in elements.iter() {
                    let element = element?;
                    if !self.holds(comprehension, element.clone())? {
                        continue;
                    }
                    kept.push(match &comprehension.transform {
                        Some(transform) => {
                            self.with_local(element, |evaluation| evaluation.evaluate(transform))?
                        }
                        None => element,
                    });
                }
                Ok(Value::List(List::Built(kept.into())))
            }
        }
    }

    /// `all` and `exists`: the first element that decides does, even if others have no value.
    fn decide(
        &mut self,
        comprehension: &'m Comprehension,
        elements: &List<'m>,
        decides: bool,
    ) -> Evaluated<'m> {
        let mut error = None;
        for element in elements.iter() {
            let held = element.and_then(|element| self.holds(comprehension, element));
            match held {
                Ok(held) if held == decides => return Ok(Value::Bool(decides)),
                Ok(_) => {}
                Err(last) if is_final(&last) => return Err(last),
                Err(first) => {
                    error.get_or_insert(first);
                }
            }
        }
        match error {
            Some(error) => Err(error),
            None => Ok(Value::Bool(!decides)),
        }
    }

    /// Whether the comprehension wants an element. Without a predicate it wants all.
    fn holds(
        &mut self,
        comprehension: &'m Comprehension,
        element: Value<'m>,
    ) -> Result<bool, EvaluationError> {
        self.take(1)?;
        match &comprehension.predicate {
            Some(predicate) => self.with_local(element, |evaluation| evaluation.truth(predicate)),
            None => Ok(true),
        }
    }

    fn with_local<T>(&mut self, local: Value<'m>, evaluate: impl FnOnce(&mut Self) -> T) -> T {
        self.locals.push(local);
        let value = evaluate(self);
        self.locals.pop();
        value
    }
}

/// Nothing can be evaluated after the last step.
fn is_final(error: &EvaluationError) -> bool {
    matches!(error, EvaluationError::TooManySteps { .. })
}
