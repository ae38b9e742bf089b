//! Values, documents and patterns that are drawn at random, there and here.

use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use verbena::resp::Protocol;

use super::compare_scripts;

const STRINGS: &[&str] = &[
    "''",
    "'a'",
    "'key'",
    "'\\0\\1\\31 \\127\\255'",
    "'é/\\\"\\\\\\n'",
    "('x'):rep(40)",
    "('y'):rep(300)",
];
const NUMBERS: &[&str] = &[
    "0",
    "-0",
    "1",
    "-1",
    "-32",
    "-33",
    "127",
    "128",
    "255",
    "256",
    "-128",
    "-129",
    "32767",
    "32768",
    "65535",
    "65536",
    "-32768",
    "-32769",
    "2^31",
    "-2^31-1",
    "2^32",
    "2^53",
    "-2^53",
    "2^62",
    "0.5",
    "0.1",
    "-1.25",
    "1e15",
    "1e14",
    "1e100",
    "-1e-7",
    "3.14159265358979",
    "123456.789",
];
const SCALARS: &[&str] = &["true", "false", "cjson.null"];

/// An expression of Lua for a value.
fn value(random: &mut StdRng, depth: u32) -> String {
    let pick = |random: &mut StdRng, list: &[&str]| (*list.choose(random).unwrap()).to_owned();
    match random.random_range(0..if depth == 0 { 3 } else { 6 }) {
        0 => pick(random, STRINGS),
        1 => pick(random, NUMBERS),
        2 => pick(random, SCALARS),
        3 => {
            let elements: Vec<String> =
                (0..random.random_range(0..5)).map(|_| value(random, depth - 1)).collect();
            format!("{{{}}}", elements.join(","))
        }
        4 => {
            // The order of several keys is that of a table's slots: one key, so that tables made in other ways compare.
            let key = pick(random, &["'a'", "'b c'", "1", "2", "1.5", "-3", "''"]);
            format!("{{[{key}]={}}}", value(random, depth - 1))
        }
        _ => {
            let (a, b) = (value(random, depth - 1), value(random, depth - 1));
            format!("{{[1]={a},[{}]={b}}}", random.random_range(2..9))
        }
    }
}

fn scripts(seed: u64, count: usize, mut script: impl FnMut(&mut StdRng) -> String) -> String {
    let mut random = StdRng::seed_from_u64(seed);
    let scripts: Vec<String> = (0..count).map(|_| script(&mut random)).collect();
    scripts.join("\n---\n")
}

#[test]
fn random_values_are_encoded_as_valkey_does() {
    let all = scripts(1, 1500, |random| {
        let value = value(random, 4);
        format!("local v={value} return {{cmsgpack.pack(v),pcall(cjson.encode,v)}}")
    });
    compare_scripts(&all, Protocol::Resp2);
}

#[test]
fn random_values_come_back_as_they_do_from_valkey() {
    let all = scripts(2, 1500, |random| {
        let value = value(random, 4);
        format!(
            "local v={value} local ok,s=pcall(cjson.encode,v) local p=cmsgpack.pack(v)
            return {{cmsgpack.unpack(p),cmsgpack.pack(cmsgpack.unpack(p)),ok and cjson.decode(s),
            ok and cjson.encode(cjson.decode(s)),ok and cmsgpack.pack(cjson.decode(s))}}"
        )
    });
    compare_scripts(&all, Protocol::Resp2);
}

/// Bytes with a meaning to the reader, in any order.
#[test]
fn random_documents_are_refused_as_valkey_refuses_them() {
    let parts = [
        "{",
        "}",
        "[",
        "]",
        ",",
        ":",
        "\\\"",
        "\\\"a\\\"",
        "1",
        "-",
        "0x1",
        "1.5e3",
        "true",
        "nul",
        "null",
        "\\\\",
        "u00e9",
        "\\\\u0041",
        "\\\\n",
        " ",
        "\\n",
        "\\0",
        "inf",
        "nan",
        "+",
        "\\\"\\\\ud83d\\\\ude00\\\"",
        "x",
    ];
    let all = scripts(3, 2500, |random| {
        let text: String =
            (0..random.random_range(1..9)).map(|_| *parts.choose(random).unwrap()).collect();
        format!(
            "local v=cjson.decode(\"{text}\") return type(v)=='table' and cjson.encode(v) or tostring(v)"
        )
    });
    compare_scripts(&all, Protocol::Resp2);
}

#[test]
fn random_messages_are_unpacked_as_valkey_does() {
    let all = scripts(4, 2500, |random| {
        let bytes: String = (0..random.random_range(1..14))
            .map(|_| match random.random_range(0..3) {
                0 => format!("\\{}", random.random_range(0x80..=0xffu8)),
                1 => format!("\\{}", random.random_range(0..4)),
                _ => format!("\\{}", random.random_range(0..=0xffu8)),
            })
            .collect();
        // A key that is no number would be in Lua's order of slots.
        format!(
            "local ok,v=pcall(cmsgpack.unpack,'{bytes}') if not ok then return v end return tostring(type(v)=='table' and #v or v)"
        )
    });
    compare_scripts(&all, Protocol::Resp2);
}

#[test]
fn random_layouts_are_packed_as_valkey_does() {
    let options = [
        "b", "B", "h", "H", "i", "I", "i3", "I7", "l", "L", "T", "f", "d", "x", ">", "<", "!",
        "!4", " ",
    ];
    let all = scripts(5, 1500, |random| {
        let format: String =
            (0..random.random_range(1..7)).map(|_| *options.choose(random).unwrap()).collect();
        let values: Vec<&str> = (0..7).map(|_| *NUMBERS[..28].choose(random).unwrap()).collect();
        format!(
            "local p=struct.pack('{format}',{}) local r={{struct.unpack('{format}',p)}}
            for i=1,#r do r[i]=tostring(r[i]) end return {{p,struct.size('{format}'),table.concat(r,' ')}}",
            values.join(",")
        )
    });
    compare_scripts(&all, Protocol::Resp2);
}

#[test]
fn random_patterns_match_as_they_do_at_valkey() {
    let parts = [
        "a", "b", ".", "%a", "%d", "%s", "%w", "[ab]", "[^a]", "[a-c%d]", "*", "+", "-", "?", "(",
        ")", "()", "^", "$", "%1", "%b()", "%f[%a]", "%", "[", "]", "%%",
    ];
    let texts = ["", "a", "ab", "aab", "abab12", "(a(b)c)", "  a1 b2 ", "cabbage"];
    let all = scripts(6, 4000, |random| {
        let pattern: String =
            (0..random.random_range(1..7)).map(|_| *parts.choose(random).unwrap()).collect();
        let text = texts.choose(random).unwrap();
        format!(
            "local t,p='{text}','{pattern}' local o={{}} for _,f in ipairs({{'find','match','gsub'}}) do
            local r={{pcall(string[f],t,p,f=='gsub' and '<%0>' or nil)}} for i=1,6 do o[#o+1]=tostring(r[i]) end end
            local ok,e=pcall(function() local n=0 for a,b in string.gmatch(t,p) do n=n+1 o[#o+1]=tostring(a)..tostring(b) if n>9 then break end end end)
            o[#o+1]=tostring(e) return table.concat(o,'|')"
        )
    });
    compare_scripts(&all, Protocol::Resp2);
}

#[test]
fn random_bits_are_as_valkeys() {
    let all = scripts(7, 600, |random| {
        let function = [
            "band", "bor", "bxor", "lshift", "rshift", "arshift", "rol", "ror", "bnot", "bswap",
            "tobit", "tohex",
        ];
        let function = function.choose(random).unwrap();
        let (a, b) = (NUMBERS[..27].choose(random).unwrap(), random.random_range(-40..40));
        format!("return bit.{function}({a},{b})")
    });
    compare_scripts(&all, Protocol::Resp2);
}
