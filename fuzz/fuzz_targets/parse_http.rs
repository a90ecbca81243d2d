//! Heads of HTTP requests and responses.
#![no_main]

use flow_observer::decode::payload::{Application, http};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(request) = http::request(bytes) {
        request.headers().for_each(drop);
        let _ = Application::HttpRequest(request).summary();
    }
    if let Ok(response) = http::response(bytes) {
        response.headers().for_each(drop);
        let _ = Application::HttpResponse(response).summary();
    }
});
