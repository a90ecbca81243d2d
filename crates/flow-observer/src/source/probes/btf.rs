//! The running kernel's own type information: where a field lies, what an enumerator is called.
//!
//! Reads the BTF that the kernel shows under `/sys/kernel/btf/vmlinux`
//! (Documentation/bpf/btf.rst): a header, a table of types, and a table of strings.

use std::{collections::HashMap, fs, io, path::Path};

/// Magic number of a BTF blob in this machine's byte order.
const MAGIC: u16 = 0xeb9f;
/// Types are numbered from 1; 0 is `void`.
const FIRST_TYPE_ID: u32 = 1;
/// Anonymous members nest a few levels at most; a blob that claims more is broken.
const MAX_NESTING: u32 = 16;

const KIND_PTR: u32 = 2;
const KIND_STRUCT: u32 = 4;
const KIND_UNION: u32 = 5;
const KIND_ENUM: u32 = 6;
const KIND_TYPEDEF: u32 = 8;
const KIND_VOLATILE: u32 = 9;
const KIND_CONST: u32 = 10;
const KIND_RESTRICT: u32 = 11;
const KIND_FUNC_PROTO: u32 = 13;
const KIND_TYPE_TAG: u32 = 18;

/// Why the kernel's types could not be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BtfError {
    /// No such file: a kernel built without `CONFIG_DEBUG_INFO_BTF`.
    #[error(
        "cannot read {path}: the kernel needs to be built with CONFIG_DEBUG_INFO_BTF for the probes to find their way"
    )]
    Read {
        /// The file.
        path: String,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// Not BTF, or a version that this build does not know.
    #[error("the kernel's BTF is malformed: {what}")]
    Malformed {
        /// The part that does not add up.
        what: &'static str,
    },
    /// The kernel has no such type or field; usually a kernel too old for what was asked.
    #[error("the running kernel has no {what}")]
    NotFound {
        /// The type or field.
        what: String,
    },
}

/// The kernel's types.
pub(super) struct KernelTypes {
    blob: Vec<u8>,
    strings: usize,
    /// Byte offset of each type's entry, by type number minus one.
    entries: Vec<usize>,
    structs: HashMap<String, u32>,
    typedefs: HashMap<String, u32>,
    enums: HashMap<String, u32>,
}

impl KernelTypes {
    /// Reads the types of the running kernel.
    pub(super) fn of_running_kernel() -> Result<Self, BtfError> {
        let path = Path::new("/sys/kernel/btf/vmlinux");
        let blob = fs::read(path).map_err(|source| BtfError::Read {
            path: path.display().to_string(),
            source,
        })?;
        Self::parse(blob)
    }

    /// Reads a BTF blob.
    pub(super) fn parse(blob: Vec<u8>) -> Result<Self, BtfError> {
        let malformed = |what| BtfError::Malformed { what };
        let header = u32_at(&blob, 0).ok_or(malformed("no header"))?;
        if header as u16 != MAGIC {
            return Err(malformed("wrong magic number"));
        }
        let field = |index: usize| u32_at(&blob, 4 + index * 4).map(|value| value as usize);
        let (Some(header_len), Some(types), Some(types_len), Some(strings), Some(strings_len)) =
            (field(0), field(1), field(2), field(3), field(4))
        else {
            return Err(malformed("short header"));
        };
        let types_start = header_len.saturating_add(types);
        let types_end = types_start.saturating_add(types_len);
        let strings = header_len.saturating_add(strings);
        if types_end > blob.len() || strings.saturating_add(strings_len) > blob.len() {
            return Err(malformed("sections reach past the end"));
        }

        let mut found = Self {
            blob,
            strings,
            entries: Vec::new(),
            structs: HashMap::new(),
            typedefs: HashMap::new(),
            enums: HashMap::new(),
        };
        let mut at = types_start;
        while at < types_end {
            let id = found.entries.len() as u32 + FIRST_TYPE_ID;
            found.entries.push(at);
            let entry = found.entry(id).ok_or(malformed("cut type"))?;
            let extra = entry
                .trailer_len()
                .ok_or(malformed("unknown kind of type"))?;
            if let Some(name) = found.string(entry.name).filter(|name| !name.is_empty()) {
                let name = name.to_owned();
                match entry.kind {
                    KIND_STRUCT => drop(found.structs.entry(name).or_insert(id)),
                    KIND_TYPEDEF => drop(found.typedefs.entry(name).or_insert(id)),
                    KIND_ENUM => drop(found.enums.entry(name).or_insert(id)),
                    _ => {}
                }
            }
            at += 12 + extra;
        }
        Ok(found)
    }

    /// Byte offset of a field, as in `("sk_buff", "dev")` or `("net", "ns.inum")`. Members of
    /// anonymous structs and unions count as the outer one's.
    pub(super) fn field_offset(&self, structure: &str, path: &str) -> Result<u32, BtfError> {
        let not_found = || BtfError::NotFound {
            what: format!("{structure}.{path}"),
        };
        let mut id = *self.structs.get(structure).ok_or_else(not_found)?;
        let mut offset_bits = 0;
        for name in path.split('.') {
            let (member_bits, member_type) = self.member(id, name, 0).ok_or_else(not_found)?;
            offset_bits += member_bits;
            id = self.resolve(member_type).ok_or_else(not_found)?;
        }
        Ok(offset_bits / 8)
    }

    /// Number and name of each enumerator.
    pub(super) fn enumerators(&self, name: &str) -> Result<Vec<(u32, &str)>, BtfError> {
        let not_found = || BtfError::NotFound {
            what: format!("enum {name}"),
        };
        let id = *self.enums.get(name).ok_or_else(not_found)?;
        let entry = self.entry(id).ok_or_else(not_found)?;
        (0..entry.members)
            .map(|index| {
                let at = entry.at + 12 + index * 8;
                Some((
                    u32_at(&self.blob, at + 4)?,
                    self.string(u32_at(&self.blob, at)?)?,
                ))
            })
            .collect::<Option<_>>()
            .ok_or_else(not_found)
    }

    /// Number of arguments of a tracepoint, as its `btf_trace_NAME` prototype tells.
    pub(super) fn tracepoint_arguments(&self, tracepoint: &str) -> Result<usize, BtfError> {
        let name = format!("btf_trace_{tracepoint}");
        let not_found = || BtfError::NotFound {
            what: format!("tracepoint {tracepoint}"),
        };
        let id = *self.typedefs.get(&name).ok_or_else(not_found)?;
        let pointer = self
            .resolve(id)
            .and_then(|id| self.entry(id))
            .ok_or_else(not_found)?;
        let prototype = self
            .resolve(pointer.type_or_size)
            .and_then(|id| self.entry(id))
            .filter(|prototype| pointer.kind == KIND_PTR && prototype.kind == KIND_FUNC_PROTO)
            .ok_or_else(not_found)?;
        // The first parameter is the tracepoint's private data, which programs do not get.
        prototype.members.checked_sub(1).ok_or_else(not_found)
    }

    fn member(&self, structure: u32, name: &str, depth: u32) -> Option<(u32, u32)> {
        let entry = self.entry(structure)?;
        if depth > MAX_NESTING || !matches!(entry.kind, KIND_STRUCT | KIND_UNION) {
            return None;
        }
        for index in 0..entry.members {
            let at = entry.at + 12 + index * 12;
            let member_name = self.string(u32_at(&self.blob, at)?)?;
            let member_type = u32_at(&self.blob, at + 4)?;
            let offset = u32_at(&self.blob, at + 8)?;
            // With the flag set, the upper 8 bits hold the size of a bit field.
            let offset = if entry.flag {
                offset & 0x00ff_ffff
            } else {
                offset
            };
            if member_name == name {
                return Some((offset, member_type));
            }
            if member_name.is_empty()
                && let Some(inner) = self.resolve(member_type)
                && let Some((bits, found)) = self.member(inner, name, depth + 1)
            {
                return Some((offset + bits, found));
            }
        }
        None
    }

    /// Follows typedefs and qualifiers.
    fn resolve(&self, mut id: u32) -> Option<u32> {
        for _ in 0..MAX_NESTING {
            let entry = self.entry(id)?;
            match entry.kind {
                KIND_TYPEDEF | KIND_VOLATILE | KIND_CONST | KIND_RESTRICT | KIND_TYPE_TAG => {
                    id = entry.type_or_size;
                }
                _ => return Some(id),
            }
        }
        None
    }

    fn entry(&self, id: u32) -> Option<Entry> {
        let at = *self.entries.get(id.checked_sub(FIRST_TYPE_ID)? as usize)?;
        let info = u32_at(&self.blob, at + 4)?;
        Some(Entry {
            at,
            name: u32_at(&self.blob, at)?,
            kind: (info >> 24) & 0x1f,
            members: (info & 0xffff) as usize,
            flag: info >> 31 == 1,
            type_or_size: u32_at(&self.blob, at + 8)?,
        })
    }

    fn string(&self, offset: u32) -> Option<&str> {
        let bytes = self
            .blob
            .get(self.strings.checked_add(offset as usize)?..)?;
        let end = bytes.iter().position(|&byte| byte == 0)?;
        std::str::from_utf8(&bytes[..end]).ok()
    }
}

/// The fixed part of a type: `struct btf_type`, 12 bytes.
#[derive(Clone, Copy)]
struct Entry {
    at: usize,
    name: u32,
    kind: u32,
    members: usize,
    flag: bool,
    type_or_size: u32,
}

impl Entry {
    /// Bytes that follow the fixed part.
    fn trailer_len(&self) -> Option<usize> {
        Some(match self.kind {
            // Pointer, forward, typedef, qualifiers, function, float, type tag.
            2 | 7..=12 | 16 | 18 => 0,
            // Integer, variable, declaration tag.
            1 | 14 | 17 => 4,
            // Array.
            3 => 12,
            // Enumeration, function prototype.
            6 | 13 => self.members * 8,
            // Structure, union, data section, 64 bit enumeration.
            4 | 5 | 15 | 19 => self.members * 12,
            _ => return None,
        })
    }
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    let four = bytes.get(at..at.checked_add(4)?)?;
    Some(u32::from_ne_bytes([four[0], four[1], four[2], four[3]]))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Writes a BTF blob, type by type.
    struct Blob {
        types: Vec<u8>,
        strings: Vec<u8>,
    }

    impl Blob {
        fn new() -> Self {
            Self {
                types: Vec::new(),
                strings: vec![0],
            }
        }

        fn name(&mut self, name: &str) -> u32 {
            if name.is_empty() {
                return 0;
            }
            let at = self.strings.len() as u32;
            self.strings.extend(name.bytes().chain([0]));
            at
        }

        /// A type; `trailer` is what follows its fixed part.
        fn add(&mut self, name: &str, kind: u32, members: u32, value: u32, trailer: &[u32]) {
            let name = self.name(name);
            for word in [name, kind << 24 | members, value].iter().chain(trailer) {
                self.types.extend(word.to_ne_bytes());
            }
        }

        fn bytes(&self) -> Vec<u8> {
            let mut blob = MAGIC.to_ne_bytes().to_vec();
            blob.extend([1, 0]);
            let types_len = self.types.len() as u32;
            for word in [24, 0, types_len, types_len, self.strings.len() as u32] {
                blob.extend(word.to_ne_bytes());
            }
            blob.extend(&self.types);
            blob.extend(&self.strings);
            blob
        }
    }

    /// `struct sk_buff { long next; union { long dev; }; struct { struct net_ptr net; } ns; }` and
    /// what else the probes look up.
    fn kernel() -> KernelTypes {
        let mut blob = Blob::new();
        blob.add("long", 1, 0, 8, &[64]); // 1
        let dev = blob.name("dev");
        blob.add("", KIND_UNION, 1, 8, &[dev, 1, 0]); // 2
        let net = blob.name("net");
        blob.add("inner", KIND_STRUCT, 1, 8, &[net, 1, 32]); // 3
        blob.add("inner_t", KIND_TYPEDEF, 0, 3, &[]); // 4
        let (next, ns) = (blob.name("next"), blob.name("ns"));
        blob.add(
            "sk_buff",
            KIND_STRUCT,
            3,
            24,
            &[next, 1, 0, 0, 2, 64, ns, 4, 128],
        ); // 5
        let (used, dropped) = (blob.name("CONSUMED"), blob.name("NO_SOCKET"));
        blob.add("skb_drop_reason", KIND_ENUM, 2, 4, &[used, 1, dropped, 3]); // 6
        blob.add("", KIND_FUNC_PROTO, 4, 0, &[0, 1, 0, 1, 0, 1, 0, 1]); // 7
        blob.add("", KIND_PTR, 0, 7, &[]); // 8
        blob.add("btf_trace_kfree_skb", KIND_TYPEDEF, 0, 8, &[]); // 9
        KernelTypes::parse(blob.bytes()).unwrap()
    }

    #[test]
    fn a_field_is_found_in_anonymous_and_named_members() {
        let types = kernel();
        assert_eq!(types.field_offset("sk_buff", "next").unwrap(), 0);
        assert_eq!(types.field_offset("sk_buff", "dev").unwrap(), 8);
        assert_eq!(types.field_offset("sk_buff", "ns.net").unwrap(), 20);
    }

    #[test]
    fn enumerators_and_arguments_are_listed() {
        let types = kernel();
        let reasons = types.enumerators("skb_drop_reason").unwrap();
        assert_eq!(reasons, [(1, "CONSUMED"), (3, "NO_SOCKET")]);
        assert_eq!(types.tracepoint_arguments("kfree_skb").unwrap(), 3);
    }

    #[test]
    fn what_the_kernel_does_not_have_is_named() {
        let error = kernel()
            .field_offset("sk_buff", "no_such_field")
            .unwrap_err();
        assert_eq!(
            error.to_string(),
            "the running kernel has no sk_buff.no_such_field"
        );
    }

    proptest::proptest! {
        #[test]
        fn no_blob_makes_the_reader_panic(mut blob: Vec<u8>) {
            if blob.len() > 2 {
                blob[..2].copy_from_slice(&MAGIC.to_ne_bytes());
            }
            if let Ok(types) = KernelTypes::parse(blob) {
                drop(types.field_offset("sk_buff", "dev"));
            }
        }
    }
}
