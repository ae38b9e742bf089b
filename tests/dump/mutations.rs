//! Payloads with random damage: whatever they say, the server survives them.

use std::sync::LazyLock;

use proptest::prelude::*;
use proptest::sample::Index;

use crate::common::payloads::{self, Payload};
use crate::rdb::check;

static PAYLOADS: LazyLock<Vec<Payload>> = LazyLock::new(|| payloads::all().collect());

/// One thing that happens to a payload's bytes.
#[derive(Clone, Debug)]
enum Damage {
    Flip(Index, u8),
    Set(Index, u8),
    Remove(Index, usize),
    Repeat(Index, usize),
    Cut(Index),
}

impl Damage {
    fn any() -> impl Strategy<Value = Damage> {
        let at = any::<Index>;
        // What lengths, counts and ends are made of.
        let byte = prop_oneof![
            any::<u8>(),
            prop::sample::select(
                &[0u8, 1, 2, 0x3f, 0x40, 0x7f, 0x80, 0x81, 0xc3, 0xfd, 0xfe, 0xff][..]
            )
        ];
        prop_oneof![
            (at(), 0..8u8).prop_map(|(at, bit)| Damage::Flip(at, bit)),
            (at(), byte).prop_map(|(at, byte)| Damage::Set(at, byte)),
            (at(), 1..20usize).prop_map(|(at, len)| Damage::Remove(at, len)),
            (at(), 1..20usize).prop_map(|(at, len)| Damage::Repeat(at, len)),
            at().prop_map(Damage::Cut),
        ]
    }

    fn apply(&self, bytes: &mut Vec<u8>) {
        if bytes.is_empty() {
            return;
        }
        let len = bytes.len();
        let run = |at: &Index, run: usize| {
            let start = at.index(len);
            start..(start + run).min(len)
        };
        match self {
            Damage::Flip(at, bit) => bytes[at.index(len)] ^= 1 << bit,
            Damage::Set(at, byte) => bytes[at.index(len)] = *byte,
            Damage::Remove(at, length) => drop(bytes.drain(run(at, *length))),
            Damage::Repeat(at, length) => bytes.extend_from_within(run(at, *length)),
            Damage::Cut(at) => bytes.truncate(at.index(len)),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(20_000))]

    #[test]
    fn damaged_payloads_are_loaded_or_refused(
        which in any::<Index>(), mode in 0..2u8, damage in prop::collection::vec(Damage::any(), 0..4),
    ) {
        let mut data = vec![mode];
        data.extend(&PAYLOADS[which.index(PAYLOADS.len())].value);
        damage.iter().for_each(|damage| damage.apply(&mut data));
        check(&data);
    }
}
