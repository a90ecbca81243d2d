//! What container runtimes write down about a container for themselves: its name, its image, and the
//! pod it is of. Where that cannot be read, the identifier has to do.

use std::{collections::HashMap, fs, path::Path};

use serde::{Deserialize, de::DeserializeOwned};

use crate::{bounded, cgroup::ContainerId};

/// A container's own file has some ten kilobytes.
const MAX_BYTES: u64 = 1 << 20;
/// Podman's list of all containers.
const MAX_LIST_BYTES: u64 = 8 << 20;
/// Namespaces of containerd: `default`, `k8s.io`, `moby`, and few more.
const MAX_NAMESPACES: usize = 32;
/// Longer names are none (RFC 1123 for names, and images are not much longer).
const MAX_NAME: usize = 255;

/// What is known of a container; empty where it is not told.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct Told {
    pub(super) name: String,
    pub(super) image: String,
    pub(super) namespace: String,
    pub(super) pod: String,
}

impl Told {
    fn is_nothing(&self) -> bool {
        *self == Self::default()
    }
}

/// Asks the files below `root`.
pub(super) fn of(root: &Path, container: &ContainerId) -> Told {
    // An identifier becomes part of a path.
    if !container.is_sum() {
        return Told::default();
    }
    let id = &*container.id;
    let sources: &[fn(&Path, &str) -> Option<Told>] = match container.runtime {
        "docker" => &[docker],
        "containerd" => &[containerd],
        "podman" => &[podman, storage],
        "cri-o" => &[storage],
        "" => &[containerd, storage],
        _ => &[],
    };
    sources
        .iter()
        .filter_map(|source| source(root, id))
        .map(|told| Told {
            name: plain(&told.name),
            image: plain(&told.image),
            namespace: plain(&told.namespace),
            pod: plain(&told.pod),
        })
        .find(|told| !told.is_nothing())
        .unwrap_or_default()
}

/// Whoever writes these files may write what they like: what is no name is left out.
fn plain(text: &str) -> String {
    let is_plain = text.len() <= MAX_NAME && text.chars().all(|letter| letter.is_ascii_graphic());
    if is_plain {
        text.to_owned()
    } else {
        String::new()
    }
}

fn read<T: DeserializeOwned>(path: &Path, max_bytes: u64) -> Option<T> {
    serde_json::from_str(&bounded::read_plain(path, max_bytes)?).ok()
}

/// `config.v2.json` of Docker.
fn docker(root: &Path, id: &str) -> Option<Told> {
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct File {
        #[serde(default)]
        name: String,
        #[serde(default)]
        config: Config,
    }
    #[derive(Default, Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Config {
        #[serde(default)]
        image: String,
    }
    let path = root
        .join("var/lib/docker/containers")
        .join(id)
        .join("config.v2.json");
    let file: File = read(&path, MAX_BYTES)?;
    Some(Told {
        // Written with a slash before it.
        name: file.name.trim_start_matches('/').to_owned(),
        image: file.config.image,
        ..Told::default()
    })
}

/// The runtime specification that containerd's shim starts a container from.
fn containerd(root: &Path, id: &str) -> Option<Told> {
    let tasks = root.join("run/containerd/io.containerd.runtime.v2.task");
    let namespaces = fs::read_dir(tasks).ok()?;
    namespaces
        .flatten()
        .take(MAX_NAMESPACES)
        .find_map(|namespace| specification(&namespace.path().join(id).join("config.json")))
}

/// The same of what keeps containers as Podman and CRI-O do.
fn storage(root: &Path, id: &str) -> Option<Told> {
    ["run", "var/lib"].iter().find_map(|place| {
        let containers = root
            .join(place)
            .join("containers/storage/overlay-containers");
        specification(&containers.join(id).join("userdata/config.json"))
    })
}

/// Annotations of an OCI runtime specification.
fn specification(path: &Path) -> Option<Told> {
    #[derive(Deserialize)]
    struct File {
        #[serde(default)]
        annotations: HashMap<String, String>,
    }
    let mut file: File = read(path, MAX_BYTES)?;
    let mut first = |keys: &[&str]| {
        keys.iter()
            .find_map(|&key| file.annotations.remove(key))
            .unwrap_or_default()
    };
    Some(Told {
        name: first(&[
            "io.kubernetes.cri.container-name",
            "io.kubernetes.container.name",
            "nerdctl/name",
        ]),
        image: first(&[
            "io.kubernetes.cri.image-name",
            "io.kubernetes.cri-o.ImageName",
        ]),
        namespace: first(&[
            "io.kubernetes.cri.sandbox-namespace",
            "io.kubernetes.pod.namespace",
        ]),
        pod: first(&["io.kubernetes.cri.sandbox-name", "io.kubernetes.pod.name"]),
    })
}

/// Podman's list of containers. The image is in a text that is JSON itself.
fn podman(root: &Path, id: &str) -> Option<Told> {
    #[derive(Deserialize)]
    struct Listed {
        id: String,
        #[serde(default)]
        names: Vec<String>,
        #[serde(default)]
        metadata: String,
    }
    #[derive(Default, Deserialize)]
    struct Metadata {
        #[serde(default, rename = "image-name")]
        image_name: String,
    }
    let path = root.join("var/lib/containers/storage/overlay-containers/containers.json");
    let listed: Vec<Listed> = read(&path, MAX_LIST_BYTES)?;
    let listed = listed.into_iter().find(|listed| listed.id == id)?;
    let metadata: Metadata = serde_json::from_str(&listed.metadata).unwrap_or_default();
    Some(Told {
        name: listed.names.into_iter().next().unwrap_or_default(),
        image: metadata.image_name,
        ..Told::default()
    })
}
