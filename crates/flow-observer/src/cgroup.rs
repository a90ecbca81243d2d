//! Whose a cgroup is, by its path alone: no service manager and no container runtime is asked.
//!
//! Who may make cgroups may give them any name; what does not look like a name is nobody's.

/// Identifiers of containers are SHA-256 sums.
const ID_DIGITS: usize = 64;
/// What people read of an identifier.
const SHORT_DIGITS: usize = 12;

/// Who runs in a cgroup. At least one of the two is there.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Owner {
    /// The unit of the service manager, as in `nginx.service`.
    pub unit: Option<Box<str>>,
    /// The container.
    pub container: Option<ContainerId>,
}

/// A container, as its cgroup tells.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ContainerId {
    /// What runs it, as in `docker`. Empty where the path does not tell.
    pub runtime: &'static str,
    /// Its identifier, or its name where it has no other.
    pub id: Box<str>,
}

impl ContainerId {
    /// What people call it who do not know its name.
    #[must_use]
    pub fn short(&self) -> &str {
        if is_id(&self.id) {
            self.id.get(..SHORT_DIGITS).unwrap_or(&self.id)
        } else {
            &self.id
        }
    }

    /// Whether it is a sum and no name.
    pub(crate) fn is_sum(&self) -> bool {
        is_id(&self.id)
    }
}

/// Names of scopes around an identifier: `docker-ID.scope`.
const SCOPES: [(&str, &str); 6] = [
    ("docker-", "docker"),
    ("cri-containerd-", "containerd"),
    ("nerdctl-", "containerd"),
    ("libpod-", "podman"),
    ("crio-", "cri-o"),
    ("buildkit-", "buildkit"),
];

/// Folders above an identifier, where no service manager gives out cgroups: `docker/ID`.
const FOLDERS: [(&str, &str); 4] = [
    ("docker", "docker"),
    ("libpod_parent", "podman"),
    ("buildkit", "buildkit"),
    ("default", "containerd"),
];

/// Kinds of units that have processes of their own.
const UNITS: [&str; 5] = [".service", ".scope", ".socket", ".mount", ".swap"];

impl Owner {
    /// The owner of a path from the root of the hierarchy. The innermost name counts. `None` for
    /// what belongs to nobody, as the root.
    #[must_use]
    pub fn of_path(path: &str) -> Option<Self> {
        let mut owner = Self::default();
        let mut in_pod = false;
        let mut above = "";
        for name in path.split('/') {
            in_pod |= name.starts_with("kubepods");
            if let Some(container) = container(above, name, in_pod) {
                // Of a container in another the outer one is this host's.
                owner.container.get_or_insert(container);
                break;
            }
            if is_unit(name) {
                // The service manager puts this before what the kernel or itself would misread.
                let name = name.strip_prefix('_').unwrap_or(name);
                owner.unit = Some(name.into());
            }
            above = name;
        }
        (owner != Self::default()).then_some(owner)
    }
}

/// The container that has a cgroup of this name in one of the name `above`.
fn container(above: &str, name: &str, in_pod: bool) -> Option<ContainerId> {
    let of = |runtime, id: &str| {
        Some(ContainerId {
            runtime,
            id: id.into(),
        })
    };
    if let Some(scope) = name.strip_suffix(".scope") {
        for (prefix, runtime) in SCOPES {
            if let Some(id) = scope.strip_prefix(prefix)
                && is_id(id)
            {
                return of(runtime, id);
            }
        }
        let machine = scope.strip_prefix("machine-").map(unescape);
        return machine
            .filter(|name| is_name(name))
            .and_then(|name| of("nspawn", &name));
    }
    // `lxc.payload.web`, or `lxc/web` of older versions.
    if let Some(name) = name.strip_prefix("lxc.payload.") {
        return is_name(name).then(|| of("lxc", name)).flatten();
    }
    if above == "lxc" && is_name(name) {
        return of("lxc", name);
    }
    // containerd with its own driver: `kubepods/burstable/podUID/ID`.
    let id = name
        .strip_prefix("crio-")
        .or_else(|| name.strip_prefix("libpod-"))
        .unwrap_or(name);
    if !is_id(id) {
        return None;
    }
    let known = FOLDERS.iter().find(|(folder, _)| *folder == above);
    match known {
        _ if name.starts_with("crio-") => of("cri-o", id),
        _ if name.starts_with("libpod-") => of("podman", id),
        Some((_, runtime)) => of(runtime, id),
        None if in_pod => of("", id),
        None => None,
    }
}

fn is_id(text: &str) -> bool {
    let is_digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    text.len() == ID_DIGITS && text.bytes().all(is_digit)
}

/// Letters of the names of units (`man systemd.unit`).
fn is_name(text: &str) -> bool {
    let is_letter = |byte: u8| byte.is_ascii_alphanumeric() || b":-_.\\@".contains(&byte);
    !text.is_empty() && text.bytes().all(is_letter)
}

fn is_unit(name: &str) -> bool {
    let has_kind = |kind: &&str| name.strip_suffix(*kind).is_some_and(|it| !it.is_empty());
    UNITS.iter().any(has_kind) && is_name(name)
}

/// What the service manager does to letters that it uses itself: `\x2d` is a hyphen.
fn unescape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("\\x") {
        let (before, escape) = rest.split_at(at);
        out.push_str(before);
        let letter = escape
            .get(2..4)
            .and_then(|digits| u8::from_str_radix(digits, 16).ok())
            .filter(u8::is_ascii);
        match letter {
            Some(letter) => {
                out.push(char::from(letter));
                rest = escape.get(4..).unwrap_or_default();
            }
            None => {
                out.push_str("\\x");
                rest = escape.get(2..).unwrap_or_default();
            }
        }
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ID: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

    /// `unit|runtime:short`
    fn told(path: &str) -> String {
        Owner::of_path(path).map_or_else(String::new, |owner| {
            let container = owner
                .container
                .as_ref()
                .map_or_else(String::new, |it| format!("{}:{}", it.runtime, it.short()));
            format!("{}|{container}", owner.unit.unwrap_or_default())
        })
    }

    #[test]
    fn a_path_tells_unit_and_container() {
        for (path, expected) in [
            ("/", ""),
            ("/user.slice", ""),
            ("/system.slice/nginx.service", "nginx.service|"),
            ("/system.slice/nginx.service/worker", "nginx.service|"),
            ("/../system.slice/nginx.service", "nginx.service|"),
            (
                "/system.slice/system-getty.slice/getty@tty1.service",
                "getty@tty1.service|",
            ),
            (
                "/user.slice/user-1000.slice/user@1000.service/app.slice/syncthing.service",
                "syncthing.service|",
            ),
            (
                "/user.slice/user-0.slice/session-3.scope",
                "session-3.scope|",
            ),
            ("/system.slice/_cpu.service", "cpu.service|"),
            ("/system.slice/docker-ID.scope", "|docker:0123456789ab"),
            ("/docker/ID", "|docker:0123456789ab"),
            ("/docker/ID/init.scope", "|docker:0123456789ab"),
            (
                "/docker/ID/system.slice/docker-ID.scope",
                "|docker:0123456789ab",
            ),
            (
                "/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod0a_1.slice/\
                 cri-containerd-ID.scope",
                "|containerd:0123456789ab",
            ),
            (
                "/kubepods.slice/kubepods-pod0a.slice/crio-ID.scope",
                "|cri-o:0123456789ab",
            ),
            ("/kubepods/burstable/pod0a-1/ID", "|:0123456789ab"),
            ("/default/ID", "|containerd:0123456789ab"),
            (
                "/machine.slice/libpod-ID.scope/container",
                "|podman:0123456789ab",
            ),
            (
                "/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-ID.scope",
                "user@1000.service|podman:0123456789ab",
            ),
            ("/lxc.payload.web", "|lxc:web"),
            ("/lxc/web", "|lxc:web"),
            (
                r"/machine.slice/machine-db\x2d1.scope/payload",
                "|nspawn:db-1",
            ),
            ("/system.slice/docker-0123.scope", "docker-0123.scope|"),
            ("/elsewhere/ID", ""),
            ("/system.slice/.service", ""),
            ("/system.slice/with space.service", ""),
        ] {
            assert_eq!(told(&path.replace("ID", ID)), expected, "{path}");
        }
    }

    proptest! {
        #[test]
        fn no_path_is_too_strange(path in "(/(machine-|lxc.payload.|docker-|\\\\x|[^/]){0,5}(.scope|.service)?){0,6}") {
            if let Some(owner) = Owner::of_path(&path) {
                prop_assert!(owner.unit.is_none_or(|unit| is_name(&unit)));
                prop_assert!(owner.container.is_none_or(|it| is_name(&it.id)));
            }
        }
    }
}
