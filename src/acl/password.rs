//! Passwords, of which only SHA-256 digests are kept.

use sha2::{Digest, Sha256};
use subtle::{Choice, ConstantTimeEq};

/// The digest of a password.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PasswordHash([u8; 32]);

impl PasswordHash {
    pub fn of(password: &[u8]) -> Self {
        PasswordHash(Sha256::digest(password).into())
    }

    /// Reads 64 hexadecimal digits, whose letters must be in lower case.
    pub fn parse(digits: &[u8]) -> Option<Self> {
        let digits: &[u8; 64] = digits.try_into().ok()?;
        let mut hash = [0; 32];
        for (byte, pair) in hash.iter_mut().zip(digits.chunks_exact(2)) {
            *byte = digit(pair[0])? << 4 | digit(pair[1])?;
        }
        Some(PasswordHash(hash))
    }

    /// Whether `hashes` has it, in a time that does not depend on where they differ.
    pub fn is_in(&self, hashes: &[PasswordHash]) -> bool {
        let same = |hash: &PasswordHash| self.0.ct_eq(&hash.0);
        hashes.iter().fold(Choice::from(0), |found, hash| found | same(hash)).into()
    }

    /// Its 64 hexadecimal digits.
    pub fn digits(&self) -> String {
        self.0.iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

fn digit(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    }
}

/// A password of so many random bits, as hexadecimal digits.
pub fn generate(bits: usize) -> Result<String, std::io::Error> {
    let digits = bits.div_ceil(4);
    let mut random = vec![0; digits.div_ceil(2)];
    let mut filled = 0;
    while filled < random.len() {
        let flags = rustix::rand::GetRandomFlags::empty();
        filled += rustix::rand::getrandom(&mut random[filled..], flags)?;
    }
    let mut password: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
    password.truncate(digits);
    Ok(password)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_are_read_back() {
        let hash = PasswordHash::of(b"a");
        let digits = "ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb";
        assert_eq!(hash.digits(), digits);
        assert_eq!(PasswordHash::parse(digits.as_bytes()), Some(hash));
        for bad in [&digits[1..], &digits.to_uppercase(), &format!("{}g", &digits[1..]), ""] {
            assert_eq!(PasswordHash::parse(bad.as_bytes()), None, "{bad}");
        }
        assert!(hash.is_in(&[PasswordHash::of(b"b"), hash]) && !hash.is_in(&[]));
    }

    #[test]
    fn generated_passwords_have_the_length_that_is_asked_for() {
        for (bits, digits) in [(1, 1), (4, 1), (5, 2), (256, 64), (4096, 1024)] {
            assert_eq!(generate(bits).unwrap().len(), digits, "{bits}");
        }
        assert_ne!(generate(256).unwrap(), generate(256).unwrap());
    }
}
