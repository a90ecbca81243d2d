//! The functions and operators of the language: by name, what each takes and gives.

use self::Shape::{
    A, B, Bool, Bytes, Double, Duration, Dyn, Int, ListOfA, MapOfAToB, String, Timestamp, TypeOfA,
    Uint,
};
use super::types::Type;
use super::unify::Unifier;

/// What a call does. The types of its arguments decide how.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Function {
    Add,
    And,
    Conditional,
    Contains,
    Convert(Conversion),
    Divide,
    EndsWith,
    Equal,
    Get(TimePart),
    Greater,
    GreaterOrEqual,
    In,
    Index,
    Less,
    LessOrEqual,
    Matches,
    Modulo,
    Multiply,
    Negate,
    Not,
    NotEqual,
    Or,
    Size,
    StartsWith,
    Subtract,
    TypeOf,
}

/// What a value is made into.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Conversion {
    Bool,
    Bytes,
    Double,
    Duration,
    Dyn,
    Int,
    String,
    Timestamp,
    Uint,
}

/// What is asked of a time or a duration.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum TimePart {
    /// From 1.
    Date,
    /// From 0.
    DayOfMonth,
    /// From Sunday, which is 0.
    DayOfWeek,
    /// From 0.
    DayOfYear,
    FullYear,
    Hours,
    Milliseconds,
    Minutes,
    /// From 0.
    Month,
    Seconds,
}

/// A type in a signature. `A` and `B` are any, the same wherever they stand.
#[derive(Clone, Copy, Debug)]
pub(super) enum Shape {
    A,
    B,
    Bool,
    Bytes,
    Double,
    Duration,
    Dyn,
    Int,
    ListOfA,
    MapOfAToB,
    String,
    Timestamp,
    TypeOfA,
    Uint,
}

/// One way to call a function.
#[derive(Clone, Copy, Debug)]
pub(super) struct Overload {
    /// Whether the first argument stands before the function, with a dot.
    pub(super) is_method: bool,
    takes: &'static [Shape],
    gives: Shape,
}

const fn function(takes: &'static [Shape], gives: Shape) -> Overload {
    Overload {
        is_method: false,
        takes,
        gives,
    }
}

const fn method(takes: &'static [Shape], gives: Shape) -> Overload {
    Overload {
        is_method: true,
        takes,
        gives,
    }
}

impl Overload {
    /// The types of the arguments and of the result, with types to be found out for `A` and `B`.
    pub(super) fn signature(&self, types: &mut Unifier) -> (Vec<Type>, Type) {
        let mut params = [None, None];
        let mut instance = |shape: Shape| shape.instance(&mut params, types);
        let takes = self.takes.iter().map(|shape| instance(*shape)).collect();
        (takes, instance(self.gives))
    }
}

impl Shape {
    fn instance(self, params: &mut [Option<Type>; 2], types: &mut Unifier) -> Type {
        let mut param = |index: usize| params[index].get_or_insert_with(|| types.param()).clone();
        match self {
            A => param(0),
            B => param(1),
            Bool => Type::Bool,
            Bytes => Type::Bytes,
            Double => Type::Double,
            Duration => Type::Duration,
            Dyn => Type::Dyn,
            Int => Type::Int,
            ListOfA => Type::list(param(0)),
            MapOfAToB => Type::map(param(0), param(1)),
            String => Type::String,
            Timestamp => Type::Timestamp,
            TypeOfA => Type::Meta(Box::new(param(0))),
            Uint => Type::Uint,
        }
    }
}

/// The function of that name.
pub(super) fn find(name: &str) -> Option<(Function, &'static [Overload])> {
    Some(match name {
        "_&&_" => (Function::And, const { &[function(&[Bool, Bool], Bool)] }),
        "_||_" => (Function::Or, const { &[function(&[Bool, Bool], Bool)] }),
        "_?_:_" => (
            Function::Conditional,
            const { &[function(&[Bool, A, A], A)] },
        ),
        "!_" => (Function::Not, const { &[function(&[Bool], Bool)] }),
        "_==_" => (Function::Equal, const { &[function(&[A, A], Bool)] }),
        "_!=_" => (Function::NotEqual, const { &[function(&[A, A], Bool)] }),
        "_<_" => (Function::Less, COMPARISON),
        "_<=_" => (Function::LessOrEqual, COMPARISON),
        "_>_" => (Function::Greater, COMPARISON),
        "_>=_" => (Function::GreaterOrEqual, COMPARISON),
        "@in" => (
            Function::In,
            const {
                &[
                    function(&[A, ListOfA], Bool),
                    function(&[A, MapOfAToB], Bool),
                ]
            },
        ),
        "_[_]" => (
            Function::Index,
            const { &[function(&[ListOfA, Int], A), function(&[MapOfAToB, A], B)] },
        ),
        "_+_" => (
            Function::Add,
            const {
                &[
                    function(&[Bytes, Bytes], Bytes),
                    function(&[Double, Double], Double),
                    function(&[Duration, Duration], Duration),
                    function(&[Duration, Timestamp], Timestamp),
                    function(&[Timestamp, Duration], Timestamp),
                    function(&[Int, Int], Int),
                    function(&[ListOfA, ListOfA], ListOfA),
                    function(&[String, String], String),
                    function(&[Uint, Uint], Uint),
                ]
            },
        ),
        "_-_" => (
            Function::Subtract,
            const {
                &[
                    function(&[Double, Double], Double),
                    function(&[Duration, Duration], Duration),
                    function(&[Int, Int], Int),
                    function(&[Timestamp, Duration], Timestamp),
                    function(&[Timestamp, Timestamp], Duration),
                    function(&[Uint, Uint], Uint),
                ]
            },
        ),
        "_*_" => (Function::Multiply, ARITHMETIC),
        "_/_" => (Function::Divide, ARITHMETIC),
        "_%_" => (
            Function::Modulo,
            const { &[function(&[Int, Int], Int), function(&[Uint, Uint], Uint)] },
        ),
        "-_" => (
            Function::Negate,
            const { &[function(&[Double], Double), function(&[Int], Int)] },
        ),
        "size" => (
            Function::Size,
            const {
                &[
                    function(&[Bytes], Int),
                    method(&[Bytes], Int),
                    function(&[ListOfA], Int),
                    method(&[ListOfA], Int),
                    function(&[MapOfAToB], Int),
                    method(&[MapOfAToB], Int),
                    function(&[String], Int),
                    method(&[String], Int),
                ]
            },
        ),
        "contains" => (Function::Contains, TEXT),
        "endsWith" => (Function::EndsWith, TEXT),
        "startsWith" => (Function::StartsWith, TEXT),
        "matches" => (
            Function::Matches,
            const {
                &[
                    function(&[String, String], Bool),
                    method(&[String, String], Bool),
                ]
            },
        ),
        "type" => (Function::TypeOf, const { &[function(&[A], TypeOfA)] }),
        _ => return conversion(name).or_else(|| time_part(name)),
    })
}

/// Numbers of different types are not compared, unless a type is only known later.
const COMPARISON: &[Overload] = &[
    function(&[Bool, Bool], Bool),
    function(&[Int, Int], Bool),
    function(&[Uint, Uint], Bool),
    function(&[Double, Double], Bool),
    function(&[String, String], Bool),
    function(&[Bytes, Bytes], Bool),
    function(&[Timestamp, Timestamp], Bool),
    function(&[Duration, Duration], Bool),
];

const ARITHMETIC: &[Overload] = &[
    function(&[Double, Double], Double),
    function(&[Int, Int], Int),
    function(&[Uint, Uint], Uint),
];

const TEXT: &[Overload] = &[method(&[String, String], Bool)];

fn conversion(name: &str) -> Option<(Function, &'static [Overload])> {
    let (conversion, overloads): (_, &'static [Overload]) = match name {
        "bool" => (
            Conversion::Bool,
            const { &[function(&[Bool], Bool), function(&[String], Bool)] },
        ),
        "bytes" => (
            Conversion::Bytes,
            const { &[function(&[Bytes], Bytes), function(&[String], Bytes)] },
        ),
        "double" => (
            Conversion::Double,
            const {
                &[
                    function(&[Double], Double),
                    function(&[Int], Double),
                    function(&[String], Double),
                    function(&[Uint], Double),
                ]
            },
        ),
        "duration" => (
            Conversion::Duration,
            const {
                &[
                    function(&[Duration], Duration),
                    function(&[String], Duration),
                ]
            },
        ),
        "dyn" => (Conversion::Dyn, const { &[function(&[A], Dyn)] }),
        "int" => (
            Conversion::Int,
            const {
                &[
                    function(&[Int], Int),
                    function(&[Double], Int),
                    function(&[Duration], Int),
                    function(&[String], Int),
                    function(&[Timestamp], Int),
                    function(&[Uint], Int),
                ]
            },
        ),
        "string" => (
            Conversion::String,
            const {
                &[
                    function(&[String], String),
                    function(&[Bool], String),
                    function(&[Bytes], String),
                    function(&[Double], String),
                    function(&[Duration], String),
                    function(&[Int], String),
                    function(&[Timestamp], String),
                    function(&[Uint], String),
                ]
            },
        ),
        "timestamp" => (
            Conversion::Timestamp,
            const {
                &[
                    function(&[Timestamp], Timestamp),
                    function(&[Int], Timestamp),
                    function(&[String], Timestamp),
                ]
            },
        ),
        "uint" => (
            Conversion::Uint,
            const {
                &[
                    function(&[Uint], Uint),
                    function(&[Double], Uint),
                    function(&[Int], Uint),
                    function(&[String], Uint),
                ]
            },
        ),
        _ => return None,
    };
    Some((Function::Convert(conversion), overloads))
}

fn time_part(name: &str) -> Option<(Function, &'static [Overload])> {
    const OF_TIMESTAMP: &[Overload] =
        const { &[method(&[Timestamp], Int), method(&[Timestamp, String], Int)] };
    const OF_BOTH: &[Overload] = &[
        method(&[Timestamp], Int),
        method(&[Timestamp, String], Int),
        method(&[Duration], Int),
    ];
    let (part, overloads) = match name {
        "getDate" => (TimePart::Date, OF_TIMESTAMP),
        "getDayOfMonth" => (TimePart::DayOfMonth, OF_TIMESTAMP),
        "getDayOfWeek" => (TimePart::DayOfWeek, OF_TIMESTAMP),
        "getDayOfYear" => (TimePart::DayOfYear, OF_TIMESTAMP),
        "getFullYear" => (TimePart::FullYear, OF_TIMESTAMP),
        "getHours" => (TimePart::Hours, OF_BOTH),
        "getMilliseconds" => (TimePart::Milliseconds, OF_BOTH),
        "getMinutes" => (TimePart::Minutes, OF_BOTH),
        "getMonth" => (TimePart::Month, OF_TIMESTAMP),
        "getSeconds" => (TimePart::Seconds, OF_BOTH),
        _ => return None,
    };
    Some((Function::Get(part), overloads))
}
