//! Messages and gRPC stubs.
//!
//! The Observer service is generated twice: an ordinary decoded client for the command line, and a
//! client and server whose events stay encoded, for those that pass events on.

use std::{error::Error, fs, path::Path};

use prost_types::{FileDescriptorProto, FileDescriptorSet};
use tonic_prost_build::manual;

use crate::names;

/// The calls whose answers stay encoded: the streams of events.
const READY_BYTES_CALLS: [&str; 3] = ["GetFlows", "GetAgentEvents", "GetDebugEvents"];

pub(crate) fn generate(
    descriptors: &FileDescriptorSet,
    out_dir: &Path,
) -> Result<(), Box<dyn Error>> {
    tonic_prost_build::configure()
        .build_server(false)
        .out_dir(out_dir)
        .compile_fds(descriptors.clone())?;
    // The setting above holds for all services; these need their servers too.
    tonic_prost_build::configure()
        .out_dir(out_dir)
        .compile_fds(FileDescriptorSet {
            file: vec![
                // What the others import.
                file(descriptors, "google/protobuf/timestamp.proto")?.clone(),
                file(descriptors, "palomar.proto")?.clone(),
                file(descriptors, "peer.proto")?.clone(),
            ],
        })?;

    let service_dir = out_dir.join("service");
    fs::create_dir_all(&service_dir)?;
    manual::Builder::new()
        .out_dir(service_dir)
        .compile(&[ready_bytes_service(file(descriptors, "observer.proto")?)?]);
    Ok(())
}

fn ready_bytes_service(observer: &FileDescriptorProto) -> Result<manual::Service, Box<dyn Error>> {
    let service = observer
        .service
        .first()
        .ok_or("observer.proto holds no service")?;
    let mut builder = manual::Service::builder()
        .name(service.name())
        .package(observer.package())
        .comment(leading_comment(observer, &[SERVICE, 0]));
    for (index, call) in (0..).zip(&service.method) {
        let mut method = manual::Method::builder()
            .name(names::field(call.name()).trim_start_matches("r#"))
            .route_name(call.name())
            .comment(leading_comment(observer, &[SERVICE, 0, METHOD, index]))
            .input_type(names::type_path(call.input_type()));
        method = if READY_BYTES_CALLS.contains(&call.name()) {
            method
                .output_type("::bytes::Bytes")
                .codec_path("crate::codec::PassThrough")
        } else {
            method
                .output_type(names::type_path(call.output_type()))
                .codec_path("::tonic_prost::ProstCodec")
        };
        if call.server_streaming() {
            method = method.server_streaming();
        }
        builder = builder.method(method.build());
    }
    Ok(builder.build())
}

/// Field numbers in `descriptor.proto`, of which the path of a comment is made.
const SERVICE: i32 = 6;
const METHOD: i32 = 2;

fn leading_comment(file: &FileDescriptorProto, path: &[i32]) -> String {
    let locations = file.source_code_info.iter().flat_map(|info| &info.location);
    let comment = locations.into_iter().find(|location| location.path == path);
    comment.map_or_else(String::new, |location| {
        location.leading_comments().to_owned()
    })
}

fn file<'a>(
    descriptors: &'a FileDescriptorSet,
    name: &str,
) -> Result<&'a FileDescriptorProto, String> {
    let found = descriptors.file.iter().find(|file| file.name() == name);
    found.ok_or_else(|| format!("{name} is not among the compiled files"))
}
