//! `palomar top`: its screens, its keys, and how it leaves the terminal.

use nix::sys::signal::Signal;

use crate::harness::*;
use crate::pty::{Left, Terminal};
use crate::server::{End, Running, serve};

const SIZE: (u16, u16) = (20, 110);

/// A server with connections, drops, names, a gap, and a node that is away.
fn busy() -> Running {
    let named = ASKS
        .replace(
            "\"IP\"",
            "\"destination_names\":[\"db.example.org\"],\"IP\"",
        )
        .replace("web-0", "worker-1");
    let mut lines = [ASKS, ASKS, ASKS, DROPPED, &named].repeat(4);
    lines.extend([LOST, UNREACHABLE]);
    serve(End::Repeat(lines.into_iter().map(str::to_owned).collect()))
}

fn top(server: &Running, flags: &[&str]) -> Terminal {
    let args = [
        &["top", "--interval", "100ms", "--server", &server.address],
        flags,
    ]
    .concat();
    Terminal::run(&args, SIZE)
}

/// The terminal is as it was before.
#[track_caller]
fn is_given_back(left: &Left) {
    assert!(!left.is_alternate, "{}", left.screen);
    assert!(!left.is_cursor_hidden);
    assert!(left.is_cooked);
}

#[test]
fn edges_are_shown_with_their_rates_and_what_was_lost() {
    let server = busy();
    let terminal = top(&server, &[]);
    let screen = terminal.wait_for(|screen| {
        screen.contains("shop/web-0")
            && screen.contains("12 lost")
            && screen.contains("unavailable")
    });
    let lines: Vec<&str> = screen.lines().collect();
    assert!(
        lines[0].starts_with("palomar top  ") && lines[0].contains("  unix://"),
        "{screen}"
    );
    assert!(
        lines[0].contains("2/3 nodes, node-3 unavailable"),
        "{screen}"
    );
    assert!(lines[0].contains(" flows/s  "), "{screen}");
    assert!(
        lines[1].starts_with(" 1 edges  2 drops  3 names  4 nodes  5 verdicts"),
        "{screen}"
    );
    assert!(lines[2].starts_with("CLIENT"), "{screen}");
    assert!(lines[2].contains("FLOWS/S▼"), "{screen}");
    // The busiest first.
    let first = lines[3];
    assert!(
        first.starts_with("shop/web-0") && first.contains("shop/db-0"),
        "{screen}"
    );
    assert!(first.contains("5432") && first.contains("TCP"), "{screen}");
    assert!(lines.last().unwrap().starts_with("Enter flows"), "{screen}");
    assert!(terminal.has_color());
    terminal.press("q");
    let left = terminal.left();
    assert_eq!(left.code, Some(0));
    is_given_back(&left);
}

#[test]
fn keys_lead_through_the_views() {
    let server = busy();
    let terminal = top(&server, &[]);
    for (key, heading, row) in [
        ("2", "DROP REASON", "POLICY_DENIED"),
        ("3", "NAME ORIGIN", "db.example.org"),
        ("4", "STATE", "node-4"),
        ("5", "VERDICT", "DROPPED"),
        ("\t", "CLIENT", "shop/worker-1"),
        ("\x1b[Z", "VERDICT", "FORWARDED"),
    ] {
        terminal.press(key);
        terminal.wait_for(|screen| screen.contains(heading) && screen.contains(row));
    }
    terminal.press("?");
    terminal.wait_for_text("turn the order around");
    terminal.press(" ");
    terminal.wait_for_text("VERDICT");
    terminal.press("\x03");
    let left = terminal.left();
    assert_eq!(left.code, Some(0));
    is_given_back(&left);
}

#[test]
fn rows_are_sorted_filtered_and_stand_still() {
    let server = busy();
    let terminal = top(&server, &[]);
    terminal.wait_for_text("shop/worker-1");
    // By the first column, and the other way around.
    terminal.press(">>");
    terminal.wait_for_text("CLIENT▼");
    terminal.wait_for(|screen| screen.lines().nth(3).unwrap_or("").starts_with("fd00::7"));
    terminal.press("r");
    terminal.wait_for_text("CLIENT▲");
    terminal.wait_for(|screen| {
        screen
            .lines()
            .nth(3)
            .unwrap_or("")
            .starts_with("shop/worker-1")
    });
    terminal.press("/WEB\r");
    terminal.wait_for(|screen| screen.contains("filter: WEB") && !screen.contains("worker"));
    terminal.press("\x1b");
    terminal.wait_for(|screen| !screen.contains("filter:") && screen.contains("worker"));
    terminal.press("p");
    let screen = terminal.wait_for_text("PAUSED");
    let rows = |screen: &str| {
        screen
            .lines()
            .skip(2)
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    let lost = |screen: &str| -> u64 {
        let before = screen.split(" lost").next().unwrap_or_default();
        let count = before.rsplit("  ").next().unwrap_or_default();
        count.replace(',', "").parse().unwrap_or(0)
    };
    let before = lost(&screen);
    // Losses go on being counted, and the rows stand still.
    let later = terminal.wait_for(|screen| lost(screen) > before + 12);
    assert_eq!(rows(&later), rows(&screen));
    terminal.press("p");
    terminal.wait_for(|screen| rows(screen) != rows(&later));
    terminal.press("q");
    assert_eq!(terminal.left().code, Some(0));
}

#[test]
fn a_row_leads_to_its_latest_flows() {
    let server = busy();
    let terminal = top(&server, &["--view", "drops"]);
    terminal.wait_for_text("POLICY_DENIED");
    terminal.press("\r");
    let screen = terminal.wait_for_text("Latest flows of POLICY_DENIED");
    assert!(
        screen.contains("Mar  1 09:31:00.000: [fd00::7]:5353 (world) <> shop/db-0:53 (ID:4712)"),
        "{screen}"
    );
    assert!(!screen.contains("shop/web-0"), "{screen}");
    terminal.press("\x7f");
    terminal.wait_for_text("DROP REASON");
    terminal.press("q");
    assert_eq!(terminal.left().code, Some(0));
}

#[test]
fn another_size_is_used_at_once_and_a_tiny_one_is_borne() {
    let server = busy();
    let terminal = top(&server, &[]);
    terminal.wait_for_text("q quit");
    terminal.resize(10, 40);
    terminal.wait_for(|screen| {
        screen.lines().count() == 10 && screen.contains("…") && screen.contains("palomar top")
    });
    terminal.resize(3, 8);
    terminal.resize(30, 120);
    terminal.wait_for(|screen| {
        screen.lines().count() == 30
            && screen.contains("shop/worker-1")
            && screen.contains("q quit")
    });
    terminal.press("q");
    assert_eq!(terminal.left().code, Some(0));
}

#[test]
fn the_terminal_is_given_back_after_a_signal_too() {
    let server = busy();
    for signal in [Signal::SIGTERM, Signal::SIGINT] {
        let terminal = top(&server, &[]);
        terminal.wait_for_text("q quit");
        terminal.signal(signal);
        let left = terminal.left();
        assert_eq!(left.code, Some(0));
        is_given_back(&left);
    }
}

#[test]
fn no_colours_are_used_where_none_are_wanted() {
    let server = busy();
    let terminal = top(&server, &["--color", "never"]);
    terminal.wait_for_text("q quit");
    assert!(!terminal.has_color());
    terminal.press("q");
    assert_eq!(terminal.left().code, Some(0));
}

#[test]
fn a_server_that_goes_away_is_told_and_called_again() {
    let server = serve(End::Close);
    let terminal = top(&server, &[]);
    terminal.wait_for_text("NO CONNECTION: the server ended its answer");
    // It was called again when it asks for what came after the last flow.
    terminal.wait_for(|_| server.asked().len() > 1);
    let asked = server.asked()[1].clone();
    assert!(asked.follow);
    assert_eq!(asked.since.map(|since| since.nanos), Some(251_000_001));
    terminal.press("q");
    assert_eq!(terminal.left().code, Some(0));
}

#[test]
fn without_a_terminal_it_prints_tables_or_says_how_to() {
    let server = busy();
    let (code, stdout, stderr) = server.ask(&["top"]);
    assert_eq!((code, stdout.as_str()), (Some(1), ""));
    assert!(
        stderr.contains("palomar top draws on a terminal, and here is none: add --once"),
        "{stderr}"
    );
    let (code, stdout, _) = server.ask(&[
        "top",
        "--batches",
        "2",
        "--interval",
        "500ms",
        "--view",
        "verdicts",
    ]);
    assert_eq!(code, Some(0));
    let tables: Vec<&str> = stdout.split("\n\n").collect();
    assert_eq!(tables.len(), 2, "{stdout}");
    for table in tables {
        assert!(table.starts_with("verdicts of unix://"), "{table}");
        assert!(
            table.contains(" lost\nVERDICT     FLOWS/S   FLOWS\nFORWARDED "),
            "{table}"
        );
        assert!(table.contains("\nDROPPED "), "{table}");
    }
    let by_fields = [
        "top",
        "--once",
        "--interval",
        "200ms",
        "--group-by",
        "server.namespace",
    ];
    let (_, stdout, _) = server.ask(&by_fields);
    assert!(stdout.contains("SERVER NAMESPACE   FLOWS/S"), "{stdout}");
}

#[test]
fn what_top_cannot_show_is_refused_with_what_may_be_meant() {
    for (flags, expected) in [
        (
            &["--view", "edge"][..],
            "no view \"edge\", did you mean edges?",
        ),
        (
            &["--sort-by", "rate"],
            "no column \"rate\", expected one of bytes, bytes/s",
        ),
        (
            &["--group-by", "verdct"],
            "no field \"verdct\", did you mean verdict?",
        ),
        (
            &["--window", "1ms"],
            "invalid argument for --window: expected 1s or more",
        ),
    ] {
        let args = [&["top", "--once", "--server", "unix:///nowhere"], flags].concat();
        let stderr = run(&args).failed();
        assert!(stderr.contains(expected), "{flags:?}: {stderr}");
    }
    let stderr = run(&["top", "--once", "--server", "unix:///nowhere"]).failed();
    assert!(stderr.contains("code = Unavailable"), "{stderr}");
}
