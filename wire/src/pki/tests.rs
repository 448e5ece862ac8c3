use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;

use api::ambient::Ambient;

use super::*;
use crate::testing::{Shifted, ambient};

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o777
}

fn shifted_by_days(days: i64) -> Ambient {
    Ambient { clock: Arc::new(Shifted { by: days * 24 * 3600 }), ..ambient() }
}

fn copy(from: &Path, to: &Path, names: &[&str]) {
    for name in names {
        std::fs::copy(from.join(name), to.join(name)).unwrap();
    }
}

#[test]
fn a_ca_is_made_once_and_kept_private() {
    let place = tempfile::tempdir().unwrap();
    let directory = place.path().join("internal");
    // Processes of all roles, started at once.
    std::thread::scope(|scope| {
        for role in Role::ALL {
            let directory = &directory;
            scope.spawn(move || Identity::ensure(directory, role, &ambient()).unwrap());
        }
    });
    assert_eq!(mode(&directory), 0o700);
    let ca = std::fs::read(directory.join("ca.crt")).unwrap();
    for role in Role::ALL {
        assert_eq!(Identity::ensure(&directory, role, &ambient()).unwrap().role(), role);
        assert_eq!(mode(&directory.join(format!("{role}.key"))), 0o600);
    }
    assert_eq!(std::fs::read(directory.join("ca.crt")).unwrap(), ca);
}

#[test]
fn without_the_cas_key_nothing_is_made() {
    let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    Identity::ensure(one.path(), Role::Shard, &ambient()).unwrap();
    copy(one.path(), other.path(), &["ca.crt", "shard.crt", "shard.key"]);
    Identity::ensure(other.path(), Role::Shard, &ambient()).unwrap();
    let missing = Identity::ensure(other.path(), Role::Gateway, &ambient()).unwrap_err().to_string();
    assert!(missing.contains("gateway.crt cannot be used: it is missing"), "{missing}");

    copy(one.path(), one.path(), &["ca.crt"]);
    std::fs::copy(one.path().join("shard.crt"), other.path().join("store.crt")).unwrap();
    std::fs::copy(one.path().join("shard.key"), other.path().join("store.key")).unwrap();
    let wrong = Identity::ensure(other.path(), Role::Store, &ambient()).unwrap_err().to_string();
    assert!(wrong.contains("the certificate is a shard's, and a store's is wanted"), "{wrong}");

    let late = Identity::ensure(other.path(), Role::Shard, &shifted_by_days(400)).unwrap_err().to_string();
    assert!(late.contains("shard.crt cannot be used: the certificate is not in force"), "{late}");
}

#[test]
fn a_certificate_of_another_ca_is_named() {
    let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    Identity::ensure(one.path(), Role::Shard, &ambient()).unwrap();
    Identity::ensure(other.path(), Role::Shard, &ambient()).unwrap();
    std::fs::remove_file(other.path().join("ca.key")).unwrap();
    copy(one.path(), other.path(), &["shard.crt", "shard.key"]);
    let stranger = Identity::ensure(other.path(), Role::Shard, &ambient()).unwrap_err().to_string();
    assert!(stranger.contains("was issued by \"CN=shardplane-internal-ca-"), "{stranger}");
    assert!(stranger.contains("which is not the internal CA"), "{stranger}");
}

#[test]
fn where_the_cas_key_is_certificates_are_renewed() {
    let place = tempfile::tempdir().unwrap();
    Identity::ensure(place.path(), Role::Shard, &ambient()).unwrap();
    let first = std::fs::read(place.path().join("shard.crt")).unwrap();
    Identity::ensure(place.path(), Role::Shard, &shifted_by_days(340)).unwrap();
    assert_ne!(std::fs::read(place.path().join("shard.crt")).unwrap(), first);
}
