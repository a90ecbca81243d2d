//! Which kernel function an address lies in.

use std::{
    fs::File,
    io::{self, BufRead, BufReader},
    sync::Arc,
};

use super::memory;

/// What the names of the gaps before functions begin with, which some kernels list beside them.
/// There is nothing to run in a gap, and the names are as many as those of functions.
const GAP: &str = "__pfx_";

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
        let symbols = File::open("/proc/kallsyms")
            .and_then(|file| Self::read(BufReader::new(file)))
            // A file that cannot be read names nothing.
            .unwrap_or_else(|_| Self {
                functions: Vec::new(),
                names: String::new(),
            });
        memory::give_back();
        symbols
    }

    /// Reads lines of `address type name [module]`, one at a time: the file is several megabytes.
    fn read(mut lines: impl BufRead) -> io::Result<Self> {
        let mut functions = Vec::new();
        let mut names = String::new();
        let mut line = String::new();
        while lines.read_line(&mut line)? > 0 {
            if let Some((address, name)) = function(&line) {
                functions.push((address, names.len() as u32, name.len() as u32));
                names.push_str(name);
            }
            line.clear();
        }
        functions.sort_unstable();
        functions.shrink_to_fit();
        names.shrink_to_fit();
        Ok(Self { functions, names })
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

/// Address and name, if the line is about a function whose address is shown.
fn function(line: &str) -> Option<(u64, &str)> {
    let mut words = line.split_ascii_whitespace();
    let (address, kind, name) = (words.next()?, words.next()?, words.next()?);
    let address = u64::from_str_radix(address, 16).ok()?;
    let is_function = matches!(kind, "t" | "T" | "w" | "W") && !name.starts_with(GAP);
    (address != 0 && is_function).then_some((address, name))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "ffff0000 T first\nffff00f0 t __pfx_second\nffff0100 t second\nffff0080 d data\n\
         ffff0200 T third [m]\n";

    fn symbols(text: &str) -> KernelSymbols {
        KernelSymbols::read(text.as_bytes()).unwrap()
    }

    #[test]
    fn an_address_belongs_to_the_function_that_starts_before_it() {
        let symbols = symbols(TEXT);
        assert_eq!(symbols.function_at(0xffff_00ff).as_deref(), Some("first"));
        assert_eq!(symbols.function_at(0xffff_0100).as_deref(), Some("second"));
        assert_eq!(symbols.function_at(0xffff_0fff).as_deref(), Some("third"));
    }

    #[test]
    fn hidden_addresses_and_addresses_before_the_first_find_nothing() {
        assert_eq!(symbols(TEXT).function_at(0x10), None);
        assert_eq!(symbols("0000 T hidden\n").function_at(0x10), None);
        assert_eq!(symbols("garbage").function_at(u64::MAX), None);
    }
}
