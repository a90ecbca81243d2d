//! `palomar watch peers`: nodes that a server announces to relays.

use flow_api::peer::{ChangeNotification, ChangeNotificationType, NotifyRequest};
use futures::StreamExt as _;
use tokio_util::sync::CancellationToken;
use tonic::Code;

use crate::cli::Globals;
use crate::print::{Escape, append};
use crate::settings::{ServerArgs, Settings};
use crate::source::server::{RpcError, Server};

use super::observe::asked;

pub(crate) async fn peers(
    globals: Globals<ServerArgs>,
    shutdown: CancellationToken,
) -> anyhow::Result<()> {
    let settings = Settings::new(globals.command, globals.config)?;
    let mut changes = asked(&shutdown, async {
        let server = Server::connect(&settings).await?;
        let mut peer = server.peer();
        let call = async |request| peer.notify(request).await;
        Ok(server.streaming(NotifyRequest {}, call).await?)
    })
    .await;
    while let Some(Some(change)) = shutdown.run_until_cancelled(changes.next()).await {
        match change {
            Ok(change) => super::print_bytes(&line(&change))?,
            Err(error) => {
                let cancelled = error
                    .downcast_ref::<RpcError>()
                    .is_some_and(|error| error.code == Code::Cancelled);
                return if cancelled { Ok(()) } else { Err(error) };
            }
        }
    }
    Ok(())
}

fn line(change: &ChangeNotification) -> Vec<u8> {
    let mut out = Vec::new();
    let kind = match ChangeNotificationType::try_from(change.r#type) {
        Ok(kind) => kind.as_str_name().to_owned(),
        Err(_) => change.r#type.to_string(),
    };
    let escape = Escape::for_answers();
    append!(out, "{kind:<12} ");
    escape.write(&mut out, &change.address);
    append!(out, " ");
    escape.write(&mut out, &change.name);
    if let Some(tls) = &change.tls {
        append!(out, " (TLS.ServerName: ");
        escape.write(&mut out, &tls.server_name);
        append!(out, ")");
    }
    append!(out, "\n");
    out
}
