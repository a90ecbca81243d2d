//! ClientHellos: in records, and a hello is the same over many records as in one.
#![no_main]

use flow_observer::decode::payload::{
    Application,
    tls::{self, ClientHello},
};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let Some((&record_len, bytes)) = input.split_last() else {
        return;
    };
    let mut gathered = Vec::new();
    if let Ok(hello) = tls::parse(bytes, &mut gathered) {
        walk(&hello);
    }
    let Ok(hello) = tls::client_hello(bytes) else {
        return;
    };
    walk(&hello);
    let mut records = Vec::new();
    for fragment in bytes.chunks(usize::from(record_len) + 1) {
        records.extend([22, 3, 1]);
        records.extend((fragment.len() as u16).to_be_bytes());
        records.extend(fragment);
    }
    let again = tls::parse(&records, &mut gathered).expect("records do not change a hello");
    assert_eq!(again.server_name, hello.server_name);
    assert!(again.alpn().eq(hello.alpn()));
});

fn walk(hello: &ClientHello<'_>) {
    hello.alpn().for_each(drop);
    hello.versions().for_each(drop);
    let _ = Application::Tls(*hello).summary();
}
