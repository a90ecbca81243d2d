//! What drop reasons and kernel addresses are called, each looked up once, and whose a network
//! namespace is.

use std::{collections::HashMap, sync::Arc};

use super::{attacher::Namespaces, reasons::DropReasons, symbols::KernelSymbols};
use crate::source::{HostFacts, Namespace};

/// Names read from the running kernel.
pub struct KernelNames {
    reasons: DropReasons,
    /// Read at the first drop: some seven megabytes that an agent without drops does not need.
    symbols: Option<KernelSymbols>,
    functions: HashMap<u64, Option<Arc<str>>>,
    namespaces: Arc<Namespaces>,
}

impl KernelNames {
    pub(super) fn new(reasons: DropReasons, namespaces: Arc<Namespaces>) -> Self {
        Self {
            reasons,
            symbols: None,
            functions: HashMap::new(),
            namespaces,
        }
    }
}

impl HostFacts for KernelNames {
    fn drop_reason(&mut self, reason: u32) -> Arc<str> {
        match self.reasons.name(reason) {
            Some(name) => Arc::clone(name),
            None => format!("REASON_{reason}").into(),
        }
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
}
