//! What drop reasons and kernel addresses are called, each looked up once, whose a network
//! namespace is, who is behind a socket, and which connections are translated.

use std::{collections::HashMap, net::IpAddr, sync::Arc};

use super::{
    conntrack::Conntrack, ownership::Namespaces, processes::ProcessTable, reasons::DropReasons,
    symbols::KernelSymbols,
};
use crate::{
    process::Process,
    source::{HostFacts, Moment, Namespace},
    translation::{Ends, Translation},
};

/// Names read from the running kernel.
pub struct KernelNames {
    reasons: Arc<DropReasons>,
    /// Names that were asked for: as many as the kernel has reasons.
    known: HashMap<u32, Arc<str>>,
    /// Read at the first drop: some megabytes that an agent without drops does not need.
    symbols: Option<KernelSymbols>,
    functions: HashMap<u64, Option<Arc<str>>>,
    namespaces: Arc<Namespaces>,
    /// None where the programs at the sockets are off.
    processes: Option<ProcessTable>,
    /// None where connection tracking cannot be heard.
    conntrack: Option<Conntrack>,
}

impl KernelNames {
    pub(super) fn new(
        reasons: Arc<DropReasons>,
        namespaces: Arc<Namespaces>,
        processes: Option<ProcessTable>,
        conntrack: Option<Conntrack>,
    ) -> Self {
        Self {
            reasons,
            known: HashMap::new(),
            symbols: None,
            functions: HashMap::new(),
            namespaces,
            processes,
            conntrack,
        }
    }
}

impl HostFacts for KernelNames {
    fn has_processes(&self) -> bool {
        self.processes.is_some()
    }

    fn has_translations(&self) -> bool {
        self.conntrack.is_some()
    }

    fn drop_reason(&mut self, reason: u32) -> Arc<str> {
        let reasons = &self.reasons;
        let name = self
            .known
            .entry(reason)
            .or_insert_with(|| reasons.name(reason));
        Arc::clone(name)
    }

    fn function(&mut self, address: u64) -> Option<Arc<str>> {
        // As many entries as the kernel has places that drop packets: a few hundred.
        let symbols = &mut self.symbols;
        self.functions
            .entry(address)
            .or_insert_with(|| {
                symbols
                    .get_or_insert_with(KernelSymbols::of_running_kernel)
                    .function_at(address)
            })
            .clone()
    }

    fn namespace(&mut self, netns_cookie: u64) -> Option<Arc<Namespace>> {
        self.namespaces.owner(netns_cookie)
    }

    fn process_of_socket(&mut self, cookie: u64) -> Option<Arc<Process>> {
        self.processes.as_mut()?.of_socket(cookie)
    }

    fn process_of_listener(
        &mut self,
        address: IpAddr,
        protocol: u8,
        port: u16,
    ) -> Option<Arc<Process>> {
        let processes = self.processes.as_mut()?;
        processes.of_listener(self.namespaces.at(address)?, protocol, port)
    }

    fn translation(
        &mut self,
        protocol: u8,
        ends: &Ends,
        moment: Moment,
    ) -> Option<Arc<Translation>> {
        self.conntrack.as_mut()?.find(protocol, ends, moment)
    }

    fn refresh(&mut self) {
        if let Some(conntrack) = &mut self.conntrack {
            conntrack.refresh();
        }
    }
}
