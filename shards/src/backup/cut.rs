//! The state that a backup holds: what was found, unless it changed before the cut.

use std::collections::BTreeMap;
use std::io::{Read, Seek, SeekFrom};

use api::Version;
use hashbrown::HashMap;
use hashbrown::hash_map::Entry;
use xxhash_rust::xxh3::Xxh3;

use super::format::{Count, FormatError, Header, Part, Piece, Reader, Record, Trailer};

/// Bytes that are read at once.
const AT_ONCE: usize = 256 << 10;

/// Which object a record is of: a hash of its cluster, kind, namespace and name.
type Key = u128;

/// A backup that was read once, whole, and is as it was written.
pub struct Cut<F> {
    file: F,
    header: Header,
    trailer: Trailer,
    /// What changed while the backup ran: the version of its last record.
    changed: HashMap<Key, Version>,
    /// How many objects there are, by cluster and resource.
    found: BTreeMap<(u16, u16), u64>,
}

impl<F: Read + Seek> Cut<F> {
    /// Reads and checks everything, and that the objects are as many as were counted.
    pub fn open(mut file: F) -> Result<Self, FormatError> {
        let (mut header, mut trailer) = (None, None);
        let mut changed = HashMap::new();
        let mut pieces = Pieces::new(&mut file)?;
        while let Some(piece) = pieces.next()? {
            match piece {
                Piece::Header(is) => header = Some(is),
                Piece::Trailer(is) => trailer = Some(is),
                Piece::Records(Part::Scan, _) => {}
                Piece::Records(Part::Change, records) => {
                    for record in records {
                        match changed.entry(key(&record)) {
                            Entry::Occupied(mut last) if *last.get() < record.version => {
                                last.insert(record.version);
                            }
                            Entry::Occupied(_) => {}
                            Entry::Vacant(none) => {
                                none.insert(record.version);
                            }
                        }
                    }
                }
            }
        }
        let missing = || FormatError::CutOff(0);
        let (header, trailer) = (header.ok_or_else(missing)?, trailer.ok_or_else(missing)?);
        let mut cut = Self { file, header, trailer, changed, found: BTreeMap::new() };
        cut.check()?;
        Ok(cut)
    }

    /// What was known when it began.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// What was known when it was through.
    pub fn trailer(&self) -> &Trailer {
        &self.trailer
    }

    /// How many objects a cluster has of each kind, by positions in the header's lists; only kinds that it has some of.
    pub fn counts(&self, cluster: u16) -> impl Iterator<Item = (u16, u64)> + '_ {
        let of = self.found.range((cluster, 0)..=(cluster, u16::MAX));
        of.map(|((_, resource), count)| (*resource, *count))
    }

    /// How many objects a cluster has.
    pub fn count(&self, cluster: u16) -> u64 {
        self.counts(cluster).map(|(_, count)| count).sum()
    }

    /// Reads every object of the cut, each once.
    pub fn objects(&mut self) -> Result<Objects<'_, F>, FormatError> {
        let pieces = Pieces::new(&mut self.file)?;
        Ok(Objects { pieces, changed: &self.changed, version: self.trailer.version(), records: Vec::new().into_iter() })
    }

    fn check(&mut self) -> Result<(), FormatError> {
        let mut found: BTreeMap<(u16, u16), u64> = BTreeMap::new();
        let mut objects = self.objects()?;
        while let Some(record) = objects.next()? {
            *found.entry((record.cluster, record.resource)).or_default() += 1;
        }
        for Count { cluster, resource, objects } in &self.trailer.counts {
            let have = found.get(&(*cluster, *resource)).copied().unwrap_or_default();
            let said = objects.unwrap_or(have);
            if have != said {
                let kind = self.header.resources.get(usize::from(*resource)).map_or("objects", String::as_str);
                let what = format!("it holds {have} {kind} where {said} were counted");
                return Err(FormatError::Damaged { at: 0, what });
            }
        }
        self.found = found;
        Ok(())
    }
}

/// The objects of a cut. In no order that means anything.
pub struct Objects<'a, F> {
    pieces: Pieces<'a, F>,
    changed: &'a HashMap<Key, Version>,
    version: Version,
    records: std::vec::IntoIter<(Part, Record)>,
}

impl<F: Read + Seek> Objects<'_, F> {
    /// The next one: a record that has an object.
    #[expect(clippy::should_implement_trait, reason = "an iterator of results would go on behind an error")]
    pub fn next(&mut self) -> Result<Option<Record>, FormatError> {
        loop {
            for (part, record) in self.records.by_ref() {
                if record.version > self.version {
                    return Err(FormatError::Damaged { at: 0, what: "a record is younger than the cut".to_owned() });
                }
                let counts = match (part, self.changed.get(&key(&record))) {
                    (Part::Scan, changed) => changed.is_none(),
                    (Part::Change, last) => last == Some(&record.version),
                };
                if counts && record.tail.is_some() {
                    return Ok(Some(record));
                }
            }
            match self.pieces.next()? {
                Some(Piece::Records(part, records)) => {
                    let records: Vec<_> = records.into_iter().map(|record| (part, record)).collect();
                    self.records = records.into_iter();
                }
                Some(_) => {}
                None => return Ok(None),
            }
        }
    }
}

fn key(record: &Record) -> Key {
    let mut hash = Xxh3::new();
    hash.update(&record.cluster.to_be_bytes());
    hash.update(&record.resource.to_be_bytes());
    hash.update(record.namespace.as_bytes());
    // In no name.
    hash.update(&[0]);
    hash.update(record.name.as_bytes());
    hash.digest128()
}

/// The pieces of a file, from its beginning to its end.
struct Pieces<'a, F> {
    file: &'a mut F,
    reader: Reader,
    buffer: Vec<u8>,
}

impl<'a, F: Read + Seek> Pieces<'a, F> {
    fn new(file: &'a mut F) -> Result<Self, FormatError> {
        file.seek(SeekFrom::Start(0)).map_err(unreadable)?;
        Ok(Self { file, reader: Reader::default(), buffer: vec![0; AT_ONCE] })
    }

    fn next(&mut self) -> Result<Option<Piece>, FormatError> {
        loop {
            if let Some(piece) = self.reader.read()? {
                return Ok(Some(piece));
            }
            match self.file.read(&mut self.buffer).map_err(unreadable)? {
                0 => return self.reader.finish().map(|()| None),
                count => self.reader.push(&self.buffer[..count]),
            }
        }
    }
}

fn unreadable(error: std::io::Error) -> FormatError {
    FormatError::Unreadable(error.to_string())
}
