//! DNS messages over UDP and TCP: whatever is read can be walked and shown.
#![no_main]

use flow_observer::decode::payload::{
    Application,
    dns::{self, Data, Framing},
};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    for framing in [Framing::Datagram, Framing::Stream] {
        let Ok(message) = dns::parse(bytes, framing) else {
            continue;
        };
        for question in message.questions() {
            let len: usize = question.name.labels().map(|label| label.len() + 1).sum();
            assert!(len < 255, "a name is {len} bytes long");
        }
        for answer in message.answers() {
            let _ = answer.name.to_string();
            if let Data::Cname(alias) = answer.data {
                let _ = alias.to_string();
            }
        }
        let summary = Application::Dns(message).summary();
        let _ = summary.map(|summary| summary.to_string());
    }
});
