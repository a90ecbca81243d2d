//! `--explain`: how a request is understood, in words.
//!
//! In: the request that would be sent, and the conditions in it. Out: what must hold for a flow to be
//! shown, where that is decided, which fields it needs, and what can never match.

use flow_api::observer::GetFlowsRequest;
use flow_filter::outline::{Outline, contradictions, of_filter};

use super::conditions::Conditions;
use crate::print::time::TimeFormat;

/// Who decides.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Decides {
    /// This process: it reads the flows itself.
    Here,
    /// A server.
    Server,
}

/// The text.
pub(crate) fn explain(
    request: &GetFlowsRequest,
    conditions: &Conditions,
    decides: Decides,
) -> String {
    let others: Vec<Outline> = conditions.others().iter().map(of_filter).collect();
    let written: Vec<Outline> = conditions.read().iter().map(|one| one.outline()).collect();
    let hidden: Vec<Outline> = request.blacklist.iter().map(of_filter).collect();
    let mut parts = Vec::new();
    if !others.is_empty() {
        parts.push(Outline::any(others));
    }
    parts.extend(written);
    parts.extend(hidden.into_iter().map(|part| Outline::Not(Box::new(part))));
    let all = flat(Outline::all(parts));

    let mut text = String::new();
    match &all {
        Outline::All(parts) if parts.is_empty() => text.push_str("Every flow is wanted.\n"),
        all => {
            text.push_str("A flow is wanted if\n");
            tree(&mut text, all, 1);
        }
    }
    for reason in contradictions(&all) {
        text.push_str(&format!("\nWarning: {reason}.\n"));
    }
    text.push('\n');
    text.push_str(&window(request, decides));
    text.push_str(&place(request, conditions, decides));
    if let Some(mask) = &request.field_mask {
        text.push_str(&format!("Fields asked for: {}.\n", mask.paths.join(", ")));
    }
    text
}

/// The tree without levels that say nothing.
fn flat(outline: Outline) -> Outline {
    match outline {
        Outline::All(parts) => {
            let mut all = Vec::new();
            for part in parts.into_iter().map(flat) {
                match part {
                    Outline::All(parts) => all.extend(parts),
                    part => all.push(part),
                }
            }
            Outline::all(all)
        }
        Outline::Any(parts) => {
            let mut any = Vec::new();
            for part in parts.into_iter().map(flat) {
                match part {
                    Outline::Any(parts) => any.extend(parts),
                    part => any.push(part),
                }
            }
            Outline::any(any)
        }
        Outline::Not(part) => Outline::Not(Box::new(flat(*part))),
        test => test,
    }
}

fn tree(text: &mut String, outline: &Outline, level: usize) {
    let mut line = |words: &str| text.push_str(&format!("{}{words}\n", "  ".repeat(level)));
    let (heading, parts) = match outline {
        Outline::Test(test) => return line(&test.words),
        Outline::Not(part) => match &**part {
            Outline::Test(test) => return line(&format!("not: {}", test.words)),
            Outline::All(parts) if parts.is_empty() => return line("never: all flows are hidden"),
            Outline::All(parts) => ("not all of", parts),
            Outline::Any(parts) => ("none of", parts),
            Outline::Not(part) => return tree(text, part, level),
        },
        Outline::All(parts) if parts.is_empty() => return line("it is any flow"),
        Outline::All(parts) => ("all of", parts),
        Outline::Any(parts) => ("any of", parts),
    };
    line(heading);
    for part in parts {
        tree(text, part, level + 1);
    }
}

/// Which of the wanted flows are shown.
fn window(request: &GetFlowsRequest, decides: Decides) -> String {
    let time = |time| {
        let mut out = Vec::new();
        TimeFormat::Rfc3339Nano.write(&mut out, Some(time));
        String::from_utf8_lossy(&out).into_owned()
    };
    let count = match (request.number, request.first) {
        (0 | u64::MAX, _) => String::new(),
        (number, true) => format!(", the oldest {number}"),
        (number, false) => format!(", the latest {number}"),
    };
    let mut words = match (request.number, request.follow) {
        (0, true) if request.since.is_none() => "Shown: those from now on".to_owned(),
        (_, true) => format!("Shown: those that there are{count}, and then those that come"),
        (_, false) => format!("Shown: those that there are{count}"),
    };
    if !count.is_empty() && decides == Decides::Server {
        words.push_str(" (of each node, if a relay is asked)");
    }
    if let Some(since) = &request.since {
        words.push_str(&format!(", since {}", time(since)));
    }
    if let Some(until) = &request.until {
        words.push_str(&format!(", until {}", time(until)));
    }
    words.push_str(".\n");
    words
}

/// Where it is decided.
fn place(request: &GetFlowsRequest, conditions: &Conditions, decides: Decides) -> String {
    let is_all = request.whitelist.is_empty() && request.blacklist.is_empty();
    let mut words = match decides {
        _ if is_all => return String::new(),
        Decides::Here => "Decided here, for each flow that is read.\n".to_owned(),
        Decides::Server => "Decided by the server, so that only wanted flows travel.\n".to_owned(),
    };
    if let Some(expression) = conditions.expression() {
        if decides == Decides::Server {
            words.push_str(
                "The condition of --where goes along as an expression. Hubble before 1.16 does not \
                 evaluate it: then it is decided here.\n",
            );
        }
        words.push_str(&format!("Expression: {expression}\n"));
        let reads: Option<Vec<String>> = conditions
            .read()
            .iter()
            .map(flow_filter::Where::reads)
            .collect::<Option<Vec<_>>>()
            .map(|reads| reads.concat());
        match reads {
            Some(mut reads) => {
                reads.sort();
                reads.dedup();
                words.push_str(&format!("It reads: {}.\n", reads.join(", ")));
            }
            None => words.push_str("It reads the flow as a whole.\n"),
        }
    }
    words
}
