//! The CA, and what it signs.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::path::Path;
use std::time::Duration;

use api::ambient::Ambient;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    PKCS_ECDSA_P256_SHA256, PublicKeyData, SanType, SerialNumber, date_time_ymd,
};
use x509_parser::pem::parse_x509_pem;
use x509_parser::prelude::{GeneralName, X509Certificate};

use super::{PkiError, files};

/// File name of the CA.
pub const CA: &str = "ca";

const DAY: Duration = Duration::from_secs(24 * 3600);
/// Clients' clocks may be a little behind.
const SKEW: Duration = Duration::from_secs(300);

/// What a certificate is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// To be called.
    Server,
    /// To call.
    Client,
    /// Both: what stands inside calls and is called.
    Peer,
}

/// A certificate that there must be.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// Name of its files.
    pub file: &'static str,
    /// Its subject's common name.
    pub common_name: &'static str,
    /// Its subject's organizations: groups, for Kubernetes.
    pub organizations: &'static [&'static str],
    /// What it is for.
    pub purpose: Purpose,
    /// DNS names and addresses that it must have.
    pub names: Vec<String>,
    /// The URI that it must have.
    pub uri: Option<String>,
}

/// The CA and its key.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    /// Made just now: nothing that an older one signed is worth anything.
    fresh: bool,
}

impl Authority {
    /// Reads the CA, or makes one of that name where there is none.
    pub fn ensure(directory: &Path, common_name: &str, ambient: &Ambient) -> Result<Self, PkiError> {
        let (certificate, key) = (files::certificate(directory, CA), files::key(directory, CA));
        match (files::read_private(&certificate)?, files::read_private(&key)?) {
            (Some(certificate_text), Some(key_text)) => {
                let unusable = |reason: &dyn std::fmt::Display| PkiError::Authority {
                    path: certificate.display().to_string(),
                    reason: reason.to_string(),
                };
                let key = KeyPair::from_pem(&key_text).map_err(|error| unusable(&error))?;
                let usable = inspect(&certificate_text, |parsed| {
                    let valid = parsed.validity().not_after.timestamp() > unix_seconds(ambient);
                    (valid, parsed.public_key().raw == key.subject_public_key_info())
                });
                match usable {
                    Some((true, true)) => {}
                    Some((false, _)) => return Err(unusable(&"it has expired")),
                    Some(_) => return Err(unusable(&"it does not belong to its key")),
                    None => return Err(unusable(&"it is no certificate")),
                }
                let issuer = Issuer::from_ca_cert_pem(&certificate_text, key).map_err(|error| unusable(&error))?;
                Ok(Self { issuer, fresh: false })
            }
            (Some(_), None) => {
                Err(PkiError::Authority { path: key.display().to_string(), reason: "the key is missing".to_owned() })
            }
            (None, _) => Self::make(directory, common_name, ambient),
        }
    }

    fn make(directory: &Path, common_name: &str, ambient: &Ambient) -> Result<Self, PkiError> {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        let mut params = params(Vec::new(), 3650 * DAY, ambient)?;
        params.distinguished_name.push(DnType::CommonName, common_name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages =
            vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign, KeyUsagePurpose::DigitalSignature];
        let certificate = params.self_signed(&key)?;
        files::write_private(&files::key(directory, CA), &key.serialize_pem())?;
        files::write_private(&files::certificate(directory, CA), &certificate.pem())?;
        Ok(Self { issuer: Issuer::new(params, key), fresh: true })
    }

    /// Makes a certificate unless there is one that will do.
    pub fn ensure_signed(&self, directory: &Path, wanted: &Wanted, ambient: &Ambient) -> Result<(), PkiError> {
        let (certificate, key) = (files::certificate(directory, wanted.file), files::key(directory, wanted.file));
        let have = (files::read_private(&certificate)?, files::read_private(&key)?);
        if let (false, (Some(certificate), Some(key))) = (self.fresh, have)
            && will_do(&certificate, &key, wanted, ambient)
        {
            return Ok(());
        }
        let pair = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        let mut params = params(wanted.names.clone(), 365 * DAY, ambient)?;
        params.distinguished_name.push(DnType::CommonName, wanted.common_name);
        for organization in wanted.organizations {
            params.distinguished_name.push(DnType::OrganizationName, *organization);
        }
        if let Some(uri) = &wanted.uri {
            params.subject_alt_names.push(SanType::URI(uri.as_str().try_into()?));
        }
        params.use_authority_key_identifier_extension = true;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = match wanted.purpose {
            Purpose::Server => vec![ExtendedKeyUsagePurpose::ServerAuth],
            Purpose::Client => vec![ExtendedKeyUsagePurpose::ClientAuth],
            Purpose::Peer => vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth],
        };
        let signed = params.signed_by(&pair, &self.issuer)?;
        files::write_private(&key, &pair.serialize_pem())?;
        files::write_private(&certificate, &signed.pem())
    }
}

fn params(names: Vec<String>, valid: Duration, ambient: &Ambient) -> Result<CertificateParams, PkiError> {
    let mut params = CertificateParams::new(names)?;
    params.distinguished_name = rcgen::DistinguishedName::new();
    let now = date_time_ymd(1970, 1, 1) + Duration::from_secs(u64::try_from(unix_seconds(ambient)).unwrap_or(0));
    (params.not_before, params.not_after) = (now - SKEW, now + valid);
    // 127 bits: positive, and no longer than RFC 5280 allows.
    let serial = ambient.entropy.next_u128() >> 1;
    params.serial_number = Some(SerialNumber::from_slice(&serial.to_be_bytes()));
    Ok(params)
}

pub(super) fn unix_seconds(ambient: &Ambient) -> i64 {
    ambient.clock.wall_micros().div_euclid(1_000_000)
}

fn inspect<T>(pem: &str, look: impl FnOnce(&X509Certificate<'_>) -> T) -> Option<T> {
    let (_, pem) = parse_x509_pem(pem.as_bytes()).ok()?;
    pem.parse_x509().ok().map(|parsed| look(&parsed))
}

/// Whether a certificate belongs to its key, lasts another month, and has all the names that are wanted.
fn will_do(certificate: &str, key: &str, wanted: &Wanted, ambient: &Ambient) -> bool {
    let Ok(key) = KeyPair::from_pem(key) else { return false };
    inspect(certificate, |parsed| {
        let lasts = parsed.validity().not_after.timestamp() > unix_seconds(ambient) + 30 * DAY.as_secs() as i64;
        let names = names_of(parsed);
        let wanted_names: BTreeSet<String> =
            wanted.names.iter().map(|name| canonical(name)).chain(wanted.uri.clone()).collect();
        lasts && wanted_names.is_subset(&names) && parsed.public_key().raw == key.subject_public_key_info()
    })
    .unwrap_or(false)
}

fn names_of(parsed: &X509Certificate<'_>) -> BTreeSet<String> {
    let Ok(Some(extension)) = parsed.subject_alternative_name() else { return BTreeSet::new() };
    let name = |name: &GeneralName<'_>| match name {
        GeneralName::DNSName(name) | GeneralName::URI(name) => Some((*name).to_owned()),
        GeneralName::IPAddress(bytes) => match <[u8; 4]>::try_from(*bytes) {
            Ok(v4) => Some(IpAddr::from(v4).to_string()),
            Err(_) => <[u8; 16]>::try_from(*bytes).ok().map(|v6| IpAddr::from(v6).to_string()),
        },
        _ => None,
    };
    extension.value.general_names.iter().filter_map(name).collect()
}

fn canonical(name: &str) -> String {
    name.parse::<IpAddr>().map_or_else(|_| name.to_owned(), |ip| ip.to_string())
}
