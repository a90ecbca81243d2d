//! Which kernel function an address lies in.

use std::{fs, sync::Arc};

/// The kernel's functions by address, read from `/proc/kallsyms`.
///
/// Without the privilege to see addresses the file shows zeros, and nothing is found.
pub(super) struct KernelSymbols {
    /// Sorted by address; the name's place in `names`.
    functions: Vec<(u64, u32, u32)>,
    names: String,
}

impl KernelSymbols {
    /// Reads the running kernel's symbols.
    pub(super) fn of_running_kernel() -> Self {
        Self::parse(&fs::read_to_string("/proc/kallsyms").unwrap_or_default())
    }

    /// Reads lines of `address type name [module]`.
    fn parse(text: &str) -> Self {
        let mut functions = Vec::new();
        let mut names = String::new();
        for line in text.lines() {
            let mut words = line.split_ascii_whitespace();
            let (Some(address), Some(kind), Some(name)) =
                (words.next(), words.next(), words.next())
            else {
                continue;
            };
            let Ok(address) = u64::from_str_radix(address, 16) else {
                continue;
            };
            if address != 0 && matches!(kind, "t" | "T" | "w" | "W") {
                functions.push((address, names.len() as u32, name.len() as u32));
                names.push_str(name);
            }
        }
        functions.sort_unstable();
        names.shrink_to_fit();
        Self { functions, names }
    }

    /// The function that holds this address.
    pub(super) fn function_at(&self, address: u64) -> Option<Arc<str>> {
        let after = self
            .functions
            .partition_point(|&(start, ..)| start <= address);
        let &(_, at, len) = self.functions.get(after.checked_sub(1)?)?;
        self.names
            .get(at as usize..(at + len) as usize)
            .map(Arc::from)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str =
        "ffff0000 T first\nffff0100 t second\nffff0080 d data\nffff0200 T third [m]\n";

    #[test]
    fn an_address_belongs_to_the_function_that_starts_before_it() {
        let symbols = KernelSymbols::parse(TEXT);
        assert_eq!(symbols.function_at(0xffff_00ff).as_deref(), Some("first"));
        assert_eq!(symbols.function_at(0xffff_0100).as_deref(), Some("second"));
        assert_eq!(symbols.function_at(0xffff_0fff).as_deref(), Some("third"));
    }

    #[test]
    fn hidden_addresses_and_addresses_before_the_first_find_nothing() {
        assert_eq!(KernelSymbols::parse(TEXT).function_at(0x10), None);
        assert_eq!(
            KernelSymbols::parse("0000 T hidden\n").function_at(0x10),
            None
        );
        assert_eq!(KernelSymbols::parse("garbage").function_at(u64::MAX), None);
    }
}
