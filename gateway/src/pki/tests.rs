use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use super::*;
use crate::testing::ambient;

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn credentials_are_made_once_and_kept_private() {
    let place = tempfile::tempdir().unwrap();
    let directory = place.path().join("pki");
    let pki = Pki::ensure(&directory, &["192.0.2.7".into(), "0.0.0.0".into()], &ambient()).unwrap();
    assert_eq!(mode(&directory), 0o700);
    let files = |pki: &Pki| {
        let pairs = [pki.server(), pki.admin(), pki.kubelet_client(), pki.fleet()];
        let paths = pairs.into_iter().flat_map(|pair| [pair.certificate, pair.key]).chain([pki.ca()]);
        paths.map(|path| (mode(&path), std::fs::read_to_string(path).unwrap())).collect::<Vec<_>>()
    };
    let first = files(&pki);
    assert!(first.iter().all(|(mode, _)| *mode == 0o600));
    let again = Pki::ensure(&directory, &["192.0.2.7".into()], &ambient()).unwrap();
    assert_eq!(files(&again), first, "nothing was made anew");
    // Another address: the serving certificate alone changes.
    let moved = Pki::ensure(&directory, &["192.0.2.8".into()], &ambient()).unwrap();
    let changed: Vec<bool> = files(&moved).iter().zip(&first).map(|(a, b)| a != b).collect();
    assert_eq!(changed, [true, true, false, false, false, false, false, false, false]);
}

#[test]
fn loose_modes_are_repaired_and_torn_pairs_replaced() {
    let place = tempfile::tempdir().unwrap();
    let pki = Pki::ensure(place.path(), &[], &ambient()).unwrap();
    let server = pki.server();
    std::fs::set_permissions(place.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    std::fs::set_permissions(&server.key, std::fs::Permissions::from_mode(0o644)).unwrap();
    // A crash between the two files: a new key beside the old certificate.
    std::fs::copy(pki.admin().key, pki.fleet().key).unwrap();
    let torn = std::fs::read_to_string(pki.fleet().key).unwrap();
    Pki::ensure(place.path(), &[], &ambient()).unwrap();
    assert_eq!((mode(place.path()), mode(&server.key)), (0o700, 0o600));
    assert_ne!(std::fs::read_to_string(pki.fleet().key).unwrap(), torn);
}

#[test]
fn a_broken_ca_is_an_error_and_not_replaced() {
    let place = tempfile::tempdir().unwrap();
    let pki = Pki::ensure(place.path(), &[], &ambient()).unwrap();
    std::fs::remove_file(place.path().join("ca.key")).unwrap();
    assert!(matches!(Pki::ensure(place.path(), &[], &ambient()), Err(PkiError::Authority { .. })));
    std::fs::copy(pki.admin().key, place.path().join("ca.key")).unwrap();
    assert!(matches!(Pki::ensure(place.path(), &[], &ambient()), Err(PkiError::Authority { .. })));
}

#[test]
fn certificates_are_renewed_in_time() {
    let place = tempfile::tempdir().unwrap();
    let now = ambient();
    Pki::ensure(place.path(), &[], &now).unwrap();
    let admin = place.path().join("admin.crt");
    let first = std::fs::read_to_string(&admin).unwrap();
    let mut later = now.clone();
    later.clock = std::sync::Arc::new(crate::testing::Shifted { by_micros: 340 * 24 * 3600 * 1_000_000 });
    Pki::ensure(place.path(), &[], &later).unwrap();
    assert_ne!(std::fs::read_to_string(&admin).unwrap(), first);
}

#[test]
fn the_kubeconfig_holds_everything() {
    let place = tempfile::tempdir().unwrap();
    let pki = Pki::ensure(place.path(), &[], &ambient()).unwrap();
    let text = pki.kubeconfig("https://127.0.0.1:6443").unwrap();
    assert!(text.contains("server: https://127.0.0.1:6443\n"));
    let data = |key: &str| {
        let line = text.lines().find(|line| line.trim().starts_with(key)).unwrap();
        BASE64_STANDARD.decode(line.split(": ").nth(1).unwrap()).unwrap()
    };
    assert!(data("certificate-authority-data").starts_with(b"-----BEGIN CERTIFICATE"));
    assert!(data("client-key-data").starts_with(b"-----BEGIN PRIVATE KEY"));
    let user = {
        use rustls::pki_types::{CertificateDer, pem::PemObject};
        let der = CertificateDer::from_pem_slice(&data("client-certificate-data")).unwrap();
        crate::authn::certificate_user(&der).unwrap()
    };
    assert_eq!(user.name, "kubernetes-admin");
    assert!(user.groups.contains(&"system:masters".to_owned()));
}
