//! `palomar version`.

use flow_api::HUBBLE_VERSION;
use tokio_util::sync::CancellationToken;

use crate::cli::Globals;

pub(crate) async fn run(_: Globals<()>, _: CancellationToken) -> anyhow::Result<()> {
    super::print(&format!(
        "palomar v{} (Hubble API {HUBBLE_VERSION}, {}/{})",
        env!("CARGO_PKG_VERSION"),
        std::env::consts::OS,
        std::env::consts::ARCH
    ))
}
