//! Which requests and responses become flows, and what is shown of them: what was typed.

use clap::{ArgAction, builder::BoolishValueParser};
use flow_observer::{
    exchange::Options,
    layer7::{HeaderRule, Redaction},
};

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Requests and responses")]
#[group(skip)]
pub(super) struct Args {
    /// Protocols whose requests and responses become flows of their own, with commas between, or
    /// `none`
    #[arg(
        long,
        value_enum,
        value_name = "PROTOCOLS",
        value_delimiter = ',',
        default_value = "dns,http"
    )]
    l7: Vec<Protocol>,

    /// Hide what is secret in the queries and headers of HTTP
    #[arg(long, value_name = "BOOL", action = ArgAction::Set, value_parser = BoolishValueParser::new(),
          num_args = 0..=1, require_equals = true, default_value = "true",
          default_missing_value = "true")]
    redact_enabled: bool,

    /// Hide the values in a URL's query, and its fragment
    #[arg(long, value_name = "BOOL", action = ArgAction::Set, value_parser = BoolishValueParser::new(),
          num_args = 0..=1, require_equals = true, default_value = "true",
          default_missing_value = "true")]
    redact_http_urlquery: bool,

    /// Hide the password in a URL, whatever --redact-enabled says
    #[arg(long, value_name = "BOOL", action = ArgAction::Set, value_parser = BoolishValueParser::new(),
          num_args = 0..=1, require_equals = true, default_value = "true",
          default_missing_value = "true")]
    redact_http_userinfo: bool,

    /// Hide the values of all headers but these, with commas between. Without this and the next,
    /// those that carry credentials are hidden
    #[arg(
        long,
        value_name = "HEADERS",
        value_delimiter = ',',
        conflicts_with = "redact_http_headers_deny"
    )]
    redact_http_headers_allow: Option<Vec<String>>,

    /// Hide the values of these headers and no others, with commas between
    #[arg(long, value_name = "HEADERS", value_delimiter = ',')]
    redact_http_headers_deny: Option<Vec<String>>,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq, clap::ValueEnum)]
enum Protocol {
    Dns,
    Http,
    None,
}

impl Args {
    pub(super) fn options(self) -> Options {
        let with = |protocol| self.l7.contains(&protocol) && !self.l7.contains(&Protocol::None);
        let (dns, http) = (with(Protocol::Dns), with(Protocol::Http));
        let headers = match (
            self.redact_http_headers_allow,
            self.redact_http_headers_deny,
        ) {
            (Some(names), _) => HeaderRule::Allow(trimmed(names)),
            (None, Some(names)) => HeaderRule::Deny(trimmed(names)),
            (None, None) => HeaderRule::Credentials,
        };
        Options {
            dns,
            http,
            redaction: Redaction {
                is_enabled: self.redact_enabled,
                url_query: self.redact_http_urlquery,
                user_info: self.redact_http_userinfo,
                headers,
            },
        }
    }
}

fn trimmed(names: Vec<String>) -> Vec<String> {
    names
        .iter()
        .map(|name| name.trim().to_owned())
        .filter(|name| !name.is_empty())
        .collect()
}

#[cfg(test)]
mod tests {
    use clap::{Args as _, FromArgMatches as _};

    use super::*;

    fn options_of(line: &[&str]) -> Result<Options, String> {
        let command = Args::augment_args(clap::Command::new("agent").no_binary_name(true));
        let matches = command
            .try_get_matches_from(line)
            .map_err(|error| error.to_string())?;
        Ok(Args::from_arg_matches(&matches).unwrap().options())
    }

    #[test]
    fn without_flags_everything_is_told_and_secrets_are_hidden() {
        assert_eq!(options_of(&[]).unwrap(), Options::default());
    }

    #[test]
    fn protocols_are_named_or_none() {
        for (given, dns, http) in [
            ("--l7=dns", true, false),
            ("--l7=http,dns", true, true),
            ("--l7=none", false, false),
        ] {
            let options = options_of(&[given]).unwrap();
            assert_eq!((options.dns, options.http), (dns, http), "{given}");
        }
        assert!(options_of(&["--l7=kafka"]).is_err());
    }

    #[test]
    fn redaction_is_switched_as_in_hubble() {
        let redaction = |line: &[&str]| options_of(line).unwrap().redaction;
        let line = [
            "--redact-enabled",
            "--redact-http-urlquery=false",
            "--redact-http-userinfo=false",
            "--redact-http-headers-allow=traceparent, accept,",
        ];
        let expected = Redaction {
            is_enabled: true,
            url_query: false,
            user_info: false,
            headers: HeaderRule::Allow(vec!["traceparent".to_owned(), "accept".to_owned()]),
        };
        assert_eq!(redaction(&line), expected);
        assert!(!redaction(&["--redact-enabled=false"]).is_enabled);
        let deny = redaction(&["--redact-http-headers-deny", "x-mine"]).headers;
        assert_eq!(deny, HeaderRule::Deny(vec!["x-mine".to_owned()]));
    }

    #[test]
    fn headers_are_allowed_or_denied_but_not_both() {
        let error = options_of(&[
            "--redact-http-headers-allow=a",
            "--redact-http-headers-deny=b",
        ])
        .unwrap_err();
        assert!(error.contains("cannot be used with"), "{error}");
    }
}
