//! Words that a server knows.

use std::{collections::BTreeSet, env, path::PathBuf, time::Duration};

use flow_api::observer::{GetNamespacesRequest, GetNodesRequest, Namespace, Node};

use super::values::Offer;
use crate::config::{Value, file};
use crate::settings::Settings;
use crate::source::server::Server;

/// How long a person waits for words, all in all. Who has none by then goes on typing.
const PATIENCE: Duration = Duration::from_millis(500);

/// As many words are offered at most: more fill screens and are read by nobody.
const MAX_OFFERS: usize = 1000;

/// What to ask for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Live {
    /// Addresses of nodes.
    Addresses,
    /// Names of clusters.
    Clusters,
    /// Contexts of the file that says how to reach Kubernetes; asks nobody.
    Contexts,
    /// Namespaces with a slash behind them, for what is in them.
    NamespacePrefixes,
    /// Namespaces.
    Namespaces,
    /// Names of nodes.
    Nodes,
    /// Addresses of servers that may be there; asks nobody.
    Servers,
}

impl Live {
    /// Asks the server. Whatever goes wrong, there are no words then.
    pub(super) fn ask(self, settings: Option<&Settings>) -> Vec<Offer> {
        let Some(settings) = settings else {
            return Vec::new();
        };
        match self {
            Self::Contexts => return contexts(settings),
            Self::Servers => return servers(),
            _ => {}
        }
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        let Ok(runtime) = runtime else {
            return Vec::new();
        };
        let words = runtime.block_on(async {
            let words = tokio::time::timeout(PATIENCE, self.words(settings)).await;
            words.ok()?.ok()
        });
        // Names are looked up in threads of their own, which may take longer than we do.
        runtime.shutdown_background();
        let words = words.unwrap_or_default().into_iter();
        words
            .filter(|word| is_harmless(word))
            .take(MAX_OFFERS)
            .map(|word| Offer::new(word, ""))
            .collect()
    }

    async fn words(self, settings: &Settings) -> anyhow::Result<BTreeSet<String>> {
        let server = Server::connect(settings).await?;
        Ok(match self {
            Self::Addresses => nodes(&server)
                .await?
                .into_iter()
                .map(|node| node.address)
                .collect(),
            Self::Clusters => {
                let namespaces = namespaces(&server).await?;
                namespaces
                    .into_iter()
                    .map(|namespace| namespace.cluster)
                    .collect()
            }
            Self::NamespacePrefixes => namespaces(&server)
                .await?
                .into_iter()
                .filter(|namespace| !namespace.namespace.is_empty())
                .map(|namespace| format!("{}/", namespace.namespace))
                .collect(),
            Self::Namespaces => namespaces(&server)
                .await?
                .into_iter()
                .map(|namespace| namespace.namespace)
                .collect(),
            Self::Nodes => nodes(&server)
                .await?
                .into_iter()
                .map(|node| node.name)
                .collect(),
            Self::Contexts | Self::Servers => BTreeSet::new(),
        })
    }
}

async fn namespaces(server: &Server) -> anyhow::Result<Vec<Namespace>> {
    let mut observer = server.observer();
    let call = async |request| observer.get_namespaces(request).await;
    Ok(server
        .unary(GetNamespacesRequest {}, call)
        .await?
        .namespaces)
}

async fn nodes(server: &Server) -> anyhow::Result<Vec<Node>> {
    let mut observer = server.observer();
    let call = async |request| observer.get_nodes(request).await;
    Ok(server.unary(GetNodesRequest {}, call).await?.nodes)
}

/// The contexts of the file that the settings name, else the environment, else of the usual one.
fn contexts(settings: &Settings) -> Vec<Offer> {
    let file = settings
        .text("kubeconfig")
        .filter(|path| !path.is_empty())
        .map(PathBuf::from)
        .or_else(|| env::split_paths(&env::var_os("KUBECONFIG")?).next())
        .or_else(|| Some(PathBuf::from(env::var_os("HOME")?).join(".kube/config")));
    let values = file.and_then(|file| file::read(&file).ok());
    let Some(Value::List(contexts)) = values.as_ref().and_then(|values| values.get("contexts"))
    else {
        return Vec::new();
    };
    contexts
        .iter()
        .filter_map(|context| match context {
            Value::Map(context) => context.get("name")?.text(),
            _ => None,
        })
        .filter(|name| is_harmless(name))
        .take(MAX_OFFERS)
        .map(|name| Offer::new(name, ""))
        .collect()
}

/// The places where servers usually are.
fn servers() -> Vec<Offer> {
    let sockets = [
        ("/run/palomar/observer.sock", "the agent on this machine"),
        (
            "/var/run/cilium/hubble.sock",
            "Cilium's agent on this machine",
        ),
    ];
    sockets
        .into_iter()
        .filter(|(path, _)| std::path::Path::new(path).exists())
        .map(|(path, about)| Offer::new(format!("unix://{path}"), about))
        .chain([
            Offer::new("localhost:4245", "a relay, here or behind a port-forward"),
            Offer::new("localhost:4244", "an agent that listens to the network"),
        ])
        .collect()
}

/// What a shell may put on the command line as it is: a server could say anything.
fn is_harmless(word: &str) -> bool {
    !word.is_empty()
        && word.chars().all(|c| {
            c.is_alphanumeric() || matches!(c, '-' | '_' | '.' | '/' | ':' | '@' | '[' | ']')
        })
}
