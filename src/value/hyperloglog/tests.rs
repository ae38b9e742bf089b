use std::iter::repeat_n;

use proptest::prelude::*;

use super::*;

/// Adds elements as PFADD does.
fn add(bytes: &[u8], elements: impl IntoIterator<Item = String>, limit: u64) -> Vec<u8> {
    let mut bytes = Cow::Borrowed(bytes);
    for element in elements {
        let claim = Claim::of(element.as_bytes());
        raise(&mut bytes, claim, &mut Cursor::start(), limit).unwrap();
    }
    bytes.into_owned()
}

fn elements(from: u32, to: u32) -> impl Iterator<Item = String> {
    (from..to).map(|i| i.to_string())
}

fn registers(bytes: &[u8]) -> Vec<u8> {
    let mut registers = Registers::new();
    registers.merge(bytes).unwrap();
    (0..REGISTERS).map(|index| registers.get(index)).collect()
}

/// The bytes of Valkey 9.1.2 after `PFADD key a b c d`.
#[test]
fn a_small_hyperloglog_is_sparse_as_in_valkey() {
    let bytes = add(EMPTY, ["a", "b", "c", "d"].map(String::from), 3000);
    let runs = b"\\{\x80Dv\x80P\xb1\x84K\xfb\x80BZ";
    assert_eq!(bytes, [&EMPTY[..HEADER], runs].concat());
    assert_eq!(count(&bytes), Ok(4));
    let bytes = add(EMPTY, ["a", "b", "c"].map(String::from), 3000);
    assert_eq!(super::runs(&bytes), "Z:8436 v:1,1 Z:4274 v:2,1 Z:3068 v:1,1 Z:603");
}

#[test]
fn a_sparse_hyperloglog_becomes_dense_at_the_limit() {
    let mut bytes = EMPTY.to_vec();
    for element in elements(0, 5000) {
        let before = bytes.clone();
        bytes = add(&bytes, [element], 3000);
        if bytes[ENCODING] == 0 {
            assert!((2990..=3000).contains(&before.len()), "{}", before.len());
            assert_eq!(bytes.len(), HEADER + dense::LEN);
            return;
        }
        assert!(bytes.len() <= 3000);
    }
    panic!("it stays sparse");
}

#[test]
fn counts_are_cached_until_they_are_stale() {
    let mut bytes = EMPTY.to_vec();
    assert_eq!(cached_count(&bytes), None);
    cache_count(&mut bytes, 70_000);
    assert_eq!(cached_count(&bytes), Some(70_000));
    mark_stale(&mut bytes);
    assert_eq!(cached_count(&bytes), None);
    cache_count(&mut bytes, 1 << 63);
    assert_eq!(cached_count(&bytes), None);
}

#[test]
fn the_form_is_checked() {
    let dense = to_dense(EMPTY).unwrap();
    assert_eq!(encoding(EMPTY), Some(Encoding::Sparse));
    assert_eq!(encoding(&EMPTY[..16]), Some(Encoding::Sparse));
    assert_eq!(encoding(&dense), Some(Encoding::Dense));
    for bad in
        [&EMPTY[..15], &dense[..dense.len() - 1], b"hyll\x01\0\0\0\0\0\0\0\0\0\0\x80\x7f\xff", b""]
    {
        assert_eq!(encoding(bad), None);
    }
    assert_eq!(encoding(&[&dense[..], b"\0"].concat()), None);
    assert_eq!(encoding(b"HYLL\x02\0\0\0\0\0\0\0\0\0\0\x80\x7f\xff"), None);
}

#[test]
fn registers_that_are_too_few_or_too_many_are_corrupt() {
    let of = |runs: &[u8]| [&EMPTY[..HEADER], runs].concat();
    for runs in [&b""[..], b"\x7f", b"\x7f\xfe", b"\x7f\xff\x00", b"\x7f\xff\x80", &[0xff; 10]] {
        let bytes = of(runs);
        assert_eq!(count(&bytes), Err(Corrupt), "{runs:?}");
        assert_eq!(to_dense(&bytes), Err(Corrupt), "{runs:?}");
        assert_eq!(Registers::new().merge(&bytes), Err(Corrupt), "{runs:?}");
    }
    assert_eq!(count(&of(&[0x3f; 256])), Ok(0));
    assert_eq!(count(&of(&[0xff; 4096])), Ok(50_760_319_129_350));
}

/// The number is Valkey's: the result of converting infinity on its processor.
#[test]
fn registers_that_no_element_can_have_raised_are_counted_as_in_valkey() {
    let bytes = [&to_dense(EMPTY).unwrap()[..HEADER], &[0xff; dense::LEN]].concat();
    assert_eq!(count(&bytes), Ok(1 << 63));
}

#[test]
fn a_merge_in_order_of_registers_equals_single_claims() {
    for (count, other) in [(3, 5), (100, 80), (900, 10), (10, 900), (1200, 1200)] {
        let (a, b) =
            (add(EMPTY, elements(0, count), 3000), add(EMPTY, elements(count / 2, other), 3000));
        let mut merged = Registers::new();
        merged.merge(&a).unwrap();
        merged.merge(&b).unwrap();
        let mut slowly = Cow::Borrowed(&a[..]);
        let mut quickly = Cow::Borrowed(&a[..]);
        let mut cursor = Cursor::start();
        for claim in merged.claims() {
            raise(&mut slowly, claim, &mut Cursor::start(), 3000).unwrap();
            raise(&mut quickly, claim, &mut cursor, 3000).unwrap();
        }
        assert!(slowly == quickly);
        assert_eq!(registers(&slowly), registers(&merged.to_dense(EMPTY)));
    }
}

#[test]
fn the_self_test_passes() {
    assert_eq!(self_test(), Ok(()));
}

/// Strings that begin as a sparse HyperLogLog does.
fn hostile() -> impl Strategy<Value = Vec<u8>> {
    let run = prop_oneof![any::<u8>(), Just(0x7f), Just(0xff), Just(0x3f), 0x80..=0xffu8];
    let runs = prop::collection::vec(run, 0..400);
    (runs, any::<[u8; 12]>())
        .prop_map(|(runs, rest)| [b"HYLL\x01".as_slice(), &rest[1..], &runs].concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn both_encodings_hold_the_same_registers(
        claims in prop::collection::vec((0..REGISTERS, 1..52u8), 0..300), limit in 20..2000u64
    ) {
        let mut either = Cow::Borrowed(&EMPTY[..]);
        let mut dense = to_dense(EMPTY).unwrap();
        let mut expected = vec![0; REGISTERS];
        for (register, value) in claims {
            let claim = Claim { register, value };
            let is_raised = expected[register] < value;
            expected[register] = value.max(expected[register]);
            prop_assert_eq!(raise(&mut either, claim, &mut Cursor::start(), limit), Ok(is_raised));
            prop_assert_eq!(raise_dense(&mut dense, claim), is_raised);
        }
        prop_assert!(registers(&either) == expected);
        prop_assert!(registers(&dense) == expected);
        prop_assert_eq!(count(&either), count(&dense));
        prop_assert!(to_dense(&either).unwrap()[HEADER..] == dense[HEADER..]);
    }
}

proptest! {
    #[test]
    fn merged_registers_are_those_of_the_runs(bytes in hostile(), before in 0..32u8) {
        let mut packed = bytes[HEADER..].to_vec();
        let len: usize = sparse::runs(&packed).map(sparse::Run::len).sum();
        for _ in 0..2 {
            let mut merged = [before; REGISTERS];
            let values = sparse::runs(&packed).flat_map(|run| repeat_n(run.value(), run.len()));
            let expected: Vec<u8> =
                values.take(REGISTERS + 1).map(|value| value.max(before)).collect();
            let result = sparse::merge(&packed, &mut merged);
            prop_assert_eq!(result.is_ok(), expected.len() == REGISTERS);
            prop_assert!(result.is_err() || merged[..] == expected);
            // As many as there should be, where there are not too many yet.
            packed.extend(repeat_n(0, REGISTERS.saturating_sub(len)));
        }
    }

    #[test]
    fn hostile_bytes_are_refused_or_counted(
        bytes in hostile(), claims in prop::collection::vec((0..REGISTERS, 1..52u8), 1..50), limit in 0..600u64
    ) {
        prop_assert_eq!(encoding(&bytes), Some(Encoding::Sparse));
        let _ = (count(&bytes), cached_count(&bytes), super::runs(&bytes));
        prop_assert_eq!(count(&bytes).is_ok(), to_dense(&bytes).is_ok());
        let mut claims = claims;
        claims.sort_unstable();
        let mut raised = Cow::Borrowed(&bytes[..]);
        let mut quickly = Cow::Borrowed(&bytes[..]);
        let mut cursor = Cursor::start();
        for (register, value) in claims {
            let claim = Claim { register, value };
            let result = raise(&mut raised, claim, &mut Cursor::start(), limit);
            prop_assert_eq!(result, raise(&mut quickly, claim, &mut cursor, limit));
            prop_assert!(raised == quickly);
            if result.is_err() {
                break;
            }
        }
        prop_assert!(encoding(&raised).is_some());
    }
}
