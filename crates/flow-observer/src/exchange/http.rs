//! Requests and responses of HTTP/1.

use flow_api::flow::{self, L7FlowType, layer7::Record};

use super::{
    Admission, Asked, COUNTED, Conversation, Exchanges, Position, Sighting, Telling, waiting,
};
use crate::{
    decode::payload::{
        Application,
        http::{self, Head, Header, Request, Response},
    },
    layer7::{Redaction, trace_id},
    record::FlowRecord,
    uuid::Uuids,
};

/// Messages that are read of one packet: more than clients pipeline, and few enough that a packet of
/// nothing but tiny messages does not become thousands of flows.
const MAX_MESSAGES: usize = 64;

/// A message in a packet.
struct Heard<'a> {
    flow: &'a FlowRecord,
    /// From its head to the end of what was captured.
    bytes: &'a [u8],
    position: Position,
}

impl Exchanges {
    /// All messages of a packet that begins with one, as far as the end of each is in it.
    pub(super) fn http(
        &mut self,
        flow: &FlowRecord,
        first: &Application<'_>,
        payload: &[u8],
        position: Position,
        uuids: &mut Uuids,
    ) {
        let mut application = *first;
        let mut at = 0;
        for _ in 0..MAX_MESSAGES {
            let heard = Heard {
                flow,
                bytes: payload.get(at..).unwrap_or_default(),
                position: Position {
                    sequence: position.sequence.wrapping_add(at as u32),
                    ..position
                },
            };
            let len = match application {
                Application::HttpRequest(request) => self.request(&heard, &request, uuids),
                Application::HttpResponse(response) => self.response(&heard, &response, uuids),
                _ => return,
            };
            let Some(len) = len else { return };
            at += len;
            let Some(next) = payload.get(at..).and_then(next_message) else {
                return;
            };
            application = next;
        }
    }

    /// Returns how long the message is, where its end is in the packet.
    fn request(
        &mut self,
        heard: &Heard<'_>,
        request: &Request<'_>,
        uuids: &mut Uuids,
    ) -> Option<usize> {
        let (Some(target), Some(version)) = (request.target, request.version) else {
            self.counters.note(COUNTED, "request_line_cut");
            return None;
        };
        self.tell_http_request(heard, request, target, version, uuids);
        let body = heard.bytes.get(request.head_len..)?;
        let len = (!request.is_cut).then(|| request.body().len_within(body))??;
        Some(request.head_len + len)
    }

    fn tell_http_request(
        &mut self,
        heard: &Heard<'_>,
        request: &Request<'_>,
        target: &str,
        version: http::Version,
        uuids: &mut Uuids,
    ) {
        let Some(sighting) = Sighting::of(heard.flow, false) else {
            return;
        };
        let mark = self.seen.segment(heard.position.sequence, heard.bytes);
        let admission = self.admit(mark, &sighting);
        if admission == Admission::Ignore {
            return;
        }
        let is_silent = admission == Admission::Silent;
        self.seen.insert(mark, &sighting, !is_silent);
        let url = self.options.redaction.url(&url(target, request.host));
        let trace_id = request
            .headers()
            .find(|header| header.name.eq_ignore_ascii_case("traceparent"))
            .and_then(|header| trace_id(str::from_utf8(header.value).ok()?.trim()))
            .map(Box::<str>::from);
        let conversation = conversation(&sighting);
        let asked = Asked {
            time_ns: sighting.time_ns,
            position: heard.position,
            direction: sighting.direction,
            is_silent,
            method: request.method.into(),
            url: waiting::kept_url(&url),
            trace_id: trace_id.clone(),
        };
        self.ask(conversation, asked);
        if is_silent {
            return;
        }
        let record = flow::Http {
            code: 0,
            method: request.method.to_owned(),
            url,
            protocol: version.as_str().to_owned(),
            headers: headers(request.headers(), &self.options.redaction),
        };
        let telling = Telling {
            flow: heard.flow,
            direction: sighting.direction,
            layer7: flow::Layer7 {
                r#type: L7FlowType::Request.into(),
                latency_ns: 0,
                record: Some(Record::Http(record)),
            },
            trace_id: trace_id.as_deref(),
        };
        let position = heard.position;
        self.tell_request(telling, mark, &sighting, conversation, position, uuids);
    }

    /// Returns how long the message is, where its end is in the packet.
    fn response(
        &mut self,
        heard: &Heard<'_>,
        response: &Response<'_>,
        uuids: &mut Uuids,
    ) -> Option<usize> {
        let method = self.tell_http_response(heard, response, uuids);
        let body = heard.bytes.get(response.head_len..)?;
        let len = (!response.is_cut).then(|| response.body(&method).len_within(body))??;
        Some(response.head_len + len)
    }

    /// Returns the method that is answered; empty where it is not known.
    fn tell_http_response(
        &mut self,
        heard: &Heard<'_>,
        response: &Response<'_>,
        uuids: &mut Uuids,
    ) -> Box<str> {
        let Some(sighting) = Sighting::of(heard.flow, true) else {
            return Box::default();
        };
        let mark = self.seen.segment(heard.position.sequence, heard.bytes);
        let admission = self.admit(mark, &sighting);
        if admission == Admission::Ignore {
            return Box::default();
        }
        let conversation = conversation(&sighting);
        // 101 is final: what follows is another protocol.
        let is_interim = matches!(response.code, 100 | 102..=199);
        let asked = self
            .requests
            .answer(&conversation, heard.position, is_interim);
        let is_silent = admission == Admission::Silent;
        let is_told =
            self.admit_response(mark, &sighting, &conversation, asked.as_ref(), is_silent);
        let latency_ns = asked.as_ref().map_or(0, |it| it.latency_ns(&sighting));
        let (direction, method, url, trace_id) = match asked {
            Some(it) => (it.direction, it.method, it.url, it.trace_id),
            None => (sighting.direction, Box::default(), Box::default(), None),
        };
        if !is_told {
            return method;
        }
        let record = flow::Http {
            code: response.code.into(),
            method: method.to_string(),
            url: url.into(),
            protocol: response.version.as_str().to_owned(),
            headers: headers(response.headers(), &self.options.redaction),
        };
        let telling = Telling {
            flow: heard.flow,
            direction,
            layer7: flow::Layer7 {
                r#type: L7FlowType::Response.into(),
                latency_ns,
                record: Some(Record::Http(record)),
            },
            trace_id: trace_id.as_deref(),
        };
        let event = self.event(telling, uuids);
        self.ready.push(event);
        method
    }
}

fn conversation(sighting: &Sighting) -> Conversation {
    Conversation {
        client: sighting.client,
        server: sighting.server,
        question: None,
    }
}

/// What follows a message in the same packet.
fn next_message(bytes: &[u8]) -> Option<Application<'_>> {
    match http::may_hold(bytes)? {
        Head::Request => http::request(bytes).ok().map(Application::HttpRequest),
        Head::Response => http::response(bytes).ok().map(Application::HttpResponse),
    }
}

/// The URL that was asked for: whole where the host is known, as proxies log it.
fn url(target: &str, host: Option<&str>) -> String {
    match host {
        Some(host) if target.starts_with('/') => format!("http://{host}{target}"),
        // A proxy is asked for a whole URL, `CONNECT` names the host alone, `OPTIONS` may name `*`.
        _ => target.to_owned(),
    }
}

/// Headers by name, one entry for each value.
fn headers<'a>(
    headers: impl Iterator<Item = Header<'a>>,
    redaction: &Redaction,
) -> Vec<flow::HttpHeader> {
    let mut headers: Vec<_> = headers
        .map(|header| {
            let value = String::from_utf8_lossy(header.value);
            flow::HttpHeader {
                value: redaction.header(header.name, &value).to_owned(),
                key: canonical(header.name),
            }
        })
        .collect();
    // Stable: values of one name keep their order.
    headers.sort_by(|one, other| one.key.cmp(&other.key));
    headers
}

/// A header's name as Hubble has it, whatever its case on the wire: filters compare it as it is.
fn canonical(name: &str) -> String {
    let mut begins_word = true;
    name.chars()
        .map(|letter| {
            let cased = if begins_word {
                letter.to_ascii_uppercase()
            } else {
                letter.to_ascii_lowercase()
            };
            begins_word = letter == '-';
            cased
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_whole_where_the_host_is_known() {
        for (target, host, expected) in [
            ("/a?b", Some("c:80"), "http://c:80/a?b"),
            ("/a", None, "/a"),
            ("http://c/a", Some("proxy"), "http://c/a"),
            ("c:443", Some("c:443"), "c:443"),
            ("*", Some("c"), "*"),
        ] {
            assert_eq!(url(target, host), expected, "{target}");
        }
    }

    #[test]
    fn header_names_begin_their_words_with_capitals() {
        for (name, expected) in [
            ("content-type", "Content-Type"),
            ("X-REQUEST-ID", "X-Request-Id"),
            ("etag", "Etag"),
            ("x--y", "X--Y"),
            ("", ""),
        ] {
            assert_eq!(canonical(name), expected);
        }
    }
}
