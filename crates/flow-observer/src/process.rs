//! Processes of this node, as far as flows tell of them.

/// Who is behind a socket.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Process {
    /// Its number (thread group), as seen on the node.
    pub pid: u32,
    /// Its name, at most 15 bytes.
    pub name: Box<str>,
    /// The inode number of its cgroup v2 directory.
    pub cgroup_id: u64,
}
