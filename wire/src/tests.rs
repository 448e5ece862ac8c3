//! Who gets in, and what those who do not are told.

use std::sync::Arc;

use api::ambient::Ambient;
use store::{MemoryStore, Store, StoreError};
use tempfile::TempDir;

use crate::pki::{Authority, Purpose, Wanted};
use crate::store::{RemoteOptions, RemoteStore, StoreService, routes};
use crate::testing::{Served, Shifted, ambient, identity, link};
use crate::{ConnectError, Distrust, Identity, Role};

struct Place {
    directory: TempDir,
    /// The store's.
    own: Identity,
    served: Served,
}

fn store() -> Place {
    let directory = tempfile::tempdir().unwrap();
    let service = StoreService::new(Arc::new(MemoryStore::new()));
    let own = identity(directory.path(), Role::Store);
    let served = Served::new(&own, routes(service));
    Place { directory, own, served }
}

async fn refused(place: &Place, wanted: Role, own: &Identity) -> ConnectError {
    match link(&place.served.address, wanted, own).connection().await {
        Ok(_) => panic!("it should not get in"),
        Err(error) => error,
    }
}

#[tokio::test]
async fn a_role_that_is_served_gets_in() {
    let place = store();
    let own = identity(place.directory.path(), Role::Shard);
    let remote = RemoteStore::new(link(&place.served.address, Role::Store, &own), RemoteOptions::default());
    assert_eq!(remote.get("a".into()).await.unwrap(), None);
}

#[tokio::test]
async fn a_gateway_opens_no_store() {
    let place = store();
    let own = identity(place.directory.path(), Role::Gateway);
    let remote = RemoteStore::new(link(&place.served.address, Role::Store, &own), RemoteOptions::default());
    let error = remote.get("a".into()).await.unwrap_err();
    let StoreError::Unavailable(why) = &error else { panic!("{error:?}") };
    assert_eq!(why, "this service is for shard, admin only, and the caller is a gateway");
}

#[tokio::test]
async fn a_client_calls_only_the_role_that_it_means() {
    let place = store();
    let own = identity(place.directory.path(), Role::Gateway);
    let error = refused(&place, Role::Shard, &own).await;
    let ConnectError::Distrust { why, .. } = &error else { panic!("{error:?}") };
    assert_eq!(*why, Distrust::Role { is: Role::Store, wanted: Role::Shard });
}

#[tokio::test]
async fn another_cas_server_is_not_called() {
    let place = store();
    let other = tempfile::tempdir().unwrap();
    let own = identity(other.path(), Role::Shard);
    let error = refused(&place, Role::Store, &own).await;
    let ConnectError::Distrust { why: Distrust::Stranger { issuer, ca }, .. } = &error else { panic!("{error:?}") };
    assert_ne!(issuer, ca);
}

/// An identity that trusts the place's CA, and shows what the caller of this put into `shard.crt`.
fn impostor(place: &Place, make: impl FnOnce(&std::path::Path), ambient: &Ambient) -> Identity {
    let own = tempfile::tempdir().unwrap();
    make(own.path());
    // It is checked by the wrong CA when it is read, so that it can be shown at all; then the right one is put in.
    let shown = Identity::ensure(own.path(), Role::Shard, ambient).unwrap();
    shown.trusting(&identity(place.directory.path(), Role::Shard))
}

#[tokio::test]
async fn another_cas_client_is_refused_and_told() {
    let place = store();
    let own = impostor(&place, |_| {}, &ambient());
    let error = refused(&place, Role::Store, &own).await;
    assert!(matches!(&error, ConnectError::Refused { role: Role::Shard, .. }), "{error:?}");
    assert!(error.to_string().contains("refuses this shard's certificate"), "{error}");
}

#[tokio::test]
async fn a_clusters_own_certificate_opens_nothing() {
    let place = store();
    // The cluster's CA goes as far as writing the right role into a certificate: the CA is what counts.
    let make = |directory: &std::path::Path| {
        let authority = Authority::ensure(directory, "shardplane-ca", &ambient()).unwrap();
        let wanted = Wanted {
            file: "shard",
            common_name: "system:node:node-1",
            organizations: &["system:nodes"],
            purpose: Purpose::Peer,
            names: Vec::new(),
            uri: Some(Role::Shard.uri()),
        };
        authority.ensure_signed(directory, &wanted, &ambient()).unwrap();
    };
    let own = impostor(&place, make, &ambient());
    assert!(matches!(refused(&place, Role::Store, &own).await, ConnectError::Refused { .. }));
}

#[tokio::test]
async fn an_expired_certificate_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let past = Ambient { clock: Arc::new(Shifted { by: -400 * 24 * 3600 }), ..ambient() };
    let own = Identity::ensure(directory.path(), Role::Shard, &past).unwrap();
    let service = StoreService::new(Arc::new(MemoryStore::new()));
    let serving = identity(directory.path(), Role::Store);
    let served = Served::new(&serving, routes(service));
    // To the shard's slow clock the server's certificate is of the future: that it accepts it is not what is tested.
    let place = Place { directory, own: serving, served };
    let own = own.trusting(&identity(place.directory.path(), Role::Shard));
    assert!(matches!(refused(&place, Role::Store, &own).await, ConnectError::Refused { .. }));
}

#[tokio::test]
async fn nobody_there_is_said_at_once() {
    let place = store();
    let own = identity(place.directory.path(), Role::Shard);
    let (listener, address) = crate::testing::listen();
    drop(listener);
    let error = link(&address, Role::Store, &own).connection().await.err().unwrap();
    assert!(error.to_string().contains("cannot be reached"), "{error}");
}

#[tokio::test]
async fn new_certificates_are_taken_without_a_restart() {
    let (place, next) = (store(), tempfile::tempdir().unwrap());
    let own = identity(place.directory.path(), Role::Shard);
    let connect = async |own: &Identity| link(&place.served.address, Role::Store, own).connection().await.map(drop);
    connect(&own).await.unwrap();
    // Another CA, and certificates of it: to this side first.
    let role = [Role::Shard, Role::Store].map(|role| identity(next.path(), role));
    let copy = |file: &str| {
        std::fs::copy(next.path().join(file), place.directory.path().join(file)).unwrap();
    };
    copy("shard.crt");
    own.refresh();
    connect(&own).await.expect("without its key it cannot be used, and the old one stays");
    ["ca.crt", "shard.key", "store.crt", "store.key"].into_iter().for_each(copy);
    own.refresh();
    assert!(connect(&own).await.is_err(), "the store has not taken the new ones yet");
    place.own.refresh();
    connect(&own).await.unwrap();
    connect(&role[0]).await.expect("it is one of the new CA");
}
