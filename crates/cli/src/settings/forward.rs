//! Whether to ask a relay through the API server of its cluster, and which.

use std::path::PathBuf;

use super::{KUBE_CONTEXT, KUBE_NAMESPACE, KUBECONFIG, PORT_FORWARD, PORT_FORWARD_PORT, Settings};
use crate::flags::value::{self, Base};
use crate::forward::Wanted;

/// Where Hubble's client looks for a relay.
const USUAL_NAMESPACE: &str = "kube-system";

impl Settings {
    /// What to forward; `None` where servers are asked directly.
    pub(crate) fn forward(&self) -> Option<Wanted> {
        let given = |name| self.text(name).filter(|text| !text.is_empty());
        let port = |text: String| {
            let port = value::unsigned(&text, Base::Prefix, u16::BITS).ok()?;
            u16::try_from(port).ok().filter(|port| *port != 0)
        };
        // Hubble's client writes its defaults into the file: there, they say no more than nothing.
        let is_typed = self.args.find(KUBE_NAMESPACE).is_some();
        let is_usual = |name: &str| !is_typed && name == USUAL_NAMESPACE;
        self.is_true(PORT_FORWARD).then(|| Wanted {
            kubeconfig: given(KUBECONFIG).map(PathBuf::from),
            context: given(KUBE_CONTEXT),
            namespace: given(KUBE_NAMESPACE).filter(|name| !is_usual(name)),
            local_port: given(PORT_FORWARD_PORT).and_then(port),
        })
    }
}
