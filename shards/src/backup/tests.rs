//! The file's format: what is written is read, and damage of any kind is noticed.

use std::collections::BTreeMap;
use std::io::Cursor;

use api::Version;
use bytes::{Bytes, BytesMut};
use smol_str::SmolStr;

use super::format::*;
use super::{Cut, FormatError};

/// SplitMix64.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % bound
    }
}

fn seeds(count: u64) -> Vec<u64> {
    match std::env::var("SHARDPLANE_SEED") {
        Ok(seed) => vec![seed.parse().expect("SHARDPLANE_SEED is a number")],
        Err(_) => (1..=count).collect(),
    }
}

fn header() -> Header {
    let origin = |name: &str| Origin { name: name.into(), id: format!("{name}.01").into() };
    Header {
        program: "shardplane 0".to_owned(),
        began: "2026-11-25T10:00:00Z".to_owned(),
        service_cidr: "10.96.0.0/12".to_owned(),
        clusters: vec![origin("blue"), origin("red")],
        resources: vec!["configmaps".to_owned(), "pods".to_owned()],
    }
}

fn record(cluster: u16, name: &str, version: u64, tail: Option<Vec<u8>>) -> Record {
    let (namespace, name, version) = (SmolStr::new("ns"), SmolStr::new(name), Version(version));
    Record { cluster, resource: 1, namespace, name, version, tail: tail.map(Bytes::from) }
}

fn write(records: &[(Part, Record)], trailer: &Trailer) -> Vec<u8> {
    let (mut writer, start) = Writer::begin(&header());
    let mut file = BytesMut::from(&start[..]);
    for (part, record) in records {
        file.extend_from_slice(&writer.add(*part, record).unwrap_or_default());
    }
    file.extend_from_slice(&writer.finish(trailer));
    file.to_vec()
}

/// A small file of every kind of block.
fn small() -> Vec<u8> {
    let records = [
        (Part::Scan, record(0, "a", 5, Some(b"\"metadata\":{}}".to_vec()))),
        (Part::Scan, record(1, "a", 6, Some(b"other".to_vec()))),
        (Part::Change, record(0, "a", 8, None)),
        (Part::Change, record(0, "b", 9, Some(b"new".to_vec()))),
    ];
    let counts = [0, 1].map(|cluster| Count { cluster, resource: 1, objects: Some(1) }).to_vec();
    write(&records, &Trailer { version: 10, ended: String::new(), counts })
}

fn open(file: &[u8]) -> Result<Cut<Cursor<Vec<u8>>>, FormatError> {
    Cut::open(Cursor::new(file.to_vec()))
}

fn names(cut: &mut Cut<Cursor<Vec<u8>>>) -> Vec<(u16, String, u64)> {
    let (mut objects, mut names) = (cut.objects().unwrap(), Vec::new());
    while let Some(record) = objects.next().unwrap() {
        names.push((record.cluster, record.name.to_string(), record.version.0));
    }
    names
}

#[test]
fn a_change_counts_instead_of_what_was_found() {
    let mut cut = open(&small()).unwrap();
    assert_eq!((cut.header(), cut.trailer().version(), cut.count(0)), (&header(), Version(10), 1));
    let expected = vec![(1, "a".to_owned(), 6), (0, "b".to_owned(), 9)];
    assert_eq!((names(&mut cut), names(&mut cut)), (expected.clone(), expected), "twice the same");
}

#[test]
fn a_file_that_was_cut_anywhere_is_refused() {
    let file = small();
    for length in 0..file.len() {
        let error = open(&file[..length]).err().unwrap_or_else(|| panic!("cut at {length}"));
        assert_eq!(error, FormatError::CutOff(length as u64));
    }
    let longer = [&file[..], b"x"].concat();
    assert!(matches!(open(&longer).err(), Some(FormatError::Damaged { .. })));
    assert_eq!(open(b"apiVersion: v1\nkind: List").err(), Some(FormatError::Foreign));
}

#[test]
fn one_flipped_bit_anywhere_is_noticed() {
    let file = small();
    for at in 0..file.len() {
        for bit in 0..8 {
            let mut flipped = file.clone();
            flipped[at] ^= 1 << bit;
            let error = open(&flipped).err().unwrap_or_else(|| panic!("bit {bit} of byte {at}"));
            match at {
                0..8 => assert_eq!(error, FormatError::Foreign),
                8..12 => assert!(matches!(error, FormatError::Newer(_))),
                _ => assert!(!error.to_string().is_empty()),
            }
        }
    }
}

#[test]
fn blocks_that_are_missing_twice_or_elsewhere_are_noticed() {
    // Each with a block of its own.
    let large = |name: &str| (Part::Scan, record(0, name, 5, Some(vec![b'x'; 300 << 10])));
    let counts = vec![Count { cluster: 0, resource: 1, objects: Some(3) }];
    let trailer = Trailer { version: 9, ended: String::new(), counts };
    let file = write(&[large("a"), large("b"), large("c")], &trailer);
    let block = 300 * 1024 + 9 + 8 + 21 + 3;
    let end = file.len() - 16 - (9 + 8 + serde_json::to_vec(&trailer).unwrap().len());
    let start = end - 3 * block;
    let part = |at: usize| file[start + at * block..start + (at + 1) * block].to_vec();
    let whole = |parts: &[usize]| {
        let middle: Vec<u8> = parts.iter().flat_map(|at| part(*at)).collect();
        [&file[..start], &middle, &file[end..]].concat()
    };
    assert_eq!(whole(&[0, 1, 2]), file);
    assert!(open(&file).is_ok());
    for order in [&[0, 2][..], &[0, 1], &[0, 1, 1, 2], &[1, 0, 2], &[0, 1, 2, 2]] {
        assert!(matches!(open(&whole(order)).err(), Some(FormatError::Damaged { .. })), "{order:?}");
    }
}

#[test]
fn another_number_of_objects_than_was_counted_is_refused() {
    let records = [(Part::Scan, record(0, "a", 5, Some(b"tail".to_vec())))];
    let trailer = |objects| Trailer {
        version: 9,
        ended: String::new(),
        counts: vec![Count { cluster: 0, resource: 1, objects }],
    };
    assert!(open(&write(&records, &trailer(Some(1)))).is_ok());
    assert!(open(&write(&records, &trailer(None))).is_ok());
    let error = open(&write(&records, &trailer(Some(2)))).err().unwrap().to_string();
    assert!(error.contains("1 pods where 2 were counted"), "{error}");
    let young = Trailer { version: 4, ..trailer(None) };
    assert!(open(&write(&records, &young)).err().unwrap().to_string().contains("younger than the cut"));
}

#[test]
fn one_that_was_given_up_says_why() {
    let (writer, start) = Writer::begin(&header());
    let file = [&start[..], &writer.give_up("a shard does not answer")].concat();
    assert_eq!(open(&file).err(), Some(FormatError::GivenUp("a shard does not answer".to_owned())));
}

/// Random records against a map, read in random pieces.
#[test]
fn what_is_read_is_what_was_written() {
    for seed in seeds(20) {
        let dice = &mut Dice(seed);
        let mut model: BTreeMap<(u16, String), (u64, Vec<u8>)> = BTreeMap::new();
        let (mut records, mut version) = (Vec::new(), 0);
        for part in [Part::Scan, Part::Change] {
            for _ in 0..dice.below(200) {
                version += 1 + dice.below(3);
                let (cluster, name) = (dice.below(2) as u16, format!("n-{}", dice.below(100)));
                let at = (cluster, name.clone());
                if part == Part::Scan && model.contains_key(&at) {
                    continue;
                }
                let length = if dice.below(20) == 0 { 400_000 } else { 1 + dice.below(2000) };
                let tail: Vec<u8> = (0..length).map(|at| (at + seed) as u8).collect();
                if part == Part::Change && dice.below(3) == 0 {
                    model.remove(&at);
                    records.push((part, record(cluster, &name, version, None)));
                } else {
                    model.insert(at, (version, tail.clone()));
                    records.push((part, record(cluster, &name, version, Some(tail))));
                }
            }
        }
        let counts = [0, 1].map(|cluster| Count {
            cluster,
            resource: 1,
            objects: Some(model.keys().filter(|(of, _)| *of == cluster).count() as u64),
        });
        let file = write(&records, &Trailer { version, ended: String::new(), counts: counts.to_vec() });
        let mut cut = open(&file).unwrap_or_else(|error| panic!("seed {seed}: {error}"));
        let (mut objects, mut found) = (cut.objects().unwrap(), BTreeMap::new());
        while let Some(Record { cluster, name, version, tail, .. }) = objects.next().unwrap() {
            let before = found.insert((cluster, name.to_string()), (version.0, tail.unwrap().to_vec()));
            assert_eq!(before, None, "seed {seed}: {name} came twice");
        }
        assert_eq!(found, model, "seed {seed}");

        let (mut reader, mut rest, mut through) = (Reader::default(), &file[..], false);
        while !rest.is_empty() {
            let (piece, more) = rest.split_at((1 + dice.below(9000) as usize).min(rest.len()));
            reader.push(piece);
            rest = more;
            while let Some(piece) = reader.read().unwrap() {
                through |= matches!(piece, Piece::Trailer(_));
            }
        }
        assert!(through && reader.finish().is_ok(), "seed {seed}");
        // Somewhere in it, for it is too large to try everything.
        let at = dice.below(file.len() as u64) as usize;
        let mut flipped = file.clone();
        flipped[at] ^= 1 << dice.below(8);
        assert!(open(&flipped).is_err(), "seed {seed}: byte {at} was flipped");
    }
}
