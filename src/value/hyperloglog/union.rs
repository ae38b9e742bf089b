//! The union of several HyperLogLogs.

#[cfg(target_arch = "x86_64")]
use super::vector::{Avx2, Avx512};
use super::{Dense, Registers, dense};

/// The highest of each of their registers.
pub enum Union {
    /// At least one of them is dense: packed as in a dense HyperLogLog.
    Dense(Box<[u8; dense::LEN]>),
    Sparse(Box<Registers>),
}

impl Union {
    /// The union of the registers of all sparse ones, if there are any, and of dense ones.
    pub fn of(sparse: Option<Box<Registers>>, dense: &[&Dense]) -> Union {
        match (sparse, dense) {
            (sparse, []) => Union::Sparse(sparse.unwrap_or_else(Registers::new)),
            (None, [one]) => Union::Dense(Box::new(*packed(one))),
            (None, many) => Union::Dense(merge(many)),
            (Some(mut registers), dense) => {
                match dense {
                    [one] => registers.merge_dense(packed(one)),
                    many => registers.merge_dense(&merge(many)),
                }
                let mut packed = Box::new([0; _]);
                registers.pack(&mut packed);
                Union::Dense(packed)
            }
        }
    }

    /// The estimated count.
    pub fn count(&self) -> u64 {
        match self {
            Union::Dense(packed) => {
                let mut registers = Registers::new();
                registers.merge_dense(packed);
                registers.count()
            }
            Union::Sparse(registers) => registers.count(),
        }
    }
}

/// The registers of several.
fn merge(many: &[&Dense]) -> Box<[u8; dense::LEN]> {
    let mut merged = Box::new([0; _]);
    // With AVX-512, registers are unpacked in fewer steps than packed ones are merged.
    #[cfg(target_arch = "x86_64")]
    if Avx512::detect().is_none()
        && let Some(avx2) = Avx2::detect()
    {
        avx2.merge_packed(many, &mut merged);
        return merged;
    }
    let mut registers = Registers::new();
    many.iter().for_each(|one| registers.merge_dense(packed(one)));
    registers.pack(&mut merged);
    merged
}

fn packed(dense: &Dense) -> &[u8; dense::LEN] {
    dense.last_chunk().expect("the registers follow the header")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::{HEADER, REGISTERS};
    use super::*;

    proptest! {
        #[test]
        fn dense_registers_merge_alike_in_every_way(
            seeds in prop::collection::vec(any::<[u8; 31]>(), 1..8)
        ) {
            let all: Vec<Box<Dense>> = seeds.iter().map(|seed| {
                Box::new(std::array::from_fn(|at| seed[at % seed.len()]))
            }).collect();
            let all: Vec<&Dense> = all.iter().map(Box::as_ref).collect();
            let highest = |register| {
                let values = all.iter().map(|one| dense::get(&one[HEADER..], register));
                values.max().unwrap()
            };
            let Union::Dense(packed) = Union::of(None, &all) else { panic!("all are dense") };
            for register in 0..REGISTERS {
                prop_assert_eq!(dense::get(&*packed, register), highest(register));
            }
            let mut sparse = Registers::new();
            sparse.merge(b"HYLL\x01\0\0\0\0\0\0\0\0\0\0\x80\x04\xfc\x7f\xf9").unwrap();
            let Union::Dense(with_sparse) = Union::of(Some(sparse), &all) else {
                panic!("most are dense")
            };
            for register in 0..REGISTERS {
                let least = if register == 5 { 32 } else { 0 };
                prop_assert_eq!(dense::get(&*with_sparse, register), highest(register).max(least));
            }
            #[cfg(target_arch = "x86_64")]
            if let Some(avx2) = Avx2::detect() {
                let mut again = [0; dense::LEN];
                avx2.merge_packed(&all, &mut again);
                prop_assert!(again == *packed);
            }
        }
    }
}
