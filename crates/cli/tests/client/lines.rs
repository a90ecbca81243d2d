//! The fast way through a line of JSON and the full one print the same. A blank before a line makes no
//! difference to what it says, and sends it the full way.

use std::fmt::Write as _;

use crate::harness::*;

/// What is put into lines, here and there.
const PIECES: [&str; 30] = [
    "",
    "",
    "",
    "\"",
    "\\",
    "\\u0026",
    "\\u0041",
    "\\n",
    "<",
    "é",
    "\u{1b}",
    " ",
    "{",
    "}",
    "[",
    "]",
    ":",
    ",",
    "0",
    "-1",
    "1.0",
    "null",
    "true",
    "{}",
    "\"\"",
    "\"verdict\":2,",
    "\"verdict\":\"DROPPED\",",
    "\"nodeName\":\"n\",",
    "\"lost_events\":{},",
    "\"new\":1,",
];

/// Numbers that look random, the same in every run.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % limit as u64) as usize
    }
}

/// Lines of which most hold a mistake or another spelling.
fn damaged_lines(seed: u64) -> Vec<String> {
    let mut numbers = Numbers(seed);
    let whole = [ASKS, ANSWERS, DROPPED, LOST, UNREACHABLE, REACHED];
    let damaged = |number: usize| {
        let mut line = whole[number % whole.len()].to_owned();
        for _ in 0..numbers.below(3) {
            let start = line.floor_char_boundary(numbers.below(line.len()));
            let end = line.floor_char_boundary((start + numbers.below(8)).min(line.len()));
            let end = end.max(start);
            if numbers.below(5) == 0 {
                let part = line[start..end].to_owned();
                line.insert_str(start, &part);
            } else {
                line.replace_range(start..end, PIECES[numbers.below(PIECES.len())]);
            }
        }
        line
    };
    (0..3_000).map(damaged).collect()
}

/// Log lines without what tells the two ways apart: the time, the column, and the blank.
fn told(stderr: &str) -> String {
    let mut told = String::new();
    for line in stderr.lines() {
        let line = match line.split_once(" level=") {
            Some((_, rest)) if line.starts_with("time=") => rest,
            _ => line,
        };
        let mut rest = line;
        while let Some((before, after)) = rest.split_once("column ") {
            told.push_str(before);
            rest = after.trim_start_matches(|c: char| c.is_ascii_digit());
        }
        let rest = rest
            .replace("line=\" ", "line=\"")
            .replace("line=\"", "line=");
        writeln!(told, "{}", rest.replace('"', "")).unwrap();
    }
    told
}

#[track_caller]
fn both_ways_print_the_same(flags: &[&str]) {
    let lines = damaged_lines(0x9e37_79b9_7f4a_7c15);
    let fast: Vec<&str> = lines.iter().map(String::as_str).collect();
    let full: Vec<String> = lines.iter().map(|line| format!(" {line}")).collect();
    let full: Vec<&str> = full.iter().map(String::as_str).collect();
    let (fast, full) = (observe(flags, &fast), observe(flags, &full));
    assert_eq!(fast.code, Some(0));
    assert_eq!(full.code, Some(0));
    assert!(fast.stdout.lines().count() > 50, "{}", fast.stdout);
    assert_eq!(fast.stdout, full.stdout);
    let (fast, full) = (told(&fast.stderr), told(&full.stderr));
    for (fast, full) in fast.lines().zip(full.lines()) {
        assert_eq!(fast, full);
    }
    assert_eq!(fast.len(), full.len());
}

#[test]
fn json_is_printed_alike() {
    both_ways_print_the_same(&["-o", "json"]);
    both_ways_print_the_same(&["-o", "json", "--debug"]);
}

#[test]
fn text_is_printed_alike() {
    both_ways_print_the_same(&["-o", "compact", "--print-node-name"]);
    both_ways_print_the_same(&["-o", "dict", "--print-policy-names"]);
    both_ways_print_the_same(&["-o", "table", "--numeric"]);
}

#[test]
fn filters_see_the_same() {
    for flags in [
        &["--verdict", "DROPPED"][..],
        &["--not", "--verdict", "DROPPED"],
        &["--pod", "shop/web"],
        &["--ip", "10.1.0.0/16"],
        &["--port", "5432"],
        &["--tcp-flags", "SYN,ACK"],
        &["--protocol", "udp"],
        &["--type", "trace:to-endpoint"],
        &["--since", "2026-03-01T09:30:05.251Z"],
        &["--cel-expression", "_flow.source.identity == uint(4711)"],
    ] {
        let flags = [&["-o", "json"], flags].concat();
        both_ways_print_the_same(&flags);
    }
}

#[test]
fn the_first_and_the_last_ones_are_the_same() {
    both_ways_print_the_same(&["-o", "json", "--first", "100"]);
    both_ways_print_the_same(&["-o", "json", "--last", "100"]);
    both_ways_print_the_same(&["-o", "compact", "--last", "100"]);
}
