//! How a classifier is declared.

/// Makes a function with a `TcContext` a program.
///
/// The macro of aya-ebpf shows the context's type in the program's signature, and with it `__sk_buff`
/// comes into the BTF, whose pointers to types that are nowhere defined the linker writes in the
/// order of their addresses: another one each time. Programs that do not tell the type are built the
/// same each time.
macro_rules! classifier {
    ($(#[$attribute:meta])* fn $name:ident($context:ident) -> i32 $body:block) => {
        $(#[$attribute])*
        #[unsafe(no_mangle)]
        #[unsafe(link_section = "classifier")]
        extern "C" fn $name(context: *mut u8) -> i32 {
            let $context = TcContext::new(context.cast());
            $body
        }
    };
}
