//! What a certificate says.

use std::fmt::Write;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustls::pki_types::CertificateDer;
use x509_cert::Certificate;
use x509_cert::der::Decode;
use x509_cert::der::oid::db::rfc4519::COMMON_NAME;
use x509_cert::ext::pkix::SubjectAltName;
use x509_cert::ext::pkix::name::GeneralName;

/// The names of a peer that has shown a certificate, which this side trusts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PeerCertificate {
    /// The common name of its subject.
    pub common_name: Option<String>,
    /// The URIs among its subject's alternative names, in their order.
    pub uris: Vec<String>,
}

impl PeerCertificate {
    /// A certificate that can't be read has no names.
    pub(crate) fn new(der: &CertificateDer<'_>) -> PeerCertificate {
        let Ok(certificate) = Certificate::from_der(der) else { return PeerCertificate::default() };
        let parts = certificate.tbs_certificate();
        let is_common_name =
            |part: &&x509_cert::attr::AttributeTypeAndValue| part.oid == COMMON_NAME;
        let common_name =
            parts.subject().iter().find(is_common_name).and_then(|part| text(&part.value));
        let names = parts.get_extension::<SubjectAltName>().ok().flatten();
        let names = names.map(|(_, SubjectAltName(names))| names).unwrap_or_default();
        let uri = |name| match name {
            GeneralName::UniformResourceIdentifier(uri) => Some(uri.as_str().to_owned()),
            _ => None,
        };
        PeerCertificate { common_name, uris: names.into_iter().filter_map(uri).collect() }
    }
}

/// A string of any of ASN.1's types that are UTF-8 or a part of it. No name that has a zero byte in it is taken: others would
/// read it as a shorter one.
fn text(value: &x509_cert::der::Any) -> Option<String> {
    use x509_cert::der::{Tag, Tagged};
    match value.tag() {
        Tag::Utf8String | Tag::PrintableString | Tag::Ia5String => {}
        // Latin-1 in practice: of that only the part that is ASCII.
        Tag::TeletexString if value.value().is_ascii() => {}
        _ => return None,
    }
    let text = std::str::from_utf8(value.value()).ok()?;
    (!text.contains('\0')).then(|| text.to_owned())
}

/// The facts about a certificate that reports show.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateFacts {
    /// Its serial number, in hexadecimal digits.
    pub serial: String,
    /// Until when it is valid, as Unix time.
    pub expires: Duration,
}

impl CertificateFacts {
    /// `None` for a certificate that can't be read.
    pub(super) fn new(der: &CertificateDer<'_>) -> Option<CertificateFacts> {
        let certificate = Certificate::from_der(der).ok()?;
        let parts = certificate.tbs_certificate();
        let bytes = parts.serial_number().as_bytes();
        // A zero in front only keeps the number from being negative.
        let digits = bytes.strip_prefix(&[0]).filter(|rest| !rest.is_empty()).unwrap_or(bytes);
        let serial = digits.iter().fold(String::new(), |mut text, byte| {
            let _ = write!(text, "{byte:02X}");
            text
        });
        Some(CertificateFacts { serial, expires: parts.validity().not_after.to_unix_duration() })
    }

    /// Seconds from now until it expires; negative if it has.
    pub fn expires_in(&self) -> i64 {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        self.expires.as_secs() as i64 - now.as_secs() as i64
    }
}

/// The public key of a certificate, encoded as in it.
pub(super) fn public_key(der: &CertificateDer<'_>) -> Option<Vec<u8>> {
    use x509_cert::der::Encode;
    let certificate = Certificate::from_der(der).ok()?;
    certificate.tbs_certificate().subject_public_key_info().to_der().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{CertificateParams, DnType, DnValue, KeyPair, SanType};

    fn certificate(change: impl FnOnce(&mut CertificateParams)) -> CertificateDer<'static> {
        let mut params = CertificateParams::new(vec!["localhost".into()]).unwrap();
        change(&mut params);
        params.self_signed(&KeyPair::generate().unwrap()).unwrap().der().clone()
    }

    #[test]
    fn a_peer_has_the_names_of_its_certificate() {
        let uris = ["urn:first", "urn:second"];
        let der = certificate(|params| {
            params.distinguished_name.push(DnType::OrganizationName, "house");
            params.distinguished_name.push(DnType::CommonName, "Jürgen");
            let uri = |uri: &str| SanType::URI(uri.try_into().unwrap());
            params.subject_alt_names.extend(uris.map(uri));
        });
        let peer = PeerCertificate::new(&der);
        assert_eq!(peer.common_name.as_deref(), Some("Jürgen"));
        assert_eq!(peer.uris, uris);
    }

    #[test]
    fn names_that_could_be_misread_are_none() {
        let der = certificate(|params| {
            params
                .distinguished_name
                .push(DnType::CommonName, DnValue::Utf8String("admin\0x".into()));
        });
        assert_eq!(PeerCertificate::new(&der), PeerCertificate::default());
        assert_eq!(
            PeerCertificate::new(&CertificateDer::from(&b"nothing"[..])),
            PeerCertificate::default()
        );
    }

    #[test]
    fn reports_show_serial_number_and_time() {
        let der = certificate(|params| {
            params.serial_number = Some(vec![0xa0, 1, 0x0f].into());
            params.not_after = rcgen::date_time_ymd(2021, 1, 1);
        });
        let facts = CertificateFacts::new(&der).unwrap();
        assert_eq!((facts.serial.as_str(), facts.expires.as_secs()), ("A0010F", 1_609_459_200));
        assert!(facts.expires_in() < 0);
    }
}
