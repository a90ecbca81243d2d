//! Lines of a page in one form, so that pages can be compared.

/// The lines about flows: samples with sorted labels and one way to write a number, and what says what
/// they are; sorted.
pub(crate) fn of_flows(page: &str) -> Vec<String> {
    /// Those that are about the agent.
    const OTHERS: [&str; 2] = ["hubble_lost_events", "hubble_metrics_http_handler"];
    let name = |line: &str| {
        let rest = line
            .strip_prefix("# HELP ")
            .or(line.strip_prefix("# TYPE "));
        rest.unwrap_or(line).to_owned()
    };
    let mut lines: Vec<_> = page
        .lines()
        .filter(|line| {
            let name = name(line);
            name.starts_with("hubble_") && !OTHERS.iter().any(|it| name.starts_with(it))
        })
        .map(normal)
        .collect();
    lines.sort();
    lines
}

fn normal(line: &str) -> String {
    if line.starts_with('#') {
        return line.to_owned();
    }
    let (name, mut labels, value) = sample(line);
    labels.sort();
    let value: f64 = value.parse().unwrap();
    format!("{name}{{{}}} {value}", labels.join(","))
}

/// Name, labels and value. Texts of labels stay as they are escaped.
fn sample(line: &str) -> (&str, Vec<&str>, &str) {
    let Some((name, rest)) = line.split_once('{') else {
        let (name, value) = line.split_once(' ').unwrap();
        return (name, Vec::new(), value);
    };
    let (mut labels, mut begin) = (Vec::new(), 0);
    let (mut is_quoted, mut is_escaped) = (false, false);
    for (at, byte) in rest.bytes().enumerate() {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' => is_escaped = true,
            b'"' => is_quoted = !is_quoted,
            b',' | b'}' if !is_quoted => {
                labels.push(&rest[begin..at]);
                begin = at + 1;
                if byte == b'}' {
                    return (name, labels, rest[begin..].trim_start());
                }
            }
            _ => {}
        }
    }
    panic!("labels without an end: {line}");
}

/// Where two pages differ, for people.
#[track_caller]
pub(crate) fn assert_same(what: &str, page: &[String], expected: &[String]) {
    let only = |these: &[String], those: &[String]| -> String {
        let those: std::collections::HashSet<_> = those.iter().collect();
        let lines = these.iter().filter(|it| !those.contains(it)).take(12);
        lines.map(|it| format!("  {it}\n")).collect()
    };
    assert!(
        page == expected,
        "{what}: a page of {} lines, of which these are not counted:\n{}and without these of {}:\n{}",
        page.len(),
        only(page, expected),
        expected.len(),
        only(expected, page)
    );
}
