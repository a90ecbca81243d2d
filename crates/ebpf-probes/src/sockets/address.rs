//! The address that a call carries.

use aya_ebpf::programs::SockAddrContext;

/// An address and port, as the call has them.
#[repr(C)]
#[derive(Clone, Copy, Eq, PartialEq)]
pub(crate) struct Address {
    /// Network order; IPv4 in the first word, the others zero.
    words: [u32; 4],
    /// Network order, in the lower half.
    port: u32,
    /// 4 or 6.
    family: u32,
}

impl Address {
    pub(crate) fn bytes(&self) -> [u8; 16] {
        // Loaded as words: the bytes in memory are in network order, whatever this machine's is.
        let [a, b, c, d] = self.words.map(u32::to_ne_bytes);
        [
            a[0], a[1], a[2], a[3], b[0], b[1], b[2], b[3], c[0], c[1], c[2], c[3], d[0], d[1],
            d[2], d[3],
        ]
    }

    pub(crate) fn port(&self) -> u16 {
        u16::from_be(self.port as u16)
    }

    pub(crate) fn family(&self) -> u8 {
        self.family as u8
    }
}

/// In the hooks of IPv4. The kernel refuses programs that read one family's address in the hooks
/// of the other, so these are two functions.
#[inline(always)]
pub(crate) fn v4(ctx: &SockAddrContext) -> Address {
    let call = ctx.sock_addr;
    // SAFETY: the context is valid; volatile, since the kernel allows only loads as wide as the
    // field and the compiler would merge them.
    let (ip, port) = unsafe {
        (
            core::ptr::read_volatile(&raw const (*call).user_ip4),
            core::ptr::read_volatile(&raw const (*call).user_port),
        )
    };
    Address {
        words: [ip, 0, 0, 0],
        port,
        family: 4,
    }
}

/// In the hooks of IPv6.
#[inline(always)]
pub(crate) fn v6(ctx: &SockAddrContext) -> Address {
    let call = ctx.sock_addr;
    // SAFETY: as above.
    unsafe {
        let ip = &raw const (*call).user_ip6;
        let word = |index: usize| core::ptr::read_volatile(&raw const (*ip)[index]);
        Address {
            words: [word(0), word(1), word(2), word(3)],
            port: core::ptr::read_volatile(&raw const (*call).user_port),
            family: 6,
        }
    }
}
