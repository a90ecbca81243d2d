//! Processes of this node, as far as flows tell of them.

use std::sync::Arc;

use probe_events::ProcessInfo;

use crate::cgroup::Owner;

/// Who is behind a socket, as it was when it bound or connected that socket.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Process {
    /// Its number (thread group), as seen on the node.
    pub pid: u32,
    /// Its name, at most 15 bytes.
    pub name: Box<str>,
    /// The inode number of its cgroup v2 directory.
    pub cgroup_id: u64,
    /// Whose that cgroup is; `None` when nobody's, or not known.
    pub owner: Option<Arc<Owner>>,
}

impl From<&ProcessInfo> for Process {
    fn from(info: &ProcessInfo) -> Self {
        let end = info.comm.iter().position(|&byte| byte == 0);
        let name = &info.comm[..end.unwrap_or(info.comm.len())];
        Self {
            pid: info.pid,
            // Any bytes can be a name.
            name: String::from_utf8_lossy(name).into(),
            cgroup_id: info.cgroup_id,
            owner: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_ends_at_the_first_zero_or_at_the_end() {
        let mut info = ProcessInfo {
            comm: *b"sixteen letters!",
            ..ProcessInfo::default()
        };
        assert_eq!(&*Process::from(&info).name, "sixteen letters!");
        info.comm[4] = 0;
        assert_eq!(&*Process::from(&info).name, "sixt");
    }
}
