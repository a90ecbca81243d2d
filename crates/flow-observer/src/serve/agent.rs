//! What an agent says about itself.

use std::sync::Arc;

use arc_swap::ArcSwap;
use flow_api::palomar::{
    Exporter, GetAgentStatusRequest, GetAgentStatusResponse, Provider, StageCount,
    agent_server::Agent,
};
use tonic::{Request, Response, Status};

use crate::{
    counters::Counters,
    encode::timestamp,
    enrich::{ProviderStatus, Reports},
    export::{ExportCounts, ExporterStatus},
    ring::FlowRing,
    source::{Hook, LocalDevices, SourceOptions},
};

/// Tells where events come from, what is on, and what was counted.
pub(crate) struct AgentService {
    pub(crate) source: SourceOptions,
    pub(crate) hooks: Vec<Hook>,
    pub(crate) devices: Arc<ArcSwap<LocalDevices>>,
    pub(crate) ring: Arc<FlowRing>,
    pub(crate) counters: Arc<Counters>,
    pub(crate) providers: Vec<Arc<dyn Reports>>,
}

#[tonic::async_trait]
impl Agent for AgentService {
    async fn get_agent_status(
        &self,
        _request: Request<GetAgentStatusRequest>,
    ) -> Result<Response<GetAgentStatusResponse>, Status> {
        let hooks = self.hooks.iter().map(|hook| flow_api::palomar::Hook {
            name: hook.name.to_owned(),
            on: hook.off.is_none(),
            reason: hook.off.clone().unwrap_or_default(),
        });
        let counts = self.counters.stages().into_iter().map(|count| StageCount {
            stage: count.stage.name().to_owned(),
            what: count.what.to_owned(),
            kind: count.kind,
            count: count.count,
            is_loss: count.is_loss,
        });
        let ring = self.ring.fill();
        Ok(Response::new(GetAgentStatusResponse {
            source: self.source.spec.to_string(),
            aggregation: self.source.aggregation().to_owned(),
            hooks: hooks.collect(),
            counts: counts.collect(),
            watched_devices: u32::try_from(self.devices.load().watched).unwrap_or(u32::MAX),
            providers: self
                .providers
                .iter()
                .map(|it| provider(it.report()))
                .collect(),
            oldest: ring.span_ns.map(|(oldest_ns, _)| timestamp(oldest_ns)),
            newest: ring.span_ns.map(|(_, newest_ns)| timestamp(newest_ns)),
            ring_bytes: ring.bytes,
            ring_bytes_limit: self.ring.limits().bytes.unwrap_or(0),
            exporters: exporters(self.counters.export()),
        }))
    }
}

fn exporters(counts: &ExportCounts) -> Vec<Exporter> {
    let exporter = |status: ExporterStatus| Exporter {
        name: status.name,
        target: status.target,
        active: status.is_active,
        lines: status.lines,
        lost: status.lost,
        reason: status.reason,
    };
    counts.exporters().into_iter().map(exporter).collect()
}

fn provider(status: ProviderStatus) -> Provider {
    Provider {
        name: status.name.to_owned(),
        source: status.source,
        state: status.state.name().to_owned(),
        since: Some(status.since.into()),
        last_event: status.last_event.map(Into::into),
        age_seconds: status.age_seconds,
        objects: status.objects,
        reason: status.reason,
        parts: status.parts.into_iter().map(provider).collect(),
    }
}
