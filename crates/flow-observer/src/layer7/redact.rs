//! What is not to be shown of an HTTP request: secrets in its URL and its headers.

/// What stands for a value that is not shown, as in Hubble.
const REDACTED: &str = "HUBBLE_REDACTED";

/// Headers whose values are credentials, in lower case.
const CREDENTIALS: &[&str] = &[
    "api-key",
    "authentication-info",
    "authorization",
    "cookie",
    "proxy-authentication-info",
    "proxy-authorization",
    "set-cookie",
    "x-amz-security-token",
    "x-api-key",
    "x-auth-token",
    "x-csrf-token",
    "x-goog-iap-jwt-assertion",
    "x-vault-token",
    "x-xsrf-token",
];

/// What is not shown of an HTTP request or response. By default everything where secrets are
/// usually passed.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Redaction {
    /// Whether queries and headers are looked at. Passwords in URLs have a switch of their own, as
    /// in Hubble.
    pub is_enabled: bool,
    /// Hides the values of a URL's query, and its fragment. Keys stay.
    pub url_query: bool,
    /// Hides the password in a URL.
    pub user_info: bool,
    /// Which headers' values are hidden.
    pub headers: HeaderRule,
}

/// Which headers' values are hidden. Names in any case.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub enum HeaderRule {
    /// Those that are known to carry credentials.
    #[default]
    Credentials,
    /// All but these.
    Allow(Vec<String>),
    /// These and no others.
    Deny(Vec<String>),
}

impl Default for Redaction {
    fn default() -> Self {
        Self {
            is_enabled: true,
            url_query: true,
            user_info: true,
            headers: HeaderRule::default(),
        }
    }
}

impl Redaction {
    /// The URL as it may be shown.
    #[must_use]
    pub fn url(&self, url: &str) -> String {
        let hides_query = self.is_enabled && self.url_query;
        let end = match url.find(['?', '#']) {
            Some(end) if hides_query => end,
            _ => url.len(),
        };
        let (before, rest) = url.split_at(end);
        let mut shown = match without_password(before) {
            Some(shown) if self.user_info => shown,
            _ => before.to_owned(),
        };
        let (query, fragment) = match rest.split_once('#') {
            Some((query, fragment)) => (query, Some(fragment)),
            None => (rest, None),
        };
        if let Some(query) = query.strip_prefix('?') {
            push_keys(&mut shown, query);
        }
        if fragment.is_some() {
            shown.push('#');
            shown.push_str(REDACTED);
        }
        shown
    }

    /// The value of a header as it may be shown.
    #[must_use]
    pub fn header<'a>(&self, name: &str, value: &'a str) -> &'a str {
        let is_in = |names: &[String]| names.iter().any(|it| it.eq_ignore_ascii_case(name));
        let is_hidden = self.is_enabled
            && match &self.headers {
                HeaderRule::Credentials => CREDENTIALS
                    .iter()
                    .any(|known| known.eq_ignore_ascii_case(name)),
                HeaderRule::Allow(names) => !is_in(names),
                HeaderRule::Deny(names) => is_in(names),
            };
        if is_hidden { REDACTED } else { value }
    }
}

/// A query with its keys alone. What has no `=` may as well be a value.
fn push_keys(shown: &mut String, query: &str) {
    shown.push('?');
    for (number, pair) in query.split('&').enumerate() {
        if number > 0 {
            shown.push('&');
        }
        match pair.split_once('=') {
            Some((key, _)) => {
                shown.push_str(key);
                shown.push('=');
                shown.push_str(REDACTED);
            }
            None if pair.is_empty() => {}
            None => shown.push_str(REDACTED),
        }
    }
}

/// A URL without the password that it holds; `None` when it holds none.
fn without_password(url: &str) -> Option<String> {
    let (before, rest) = url.split_once("//")?;
    // Anything else with `//` in it is a path.
    if !(before.is_empty() || before.ends_with(':')) {
        return None;
    }
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, after) = rest.split_at(end);
    let (user_info, host) = authority.rsplit_once('@')?;
    let (user, _) = user_info.split_once(':')?;
    Some(format!("{before}//{user}:{REDACTED}@{host}{after}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_never_leaves_and_nothing_else_changes() {
        let redaction = Redaction {
            is_enabled: false,
            ..Redaction::default()
        };
        for (url, expected) in [
            ("http://u:p@h/x?y=z", "http://u:HUBBLE_REDACTED@h/x?y=z"),
            ("http://u:@h", "http://u:HUBBLE_REDACTED@h"),
            ("http://:p@h", "http://:HUBBLE_REDACTED@h"),
            ("//u:p:q@h:80/", "//u:HUBBLE_REDACTED@h:80/"),
            ("http://u:p@q@h/", "http://u:HUBBLE_REDACTED@h/"),
            ("http://u@h/a:b@c", "http://u@h/a:b@c"),
            ("http://h:80/a//b:c@d", "http://h:80/a//b:c@d"),
            ("/path//u:p@h", "/path//u:p@h"),
            ("*", "*"),
            ("", ""),
        ] {
            assert_eq!(redaction.url(url), expected, "{url}");
        }
    }

    #[test]
    fn a_query_keeps_its_keys_and_loses_its_values() {
        for (url, expected) in [
            ("/a?b=c", "/a?b=HUBBLE_REDACTED"),
            (
                "/a?b=c=d&e=&f",
                "/a?b=HUBBLE_REDACTED&e=HUBBLE_REDACTED&HUBBLE_REDACTED",
            ),
            ("/a?", "/a?"),
            ("/a?&b=c", "/a?&b=HUBBLE_REDACTED"),
            ("/a?b=c?d=e", "/a?b=HUBBLE_REDACTED"),
            ("/a#access_token=x", "/a#HUBBLE_REDACTED"),
            ("/a?b=c#d?e", "/a?b=HUBBLE_REDACTED#HUBBLE_REDACTED"),
            (
                "http://u:p@h/a?to=http://u:p@h",
                "http://u:HUBBLE_REDACTED@h/a?to=HUBBLE_REDACTED",
            ),
            ("http://h?a=u:p@h", "http://h?a=HUBBLE_REDACTED"),
            ("/a;b=c", "/a;b=c"),
        ] {
            assert_eq!(Redaction::default().url(url), expected, "{url}");
        }
    }

    #[test]
    fn each_part_of_a_url_can_be_shown() {
        let url = "http://u:p@h/a?b=c";
        let shown = |is_enabled, url_query, user_info| {
            let redaction = Redaction {
                is_enabled,
                url_query,
                user_info,
                headers: HeaderRule::default(),
            };
            redaction.url(url)
        };
        assert_eq!(shown(true, true, false), "http://u:p@h/a?b=HUBBLE_REDACTED");
        assert_eq!(shown(true, false, true), "http://u:HUBBLE_REDACTED@h/a?b=c");
        assert_eq!(shown(false, true, false), url);
    }

    #[test]
    fn headers_are_hidden_by_name_in_any_case() {
        let hides = |headers: HeaderRule, name: &str| {
            let redaction = Redaction {
                headers,
                ..Redaction::default()
            };
            redaction.header(name, "value") == REDACTED
        };
        let names = || vec!["x-Mine".to_owned()];
        for (rule, name, expected) in [
            (HeaderRule::Credentials, "Authorization", true),
            (HeaderRule::Credentials, "SET-COOKIE", true),
            (HeaderRule::Credentials, "X-Api-Key", true),
            (HeaderRule::Credentials, "Accept", false),
            (HeaderRule::Allow(names()), "X-MINE", false),
            (HeaderRule::Allow(names()), "Accept", true),
            (HeaderRule::Deny(names()), "X-MINE", true),
            (HeaderRule::Deny(names()), "Authorization", false),
            (HeaderRule::Allow(Vec::new()), "Accept", true),
        ] {
            assert_eq!(hides(rule.clone(), name), expected, "{rule:?} {name}");
        }
        let off = Redaction {
            is_enabled: false,
            ..Redaction::default()
        };
        assert_eq!(off.header("Cookie", "value"), "value");
    }
}
