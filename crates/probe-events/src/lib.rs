//! The event records that kernel and user space share.
