//! `palomar reflect`: the services and calls that a server tells of by gRPC's reflection.

use futures::stream;
use prost::Message as _;
use prost_types::{FileDescriptorProto, MethodDescriptorProto};
use tokio_util::sync::CancellationToken;
use tonic_reflection::pb::v1::{
    ServerReflectionRequest, server_reflection_request::MessageRequest,
    server_reflection_response::MessageResponse,
};

use crate::cli::Globals;
use crate::print::{Escape, append};
use crate::settings::{ServerArgs, Settings};
use crate::source::server::{RpcError, Server};

pub(crate) async fn run(globals: Globals<ServerArgs>, _: CancellationToken) -> anyhow::Result<()> {
    let settings = Settings::new(globals.command, globals.config)?;
    let server = Server::connect(&settings).await?;
    let services = ask(&server, vec![MessageRequest::ListServices(String::new())]).await?;
    let mut names: Vec<String> = services
        .into_iter()
        .flat_map(|answer| match answer {
            MessageResponse::ListServicesResponse(list) => list.service,
            _ => Vec::new(),
        })
        .map(|service| service.name)
        .collect();
    names.sort();
    let files = names
        .iter()
        .map(|name| MessageRequest::FileContainingSymbol(name.clone()))
        .collect();
    let files = ask(&server, files).await?;
    let mut out = Vec::new();
    let escape = Escape::for_answers();
    for (name, answer) in names.iter().zip(files) {
        escape.write(&mut out, name);
        append!(out, "\n");
        for method in methods(name, answer) {
            append!(out, "    ");
            escape.write(&mut out, &line(&method));
            append!(out, "\n");
        }
    }
    super::print_bytes(&out)
}

/// The server's answers to these questions, in their order.
async fn ask(
    server: &Server,
    questions: Vec<MessageRequest>,
) -> Result<Vec<MessageResponse>, RpcError> {
    let requests: Vec<_> = questions
        .into_iter()
        .map(|question| ServerReflectionRequest {
            host: String::new(),
            message_request: Some(question),
        })
        .collect();
    let mut client = server.reflection();
    let mut answers = client
        .server_reflection_info(stream::iter(requests))
        .await?
        .into_inner();
    let mut found = Vec::new();
    while let Some(answer) = answers.message().await? {
        found.extend(answer.message_response);
    }
    Ok(found)
}

/// The calls of a service, out of the files that describe it.
fn methods(service: &str, answer: MessageResponse) -> Vec<MethodDescriptorProto> {
    let MessageResponse::FileDescriptorResponse(files) = answer else {
        return Vec::new();
    };
    files
        .file_descriptor_proto
        .iter()
        // What cannot be read describes nothing.
        .filter_map(|bytes| FileDescriptorProto::decode(bytes.as_slice()).ok())
        .flat_map(|file| {
            let package = file.package().to_owned();
            file.service
                .into_iter()
                .map(move |found| (format!("{package}.{}", found.name()), found.method))
        })
        .find(|(name, _)| name == service)
        .map(|(_, methods)| methods)
        .unwrap_or_default()
}

/// A call as its definition has it.
fn line(method: &MethodDescriptorProto) -> String {
    let message = |name: &str, is_stream: bool| {
        let name = name.strip_prefix('.').unwrap_or(name);
        if is_stream {
            format!("stream {name}")
        } else {
            name.to_owned()
        }
    };
    format!(
        "{}({}) returns ({})",
        method.name(),
        message(method.input_type(), method.client_streaming()),
        message(method.output_type(), method.server_streaming())
    )
}
