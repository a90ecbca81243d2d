//! What is refused, with which words.

use crate::harness::*;

#[test]
fn wrong_usage_is_told_in_one_line() {
    for (args, message) in [
        (&["observe", "--nope"][..], "unknown flag: --nope"),
        (&["observe", "-Z"], "unknown shorthand flag: 'Z' in -Z"),
        (&["observe", "--pod"], "flag needs an argument: --pod"),
        (&["status", "-o"], "flag needs an argument: 'o' in -o"),
        (
            &["observe", "--verdict", "NOPE"],
            "invalid argument \"NOPE\" for \"--verdict\" flag: invalid --verdict value: NOPE",
        ),
        (
            &["observe", "-t", "trace:nope"],
            "invalid argument \"trace:nope\" for \"-t, --type\" flag: unable to parse event \
             sub-type 'nope', not a known sub-type name and unable to parse as numeric value: \
             strconv.ParseUint: parsing \"nope\": invalid syntax",
        ),
        (
            &["observe", "--last", "-1"],
            "invalid argument \"-1\" for \"--last\" flag: strconv.ParseUint: parsing \"-1\": \
             invalid syntax",
        ),
        (
            &["observe", "--follow=maybe"],
            "invalid argument \"maybe\" for \"-f, --follow\" flag: strconv.ParseBool: parsing \
             \"maybe\": invalid syntax",
        ),
        (
            &["observe", "--ip", "::1", "--fqdn", "x"],
            "invalid argument \"x\" for \"--fqdn\" flag: filters --ip and --fqdn cannot be combined",
        ),
        (
            &["observe", "--pod", "a", "--not"],
            "trailing --not found in the arguments",
        ),
        (
            &["observe", "--first", "1", "-f"],
            "cannot set both --first and --follow",
        ),
        (&["observe", "-o", "xml"], "invalid output format: xml"),
        (
            &["observe", "-o", "table", "-f"],
            "table output format is not compatible with follow mode",
        ),
        (
            &["observe", "--field-mask", "time"],
            "compact output format is not compatible with custom field mask",
        ),
        (
            &["observe", "--since", "yesterday"],
            "failed to parse the since time: failed to convert yesterday to time",
        ),
        (
            &["observe", "--input-file", "/nonexistent/flows.json"],
            "open /nonexistent/flows.json: no such file or directory",
        ),
        (&["observe", "--input-file", "/"], "read /: is a directory"),
        (
            &["observe", "--input-file", "-", "--port", "http"],
            "invalid source port filter: invalid port \"http\": strconv.ParseUint: parsing \
             \"http\": invalid syntax",
        ),
    ] {
        assert_eq!(run(args).failed(), format!("{message}\n"), "{args:?}");
    }
}

#[test]
fn the_first_mistake_is_the_one_told() {
    let message = run(&["observe", "--last", "x", "--nope"]).failed();
    assert!(message.starts_with("invalid argument \"x\""), "{message}");
    let message = run(&["observe", "--nope", "--last", "x"]).failed();
    assert_eq!(message, "unknown flag: --nope\n");
}

#[test]
fn a_mistyped_command_gets_a_hint() {
    let message = run(&["observ"]).failed();
    assert!(
        message.starts_with("unknown command \"observ\""),
        "{message}"
    );
    assert!(message.contains("\tobserve\n"), "{message}");
}

#[test]
fn without_a_server_the_error_says_who_was_asked_and_what_to_do() {
    let message = run(&["observe", "--server", "unix:///nonexistent/observer.sock"]).failed();
    assert_eq!(
        message,
        "rpc error: code = Unavailable desc = cannot connect to \
         unix:///nonexistent/observer.sock: no such file or directory; is an agent or relay \
         running? start one with 'palomar agent' or name it with --server\n"
    );
    let message = run(&["status", "--server", "unix:///nonexistent/observer.sock"]).failed();
    assert!(
        message.starts_with("failed getting status: rpc error: code = Unavailable desc = "),
        "{message}"
    );
}

#[test]
fn passwords_need_encryption() {
    let message = run(&[
        "status",
        "--server",
        "localhost:1",
        "--basic-auth-username",
        "u",
        "--basic-auth-password",
        "p",
    ])
    .failed();
    assert!(
        message.starts_with("failed to create gRPC client to 'localhost:1': "),
        "{message}"
    );
}
