//! The contract on a real cluster. Without `FDB_CLUSTER_FILE` there is none, and each test says that it was skipped.
//!
//! `SHARDPLANE_FDB_FAULTS=5` lets the client library fail by chance, in five of a hundred places where it could: conflicts,
//! lost read versions, and commits of which it does not know what became of them.

use std::io::Write as _;
use std::sync::atomic::AtomicU32;

use super::*;
use crate::contract::{self, batch};
use crate::{Fence, Write};

mod processes;

pub(super) fn with_faults(
    builder: ::foundationdb::api::NetworkBuilder,
) -> Result<::foundationdb::api::NetworkBuilder, FdbError> {
    use ::foundationdb::options::NetworkOption;
    let Ok(percent) = std::env::var("SHARDPLANE_FDB_FAULTS") else { return Ok(builder) };
    let percent = percent.parse().expect("SHARDPLANE_FDB_FAULTS is a number");
    builder
        .set_option(NetworkOption::ClientBuggifyEnable)?
        .set_option(NetworkOption::ClientBuggifySectionActivatedProbability(100))?
        .set_option(NetworkOption::ClientBuggifySectionFiredProbability(percent))
}

fn cluster_file(test: &str) -> Option<PathBuf> {
    let file = std::env::var_os("FDB_CLUSTER_FILE").map(PathBuf::from);
    if file.is_none() {
        println!("{test}: skipped, FDB_CLUSTER_FILE is not set");
    }
    file
}

/// Stores of this test alone, which are cleared when it begins.
struct Place {
    cluster_file: PathBuf,
    name: &'static str,
    count: AtomicU32,
}

impl Place {
    fn new(name: &'static str) -> Option<Self> {
        cluster_file(name).map(|cluster_file| Self { cluster_file, name, count: AtomicU32::new(0) })
    }

    fn options(&self, count: u32) -> Options {
        // Two runs at the same time must not meet.
        let prefix = format!("t{}/{}{count}", std::process::id(), self.name);
        Options { prefix: prefix.into(), ..Options::new(&self.cluster_file) }
    }

    /// An empty store under the next prefix.
    async fn next(&self) -> FoundationDb {
        let store = FoundationDb::open(self.options(self.count.fetch_add(1, Ordering::Relaxed))).await.unwrap();
        clear(&store, store.cluster.layout.data(b""), store.cluster.layout.all().1).await;
        store
    }

    /// Leaves nothing behind.
    async fn end(self) {
        for count in 0..self.count.into_inner() {
            let prefix = format!("t{}/{}{count}", std::process::id(), self.name).into();
            let options = Options { prefix, ..Options::new(&self.cluster_file) };
            if let Ok(store) = FoundationDb::open(options).await {
                let (from, to) = store.cluster.layout.all();
                clear(&store, from, to).await;
            }
        }
    }
}

async fn clear(store: &FoundationDb, from: Vec<u8>, to: Vec<u8>) {
    let cleared = store.cluster.database.run(|transaction, _| {
        let (from, to) = (from.clone(), to.clone());
        async move {
            transaction.clear_range(&from, &to);
            Ok(())
        }
    });
    cleared.await.unwrap();
}

/// The suite makes its stores in a closure that does not wait: they are opened before.
async fn stores(place: &Place, count: usize) -> Vec<Arc<FoundationDb>> {
    let mut stores = Vec::new();
    for _ in 0..count {
        stores.push(Arc::new(place.next().await));
    }
    stores
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keeps_the_contract() {
    let Some(place) = Place::new("contract") else { return };
    let stores = parking_lot::Mutex::new(stores(&place, contract::STORES).await);
    contract::run(|| stores.lock().pop().expect("the suite says how many stores it makes")).await;
    place.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn survives_every_fault() {
    let Some(place) = Place::new("faults") else { return };
    contract::model::survives_every_fault(Arc::new(place.next().await), 1, 12).await;
    place.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn counts_exactly_while_generations_change() {
    let Some(place) = Place::new("counts") else { return };
    let store = Arc::new(place.next().await);
    let changing = tokio::spawn({
        let cluster = store.cluster.clone();
        async move {
            for _ in 0..1000 {
                // Two at once, as two stores would: one of them finds it done.
                let now = cluster.header().await.unwrap().generation;
                let (one, other) = tokio::join!(cluster.next_generation(now), cluster.next_generation(now));
                assert_eq!((one.unwrap(), other.unwrap()), (now + 1, now + 1));
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    });
    let counted = contract::endurance::counts_exactly(store, 1, 8, 40).await;
    changing.abort();
    let _ = changing.await;
    println!("{counted:?}");
    place.end().await;
}

fn put(value: &'static str) -> Vec<Write> {
    vec![Write::Put(Bytes::from_static(b"a"), Bytes::from_static(value.as_bytes()))]
}

#[tokio::test]
async fn ids_last_for_two_generations() {
    let Some(place) = Place::new("ids") else { return };
    let (one, other) = (place.next().await, FoundationDb::open(place.options(0)).await.unwrap());
    one.commit(batch(1, vec![], put("1"))).await.unwrap();
    one.commit(batch(2, vec![], put("2"))).await.unwrap();
    let mut now = one.cluster.header().await.unwrap().generation;
    now = one.cluster.next_generation(now).await.unwrap();
    // The other store guesses the generation before, and finds out.
    other.commit(batch(1, vec![], put("1"))).await.unwrap();
    assert_eq!(one.get(Bytes::from_static(b"a")).await.unwrap().as_deref(), Some(&b"2"[..]));
    assert_eq!(other.cluster.generation.load(Ordering::Relaxed), now);
    now = one.cluster.next_generation(now).await.unwrap();
    assert_eq!(one.cluster.next_generation(now - 1).await.unwrap(), now, "it has begun already");
    other.commit(batch(1, vec![], put("1"))).await.unwrap();
    assert_eq!(one.get(Bytes::from_static(b"a")).await.unwrap().as_deref(), Some(&b"1"[..]), "it is forgotten by now");
    drop((one, other));
    place.end().await;
}

/// Or its id could be forgotten while it is under way, and the next attempt would not find it.
#[tokio::test]
async fn an_attempt_from_the_generation_before_does_not_commit() {
    let Some(place) = Place::new("old") else { return };
    let store = place.next().await;
    let batch = batch(1, vec![], put("1"));
    let transaction = store.cluster.begin().unwrap();
    let found = store.cluster.prepare(&transaction, &batch, batch.fingerprint()).await;
    assert!(matches!(found, Ok(super::commit::Found::Ready)));
    let now = store.cluster.header().await.unwrap().generation;
    store.cluster.next_generation(now).await.unwrap();
    let refused = transaction.commit().await.expect_err("a generation has begun in between");
    assert_eq!(refused.code(), 1020, "not_committed: {refused}");
    drop(store);
    place.end().await;
}

#[tokio::test]
async fn a_newer_format_is_refused_at_the_door_and_in_the_house() {
    let Some(place) = Place::new("format") else { return };
    let store = place.next().await;
    store.commit(batch(1, vec![], put("1"))).await.unwrap();
    let (from, to) = store.cluster.layout.all();
    let header = [&(FORMAT + 1).to_be_bytes()[..], &[0; 8], b"and more"].concat();
    let (key, value) = (store.cluster.layout.header(), header);
    let newer = store.cluster.database.run(|transaction, _| {
        transaction.set(&key, &value);
        async { Ok(()) }
    });
    newer.await.unwrap();
    let refused = store.commit(batch(2, vec![], put("2"))).await;
    assert!(matches!(&refused, Err(StoreError::Broken(text)) if text.contains("format 2")), "{refused:?}");
    assert!(store.ping().await.is_err());
    let refused = FoundationDb::open(place.options(0)).await.err().expect("it is newer");
    assert!(matches!(&refused, ConnectError::Format { found, .. } if found.contains("format 2")), "{refused}");

    let without = store.cluster.layout.header();
    let gone = store.cluster.database.run(|transaction, _| {
        transaction.clear(&without);
        async { Ok(()) }
    });
    gone.await.unwrap();
    let refused = FoundationDb::open(place.options(0)).await.err().expect("the keys are not ours");
    assert!(refused.to_string().contains("without a header"), "{refused}");
    clear(&store, from, to).await;
}

/// The pieces of a value go with it: nothing is left but the header and the ids.
#[tokio::test]
async fn no_piece_is_left_behind() {
    let Some(place) = Place::new("pieces") else { return };
    let store = place.next().await;
    let big = || Bytes::from(vec![7; 300_000]);
    let name = |name: &'static str| Bytes::from_static(name.as_bytes());
    let writes = ["a", "b", "c", "d"].map(|key| Write::Put(name(key), big()));
    store.commit(batch(1, vec![], writes.to_vec())).await.unwrap();
    let writes = vec![
        Write::Put(name("a"), Bytes::new()),
        Write::Delete(name("b")),
        Write::DeleteRange(name("c"), name("d")),
        Write::Put(name("d"), big().slice(..100_000)),
    ];
    store.commit(batch(2, vec![], writes)).await.unwrap();
    let layout = &store.cluster.layout;
    let (from, to) = (layout.pieces(b""), layout.applied_before(0).0);
    let mut range = RangeOption::from((&from[..], &to[..]));
    range.limit = Some(100);
    range.mode = ::foundationdb::options::StreamingMode::Exact;
    let mut transaction = store.cluster.begin().unwrap();
    let left: Vec<Vec<u8>> = loop {
        let pairs = transaction.get_range(&range, 1, true).await;
        match pairs {
            Ok(pairs) => break pairs.iter().map(|pair| pair.key().to_vec()).collect(),
            Err(error) => transaction = store.cluster.again(transaction, error.into()).await.unwrap(),
        }
    };
    assert_eq!(left, [layout.piece(b"d", 0), layout.piece(b"d", 1)]);
    drop(store);
    place.end().await;
}

#[tokio::test]
async fn two_writers_of_the_same_key_do_not_mix_pieces() {
    let Some(place) = Place::new("mix") else { return };
    let store = Arc::new(place.next().await);
    let name = Bytes::from_static(b"big");
    let writers = (1..=4u8).map(|writer| {
        let (store, name) = (store.clone(), name.clone());
        tokio::spawn(async move {
            for round in 0..10u32 {
                let value = Bytes::from(vec![writer; 80_000 + 50_000 * ((round as usize + usize::from(writer)) % 4)]);
                let id = (u128::from(writer) << 64) | u128::from(round);
                store.commit(batch(id, vec![], vec![Write::Put(name.clone(), value)])).await.unwrap();
                let found = store.get(name.clone()).await.unwrap().unwrap();
                assert!(found.iter().all(|byte| *byte == found[0]), "pieces of two values");
            }
        })
    });
    for writer in writers.collect::<Vec<_>>() {
        writer.await.unwrap();
    }
    drop(store);
    place.end().await;
}

#[tokio::test]
async fn a_cluster_that_is_not_there_is_named() {
    // The library runs without a cluster: this needs none.
    let mut file = tempfile::NamedTempFile::new().unwrap();
    // A port that was free a moment ago, on which nobody listens.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    writeln!(file, "nobody:nobody@127.0.0.1:{port}").unwrap();
    let options = Options { deadline: Duration::from_secs(1), ..Options::new(file.path()) };
    let began = tokio::time::Instant::now();
    let refused = FoundationDb::open(options).await.err().expect("nobody is there");
    assert!(began.elapsed() < Duration::from_secs(5));
    let said = refused.to_string();
    assert!(matches!(refused, ConnectError::Unreachable { .. }), "{said}");
    for part in [file.path().to_str().unwrap(), &format!("127.0.0.1:{port}"), "within 1 s"] {
        assert!(said.contains(part), "{said}");
    }
    for (prefix, length) in [(Bytes::new(), 0), (Bytes::from(vec![b'x'; 25]), 25)] {
        let options = Options { prefix, ..Options::new(file.path()) };
        let refused = FoundationDb::open(options).await.err();
        assert!(matches!(refused, Some(ConnectError::Prefix { length: found, .. }) if found == length));
    }
}

#[tokio::test]
async fn conflicts_between_strangers_do_not_happen() {
    let Some(place) = Place::new("strangers") else { return };
    let store = place.next().await;
    // Two batches with the same fence, and with writes side by side, are under way at the same time.
    let fence = Fence { key: Bytes::from_static(b"owner"), expected: None };
    let writes = |name: &'static [u8]| vec![Write::Put(Bytes::from_static(name), Bytes::from(vec![1; 100_000]))];
    let (one, other) = (batch(1, vec![fence.clone()], writes(b"a")), batch(2, vec![fence], writes(b"a\0")));
    let (first, second) = (store.cluster.begin().unwrap(), store.cluster.begin().unwrap());
    for (transaction, batch) in [(&first, &one), (&second, &other)] {
        let found = store.cluster.prepare(transaction, batch, batch.fingerprint()).await;
        assert!(matches!(found, Ok(super::commit::Found::Ready)));
    }
    first.commit().await.unwrap();
    second.commit().await.expect("they have nothing to do with each other");
    drop(store);
    place.end().await;
}
