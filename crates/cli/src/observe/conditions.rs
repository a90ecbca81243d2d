//! `--where` and `--explain`: conditions on flows as people write them.
//!
//! A condition goes to the server as an expression of every allow filter, so that it narrows down what
//! the other flags let through, whatever they are. Servers from before such expressions read over them
//! without a word; [`checked`](super::checked) finds that out.

use anyhow::bail;
use flow_api::flow::{FlowFilter, flow_filter::Experimental};
use flow_filter::Where;

use crate::flags::{Accept, Flag, Section, ValueError, value};

/// The flags.
pub(crate) const SECTION: Section = Section {
    heading: "Condition Flags",
    flags: &[
        Flag::value(
            "where",
            "CONDITION",
            "Show what meets this condition, besides all other filters: fields of a flow as JSON names \
            them, compared by == != < <= > >= in, joined by && || !, as in 'verdict == DROPPED && \
            (source.namespace == \"shop\" || destination.port in [80, 443])'. Also: source.ip in \
            \"10.0.0.0/8\", source.pod.glob(\"web-*\"), startsWith, endsWith, contains, matches (a regular \
            expression), has(...), tcp.flags.SYN, and all else that CEL can say. Given more than \
            once, all must be met",
        ),
        Flag::switch(
            "explain",
            "Say in words what would be shown, where that is decided, and what can never match; ask \
            nobody",
        ),
    ],
};

/// What was typed, and once it is read, what it means.
#[derive(Debug, Default)]
pub(crate) struct Conditions {
    /// Say what is understood, and do nothing.
    pub(crate) explain: bool,
    texts: Vec<String>,
    read: Vec<Where>,
    /// The allow list without the conditions.
    others: Vec<FlowFilter>,
}

impl Accept for Conditions {
    fn accept(&mut self, flag: &'static Flag, text: &str) -> Result<bool, ValueError> {
        match flag.long {
            "where" => self.texts.push(text.to_owned()),
            "explain" => self.explain = value::switch(text)?,
            _ => return Ok(false),
        }
        Ok(true)
    }
}

impl Conditions {
    /// The conditions, one by one.
    pub(crate) fn read(&self) -> &[Where] {
        &self.read
    }

    /// The allow list that they are added to.
    pub(crate) fn others(&self) -> &[FlowFilter] {
        &self.others
    }

    /// All of them as one expression; `None` if there are none.
    pub(crate) fn expression(&self) -> Option<String> {
        match self.read.as_slice() {
            [] => None,
            [one] => Some(one.expression().to_owned()),
            more => Some(
                more.iter()
                    .map(|condition| format!("({})", condition.expression()))
                    .collect::<Vec<_>>()
                    .join(" && "),
            ),
        }
    }

    /// Reads the conditions and adds them to an allow list.
    ///
    /// # Errors
    /// One of them makes no sense.
    pub(crate) fn narrow(&mut self, allow: &mut Vec<FlowFilter>) -> anyhow::Result<()> {
        for text in &self.texts {
            match Where::parse(text) {
                Ok(read) => self.read.push(read),
                Err(error) => bail!("invalid --where: {error}"),
            }
        }
        self.others.clone_from(allow);
        let Some(expression) = self.expression() else {
            return Ok(());
        };
        if allow.is_empty() {
            allow.push(FlowFilter::default());
        }
        for filter in allow {
            let fields = filter.experimental.get_or_insert_default();
            add(fields, &expression);
        }
        Ok(())
    }

    /// Adds the fields that the conditions read to those that a server is asked for, so that they can
    /// be checked here. Without a list all fields are asked for.
    pub(crate) fn add_fields(&self, paths: &mut Vec<String>) {
        for condition in &self.read {
            match condition.reads() {
                Some(reads) => {
                    let missing = reads.into_iter().filter(|path| !covers(paths, path));
                    let missing: Vec<String> = missing.collect();
                    paths.extend(missing);
                }
                None => {
                    paths.clear();
                    return;
                }
            }
        }
    }

    /// The fields that the conditions read and a list does not have. The whole flow is `*`.
    pub(crate) fn missing_in(&self, paths: &[String]) -> Vec<String> {
        if paths.is_empty() {
            return Vec::new();
        }
        let reads = |condition: &Where| condition.reads().unwrap_or_else(|| vec!["*".to_owned()]);
        self.read
            .iter()
            .flat_map(reads)
            .filter(|path| !covers(paths, path))
            .collect()
    }
}

/// Expressions of one filter are alternatives, so that the condition goes into each.
fn add(fields: &mut Experimental, expression: &str) {
    if fields.cel_expression.is_empty() {
        fields.cel_expression.push(expression.to_owned());
    } else {
        for other in &mut fields.cel_expression {
            *other = format!("({other}) && ({expression})");
        }
    }
}

/// Whether a field is in a list, by itself or with all that is around it.
fn covers(paths: &[String], path: &str) -> bool {
    paths.iter().any(|outer| {
        path.strip_prefix(outer.as_str())
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn conditions(texts: &[&str]) -> Conditions {
        Conditions {
            texts: texts.iter().map(|text| (*text).to_owned()).collect(),
            ..Conditions::default()
        }
    }

    fn expressions(filter: &FlowFilter) -> &[String] {
        &filter.experimental.as_ref().unwrap().cel_expression
    }

    #[test]
    fn a_condition_goes_into_every_filter_and_every_expression() {
        let mut allow = vec![
            FlowFilter::default(),
            FlowFilter {
                experimental: Some(Experimental {
                    cel_expression: vec!["true".to_owned(), "false || true".to_owned()],
                }),
                ..FlowFilter::default()
            },
        ];
        let mut conditions = conditions(&["verdict == dropped"]);
        conditions.narrow(&mut allow).unwrap();
        assert_eq!(expressions(&allow[0]), ["_flow.verdict == Verdict.DROPPED"]);
        assert_eq!(
            expressions(&allow[1]),
            [
                "(true) && (_flow.verdict == Verdict.DROPPED)",
                "(false || true) && (_flow.verdict == Verdict.DROPPED)"
            ]
        );
        assert_eq!(conditions.others().len(), 2);
        assert_eq!(conditions.others()[0], FlowFilter::default());
    }

    #[test]
    fn without_other_filters_a_condition_makes_one_and_all_must_be_met() {
        let mut allow = Vec::new();
        conditions(&["tcp || udp", "source.identity == 1"])
            .narrow(&mut allow)
            .unwrap();
        assert_eq!(
            expressions(&allow[0]),
            ["(has(_flow.l4.TCP) || has(_flow.l4.UDP)) && (_flow.source.identity == 1u)"]
        );
        let mut none = Vec::new();
        conditions(&[]).narrow(&mut none).unwrap();
        assert!(none.is_empty());
    }

    #[test]
    fn fields_that_are_read_are_asked_for_once() {
        let mut conditions =
            conditions(&["tcp && source.pod == 'a' && drop_reason_desc == POLICY_DENIED"]);
        conditions.narrow(&mut Vec::new()).unwrap();
        let mut paths = vec!["l4".to_owned(), "source.pod_name".to_owned()];
        assert_eq!(conditions.missing_in(&paths), ["drop_reason_desc"]);
        conditions.add_fields(&mut paths);
        assert_eq!(paths, ["l4", "source.pod_name", "drop_reason_desc"]);
        assert!(conditions.missing_in(&paths).is_empty());
        assert!(conditions.missing_in(&[]).is_empty());
    }
}
