//! Protocols and ciphers by the names that OpenSSL gives them, in its format of lists, as far as rustls has them.

use rustls::SupportedCipherSuite;
use rustls::SupportedProtocolVersion;
use rustls::crypto::{CryptoProvider, ring};
use rustls::version::{TLS12, TLS13};

use super::Refusal;

/// The choice of protocols and ciphers, as a configuration or a command line says it; empty texts leave it to this
/// program.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ciphers {
    /// Of TLS 1.2, in OpenSSL's format of cipher lists.
    pub tls12: String,
    /// Of TLS 1.3, separated by colons.
    pub tls13: String,
}

/// The ciphers of TLS 1.2, the strongest first: OpenSSL's name, and the classes it is in.
const TLS12_SUITES: [(&str, SupportedCipherSuite, &[&str]); 6] = {
    use ring::cipher_suite::*;
    const ECDSA: &[&str] = &["aECDSA", "ECDSA"];
    const RSA: &[&str] = &["aRSA", "RSA"];
    [
        ("ECDHE-ECDSA-AES256-GCM-SHA384", TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384, ECDSA),
        ("ECDHE-RSA-AES256-GCM-SHA384", TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384, RSA),
        ("ECDHE-ECDSA-CHACHA20-POLY1305", TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256, ECDSA),
        ("ECDHE-RSA-CHACHA20-POLY1305", TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256, RSA),
        ("ECDHE-ECDSA-AES128-GCM-SHA256", TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, ECDSA),
        ("ECDHE-RSA-AES128-GCM-SHA256", TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256, RSA),
    ]
};

/// Classes that all ciphers of TLS 1.2 here are in.
const COMMON_CLASSES: [&str; 9] =
    ["ALL", "HIGH", "ECDHE", "EECDH", "kECDHE", "kEECDH", "AEAD", "TLSv1.2", "DEFAULT"];

fn is_in_class(name: &str, classes: &[&str], class: &str) -> bool {
    name == class
        || COMMON_CLASSES.contains(&class)
        || classes.contains(&class)
        || match class {
            "AES" => name.contains("AES"),
            "AESGCM" => name.contains("GCM"),
            "AES128" => name.contains("AES128"),
            "AES256" => name.contains("AES256"),
            "CHACHA20" => name.contains("CHACHA20"),
            "SHA256" => name.ends_with("SHA256"),
            "SHA384" => name.ends_with("SHA384"),
            _ => false,
        }
}

/// The places in [`TLS12_SUITES`] that a part of a list stands for: a name, or classes joined by `+`.
fn members(part: &str) -> Vec<usize> {
    let is_meant = |index: &usize| {
        let (name, suite, classes) = TLS12_SUITES[*index];
        let standard = suite.suite().as_str().is_some_and(|standard| standard == part);
        standard || part.split('+').all(|class| is_in_class(name, classes, class))
    };
    (0..TLS12_SUITES.len()).filter(is_meant).collect()
}

/// The ciphers of TLS 1.2 that a list names, in its order, and the parts that name none.
fn tls12_suites(list: &str) -> (Vec<SupportedCipherSuite>, Vec<String>) {
    let mut chosen: Vec<usize> = Vec::new();
    let mut banned = [false; TLS12_SUITES.len()];
    let mut unknown = Vec::new();
    for part in list.split([':', ',', ' ', ';']).filter(|part| !part.is_empty()) {
        if part.starts_with('@') {
            // Of equal strength or nearly so: the order stays.
            continue;
        }
        let (sign, name) = match part.as_bytes()[0] {
            sign @ (b'!' | b'-' | b'+') => (sign, &part[1..]),
            _ => (b' ', part),
        };
        let meant = members(name);
        match sign {
            b' ' => {
                if meant.is_empty() {
                    unknown.push(part.to_owned());
                }
                let new = meant.into_iter().filter(|index| !banned[*index]);
                let new: Vec<usize> = new.filter(|index| !chosen.contains(index)).collect();
                chosen.extend(new);
            }
            b'+' => {
                let (moved, kept): (Vec<_>, Vec<_>) =
                    chosen.iter().partition(|index| meant.contains(index));
                chosen = kept.into_iter().chain(moved).collect();
            }
            sign => {
                chosen.retain(|index| !meant.contains(index));
                if sign == b'!' {
                    meant.into_iter().for_each(|index| banned[index] = true);
                }
            }
        }
    }
    (chosen.into_iter().map(|index| TLS12_SUITES[index].1).collect(), unknown)
}

/// The ciphers of TLS 1.3 that a list names, in its order, and the parts that name none.
fn tls13_suites(list: &str) -> (Vec<SupportedCipherSuite>, Vec<String>) {
    let known = ring::ALL_CIPHER_SUITES.iter().filter(|suite| suite.tls13().is_some());
    let known: Vec<(String, SupportedCipherSuite)> = known
        .map(|suite| {
            let name = suite.suite().as_str().unwrap_or_default();
            (name.replace("TLS13_", "TLS_"), *suite)
        })
        .collect();
    let (mut chosen, mut unknown) = (Vec::new(), Vec::new());
    for part in list.split(':').filter(|part| !part.is_empty()) {
        match known.iter().find(|(name, _)| name == part) {
            Some((_, suite)) if chosen.contains(suite) => {}
            Some((_, suite)) => chosen.push(*suite),
            None => unknown.push(part.to_owned()),
        }
    }
    (chosen, unknown)
}

impl Ciphers {
    /// The cryptography with these ciphers, and sentences about those that it does not have.
    pub(super) fn provider(&self) -> Result<(CryptoProvider, Vec<String>), Refusal> {
        let default = ring::default_provider();
        let mut notes = Vec::new();
        let mut choose = |list: &str,
                          parse: fn(&str) -> (Vec<SupportedCipherSuite>, Vec<String>),
                          is_of: fn(&SupportedCipherSuite) -> bool,
                          word: &str| {
            if list.is_empty() {
                return Ok(default.cipher_suites.iter().copied().filter(is_of).collect());
            }
            let (chosen, unknown) = parse(list);
            let of = match word {
                "ciphers" => {
                    "TLS 1.2 has ECDHE with AES-GCM or ChaCha20-Poly1305 here, and no other ciphers"
                }
                _ => {
                    "TLS 1.3 has TLS_AES_256_GCM_SHA384, TLS_AES_128_GCM_SHA256 and TLS_CHACHA20_POLY1305_SHA256 here"
                }
            };
            if chosen.is_empty() {
                return Err(format!("Failed to configure {word}: {list} ({of})"));
            }
            if !unknown.is_empty() {
                notes.push(format!("These {word} are left out: {} ({of})", unknown.join(":")));
            }
            Ok(chosen)
        };
        let tls13 =
            choose(&self.tls13, tls13_suites, |suite| suite.tls13().is_some(), "ciphersuites")?;
        let tls12 = choose(&self.tls12, tls12_suites, |suite| suite.tls13().is_none(), "ciphers")?;
        let cipher_suites = tls13.into_iter().chain(tls12).collect();
        Ok((CryptoProvider { cipher_suites, ..default }, notes))
    }
}

/// The protocols that a list names, separated by spaces or commas; all if it is empty.
pub(super) fn protocols(list: &str) -> Result<Vec<&'static SupportedProtocolVersion>, Refusal> {
    let mut chosen = Vec::new();
    for word in list.split([' ', ',']).filter(|word| !word.is_empty()) {
        match word.to_ascii_lowercase().as_str() {
            "tlsv1.2" => chosen.push(&TLS12),
            "tlsv1.3" => chosen.push(&TLS13),
            "tlsv1" | "tlsv1.1" => {
                return Err(format!(
                    "Invalid tls-protocols specified. {word} is not secure, and this server does not \
                     have it. Use 'TLSv1.2', 'TLSv1.3' or both."
                ));
            }
            _ => {
                return Err("Invalid tls-protocols specified. Use a combination of 'TLSv1', \
                            'TLSv1.1', 'TLSv1.2' and 'TLSv1.3'."
                    .into());
            }
        }
    }
    Ok(if chosen.is_empty() { vec![&TLS13, &TLS12] } else { chosen })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(list: &str) -> (Vec<&'static str>, Vec<String>) {
        let (suites, unknown) = tls12_suites(list);
        let name = |suite: SupportedCipherSuite| {
            TLS12_SUITES.iter().find(|(_, known, _)| *known == suite).expect("a known suite").0
        };
        (suites.into_iter().map(name).collect(), unknown)
    }

    #[test]
    fn a_cipher_list_adds_removes_and_moves() {
        assert_eq!(names("DEFAULT").0.len(), 6);
        assert_eq!(names("DEFAULT:-AES128-SHA256"), names("DEFAULT"));
        assert_eq!(names("HIGH:!aNULL:!MD5"), names("ALL"));
        let only = names("ECDHE+AESGCM:!ECDSA");
        assert_eq!(only.0, ["ECDHE-RSA-AES256-GCM-SHA384", "ECDHE-RSA-AES128-GCM-SHA256"]);
        assert_eq!(
            names("ECDHE-RSA-AES128-GCM-SHA256:ECDHE-RSA-AES256-GCM-SHA384:AES128-SHA"),
            (
                vec!["ECDHE-RSA-AES128-GCM-SHA256", "ECDHE-RSA-AES256-GCM-SHA384"],
                vec!["AES128-SHA".to_owned()]
            )
        );
        assert_eq!(names("!CHACHA20:ALL").0.len(), 4);
        assert_eq!(names("ALL:-CHACHA20:CHACHA20").0[4..], names("CHACHA20").0);
        assert!(names("ALL:+AES256:@STRENGTH").0[5].contains("AES256"));
        assert_eq!(
            names("TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256").0,
            ["ECDHE-RSA-AES128-GCM-SHA256"]
        );
        assert!(names("AES128-SHA256:AES256-SHA256").0.is_empty());
    }

    #[test]
    fn suites_of_tls_1_3_have_their_standard_names() {
        let (chosen, unknown) = tls13_suites("TLS_AES_128_GCM_SHA256:TLS_AES_128_CCM_SHA256");
        assert_eq!(chosen, [ring::cipher_suite::TLS13_AES_128_GCM_SHA256]);
        assert_eq!(unknown, ["TLS_AES_128_CCM_SHA256"]);
    }

    #[test]
    fn lists_that_leave_nothing_are_refused() {
        let refused = |tls12: &str, tls13: &str| {
            Ciphers { tls12: tls12.into(), tls13: tls13.into() }.provider().unwrap_err()
        };
        assert!(refused("foo", "").starts_with("Failed to configure ciphers: foo"));
        assert!(refused("", "foo").starts_with("Failed to configure ciphersuites: foo"));
        assert!(protocols("TLSv1.2 tlsv1.3").is_ok_and(|found| found.len() == 2));
        assert!(protocols("").is_ok_and(|found| found.len() == 2));
        for wrong in ["foo", "TLSv1.1", "TLSv1.2 TLSv1.4"] {
            assert!(protocols(wrong).is_err_and(|text| text.starts_with("Invalid tls-protocols")));
        }
    }
}
