//! Whether to ask a relay through the API server of its cluster, and which.

use std::path::PathBuf;

use super::{KUBE_CONTEXT, KUBE_NAMESPACE, KUBECONFIG, PORT_FORWARD, PORT_FORWARD_PORT, Settings};
use crate::flags::value::{self, Base};
use crate::forward::Wanted;

impl Settings {
    /// What to forward; `None` where servers are asked directly.
    pub(crate) fn forward(&self) -> Option<Wanted> {
        let given = |name| self.text(name).filter(|text| !text.is_empty());
        let port = |text: String| {
            let port = value::unsigned(&text, Base::Prefix, u16::BITS).ok()?;
            u16::try_from(port).ok().filter(|port| *port != 0)
        };
        self.is_true(PORT_FORWARD).then(|| Wanted {
            kubeconfig: given(KUBECONFIG).map(PathBuf::from),
            context: given(KUBE_CONTEXT),
            namespace: given(KUBE_NAMESPACE),
            local_port: given(PORT_FORWARD_PORT).and_then(port),
        })
    }
}
