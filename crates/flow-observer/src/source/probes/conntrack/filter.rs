//! A socket filter in the kernel: connections that are not translated do not come to the agent.
//!
//! On most nodes nearly all connections are such. The kernel writes both tuples first, always in the
//! same order, so that a few comparisons at fixed places tell. Whatever looks different goes through:
//! the filter saves work, and decides nothing.

use nix::libc::{
    AF_INET, AF_INET6, BPF_ABS, BPF_B, BPF_H, BPF_JEQ, BPF_JMP, BPF_K, BPF_LD, BPF_MISC, BPF_RET,
    BPF_TAX, BPF_W, BPF_X, sock_filter,
};

use super::message::CTA_TUPLE_REPLY;

/// `struct nfgenmsg` begins with the address family.
const FAMILY_AT: u32 = 16;
/// The original tuple, behind both headers.
const ORIGINAL_AT: u32 = 20;
/// Bytes of an attribute's header.
const HEADER: u32 = 4;
/// A protocol's number or a port: an attribute with padding.
const NUMBER: u32 = 8;
/// The type of an attribute that holds others.
const NESTED: u16 = 0x8000;

/// What the filter answers: how much of the message may pass.
const ALL: u32 = u32::MAX;
const NOTHING: u32 = 0;

/// The filter, in the instructions of classic BPF.
pub(super) fn without_untranslated() -> Vec<sock_filter> {
    let v4 = same_tuples(4);
    let v6 = same_tuples(16);
    let mut program = vec![
        instruction(BPF_LD | BPF_B | BPF_ABS, FAMILY_AT),
        Step::IsOr(AF_INET as u32, Otherwise::Skip(v4.len())),
    ];
    program.extend(v4);
    program.push(Step::IsOr(AF_INET6 as u32, Otherwise::Pass));
    program.extend(v6);
    program.push(instruction(BPF_RET | BPF_K, ALL));

    let pass = program.len() - 1;
    let places = program.iter().enumerate();
    places.map(|(at, step)| step.assembled(pass - at)).collect()
}

/// Drops the message if the reply's tuple is the original one, the other way round.
fn same_tuples(address_bytes: u32) -> Vec<Step> {
    let address = HEADER + address_bytes;
    let addresses = HEADER + 2 * address;
    let tuple = HEADER + addresses + HEADER + 3 * NUMBER;
    let reply_at = ORIGINAL_AT + tuple;
    // Values within a tuple: the two addresses, and the two ports.
    let source = HEADER + HEADER + HEADER;
    let destination = source + address;
    let from = HEADER + addresses + HEADER + NUMBER + HEADER;
    let to = from + NUMBER;

    let [a, b] = (tuple as u16).to_ne_bytes();
    let [c, d] = (CTA_TUPLE_REPLY | NESTED).to_ne_bytes();
    // Only of this length, and in this place, is all the rest where it is expected.
    let mut steps = vec![
        instruction(BPF_LD | BPF_W | BPF_ABS, reply_at),
        Step::IsOr(u32::from_be_bytes([a, b, c, d]), Otherwise::Pass),
    ];
    for (original, reply) in [(source, destination), (destination, source)] {
        for word in (0..address_bytes).step_by(4) {
            let (original, reply) = (original + word, reply + word);
            steps.extend(same(BPF_W, ORIGINAL_AT + original, reply_at + reply));
        }
    }
    for (original, reply) in [(from, to), (to, from)] {
        steps.extend(same(BPF_H, ORIGINAL_AT + original, reply_at + reply));
    }
    steps.push(instruction(BPF_RET | BPF_K, NOTHING));
    steps
}

/// Goes on if there is the same in both places.
fn same(size: u32, one: u32, other: u32) -> [Step; 4] {
    [
        instruction(BPF_LD | size | BPF_ABS, one),
        instruction(BPF_MISC | BPF_TAX, 0),
        instruction(BPF_LD | size | BPF_ABS, other),
        Step::IsTheOtherOrPass,
    ]
}

fn instruction(code: u32, argument: u32) -> Step {
    Step::Instruction(code, argument)
}

/// An instruction whose jumps are not yet counted.
enum Step {
    Instruction(u32, u32),
    /// What was loaded is this.
    IsOr(u32, Otherwise),
    /// What was loaded is what was loaded before.
    IsTheOtherOrPass,
}

/// Where to go on if not.
enum Otherwise {
    /// Behind so many steps.
    Skip(usize),
    /// The message may pass.
    Pass,
}

impl Step {
    /// `pass` is so many steps further on.
    fn assembled(&self, pass: usize) -> sock_filter {
        let (code, k, skipped) = match *self {
            Self::Instruction(code, k) => (code, k, 0),
            Self::IsOr(k, Otherwise::Skip(steps)) => (BPF_JMP | BPF_JEQ | BPF_K, k, steps),
            Self::IsOr(k, Otherwise::Pass) => (BPF_JMP | BPF_JEQ | BPF_K, k, pass - 1),
            Self::IsTheOtherOrPass => (BPF_JMP | BPF_JEQ | BPF_X, 0, pass - 1),
        };
        sock_filter {
            code: code as u16,
            jt: 0,
            jf: skipped as u8,
            k,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::message::tests::{BY_IPVS, V4, V6, message, message_with, translated},
        *,
    };
    use crate::translation::{TCP, Translation};

    /// The kernel's machine, as far as the filter uses it.
    fn passes(message: &[u8]) -> bool {
        let program = without_untranslated();
        assert!(program.len() < 255, "jumps have a byte");
        let (mut at, mut a, mut x) = (0, 0, 0);
        loop {
            let step = &program[at];
            let number = |bytes: usize| {
                let from = step.k as usize;
                message[from..from + bytes]
                    .iter()
                    .fold(0u32, |sum, &byte| sum << 8 | u32::from(byte))
            };
            at += 1;
            match u32::from(step.code) {
                code if code == BPF_LD | BPF_B | BPF_ABS => a = number(1),
                code if code == BPF_LD | BPF_H | BPF_ABS => a = number(2),
                code if code == BPF_LD | BPF_W | BPF_ABS => a = number(4),
                code if code == BPF_MISC | BPF_TAX => x = a,
                code if code == BPF_JMP | BPF_JEQ | BPF_K => {
                    at += usize::from(if a == step.k { step.jt } else { step.jf });
                }
                code if code == BPF_JMP | BPF_JEQ | BPF_X => {
                    at += usize::from(if a == x { step.jt } else { step.jf });
                }
                code if code == BPF_RET | BPF_K => return step.k == ALL,
                code => panic!("unknown instruction {code:#x}"),
            }
        }
    }

    #[test]
    fn only_what_is_translated_passes() {
        for ends in [V4, V6] {
            let service = translated(TCP, ends);
            let direct = Translation {
                original: service.translated,
                ..service
            };
            assert!(!passes(&message(0, &direct)), "{direct:?}");
            assert!(passes(&message_with(BY_IPVS, 0, &service)));
            // Any one of the four may be another.
            let mut others = [direct; 4];
            others[0].original.source.ip = service.original.destination.ip;
            others[1].original.destination.ip = service.original.destination.ip;
            others[2].original.source.port += 1;
            others[3].original.destination.port += 1;
            for other in others {
                assert!(passes(&message(0, &other)), "{other:?}");
            }
        }
    }

    #[test]
    fn what_looks_different_passes() {
        let mut icmp = message(0, &translated(TCP, V4));
        // The reply's tuple is not where it would be with ports.
        icmp[72] = 60;
        assert!(passes(&icmp));
        let mut unknown_family = message(0, &translated(TCP, V4));
        unknown_family[16] = 7;
        assert!(passes(&unknown_family));
    }
}
