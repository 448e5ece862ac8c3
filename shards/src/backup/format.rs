//! The bytes of a backup.
//!
//! | what | how |
//! |---|---|
//! | magic, format | `SHPBKUP` and a newline; 4 bytes |
//! | block | kind (1 byte), number (4), length (4), payload, XXH3-64 of all of these (8) |
//! | digest | XXH3-128 of everything before it (16) |
//!
//! Numbers are big endian. Blocks are numbered from 0 on: a header (JSON), blocks of scanned records and of changes in any
//! order, a trailer (JSON); nothing follows the digest. So a file that was cut says so, and one flipped bit is noticed before its
//! block is used. In place of all that is left a block may say why whoever wrote could not go on.
//!
//! A record is one object: how (1: this is its state; 2: it is gone), cluster (2), resource (2), version (8), lengths of
//! namespace (2), name (2) and object (4), then these three. Cluster and resource count in the header's lists.

use api::Version;
use bytes::{Buf, BufMut, Bytes, BytesMut};
use serde::{Deserialize, Serialize};
use smol_str::SmolStr;
use xxhash_rust::xxh3::{Xxh3, xxh3_64};

/// What every backup begins with.
const MAGIC: &[u8; 8] = b"SHPBKUP\n";
/// The format that this program writes, and the newest that it reads.
const FORMAT: u32 = 1;
/// A block is closed when it is as large.
const BLOCK: usize = 256 << 10;
/// No block is larger: an object of 3 MiB fits on top of an almost full one.
const LARGEST: usize = 8 << 20;
/// Kind, number and length.
const HEAD: usize = 9;
const CHECK: usize = 8;
const DIGEST: usize = 16;
/// A record without its texts.
const RECORD: usize = 21;

/// What is known when a backup begins.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Header {
    /// Who wrote it: `shardplane 0.1.0`.
    pub program: String,
    /// When it began, RFC 3339.
    pub began: String,
    /// Where the ClusterIPs in it come from.
    pub service_cidr: String,
    /// The logical clusters that it holds.
    pub clusters: Vec<Origin>,
    /// Stored identities of the kinds that records count in: `pods`, `deployments.apps`.
    pub resources: Vec<String>,
}

/// A logical cluster that was backed up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Origin {
    /// As paths say it.
    pub name: SmolStr,
    /// As keys have it.
    pub id: SmolStr,
}

/// What is known when a backup is through.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Trailer {
    /// The cut: the backup holds the state at this version.
    pub version: u64,
    /// When that was, RFC 3339.
    pub ended: String,
    /// How many objects there were at the cut, counted apart from the records.
    pub counts: Vec<Count>,
}

impl Trailer {
    /// The version of the cut.
    pub fn version(&self) -> Version {
        Version(self.version)
    }
}

/// Objects of one kind in one cluster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Count {
    /// Position in the header's clusters.
    pub cluster: u16,
    /// Position in the header's resources.
    pub resource: u16,
    /// How many; absent where what there was at the cut could not be counted any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub objects: Option<u64>,
}

/// Which part of a backup a record stands in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// As it was found, at some moment while the backup ran.
    Scan,
    /// As it was made while the backup ran: it counts instead of what was found, and the youngest one counts.
    Change,
}

/// One object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Position in the header's clusters.
    pub cluster: u16,
    /// Position in the header's resources.
    pub resource: u16,
    /// Empty for cluster-scoped kinds.
    pub namespace: SmolStr,
    /// metadata.name
    pub name: SmolStr,
    /// metadata.resourceVersion, or that of the deletion.
    pub version: Version,
    /// [`api::Object::stored`]; `None`: it is gone.
    pub tail: Option<Bytes>,
}

/// Why a backup is not used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FormatError {
    /// It begins with something else.
    #[error("this is no backup of Shardplane: it does not begin like one")]
    Foreign,
    /// A newer program wrote it.
    #[error("the backup is of format {0}, and this program reads format {FORMAT}")]
    Newer(u32),
    /// It ends too early.
    #[error("the backup is cut off: it ends after {0} bytes, before its end")]
    CutOff(u64),
    /// A checksum is wrong, or what it covers makes no sense.
    #[error("the backup is damaged: {what} (in the block that begins at byte {at})")]
    Damaged {
        /// Where the block begins.
        at: u64,
        /// What is wrong.
        what: String,
    },
    /// Whoever wrote it could not go on.
    #[error("the backup was given up: {0}")]
    GivenUp(String),
    /// The file cannot be read.
    #[error("the backup cannot be read: {0}")]
    Unreadable(String),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Header = 1,
    Scan = 2,
    Change = 3,
    Trailer = 4,
    GivenUp = 5,
}

impl From<Part> for Kind {
    fn from(part: Part) -> Self {
        match part {
            Part::Scan => Self::Scan,
            Part::Change => Self::Change,
        }
    }
}

/// Writes a backup, piece by piece.
pub struct Writer {
    hash: Xxh3,
    number: u32,
    part: Part,
    payload: BytesMut,
}

impl Writer {
    /// Begins one; answers its first bytes.
    pub fn begin(header: &Header) -> (Self, Bytes) {
        let mut writer = Self { hash: Xxh3::new(), number: 0, part: Part::Scan, payload: BytesMut::new() };
        let mut start = BytesMut::from(&MAGIC[..]);
        start.put_u32(FORMAT);
        writer.hash.update(&start);
        start.extend_from_slice(&writer.block(Kind::Header, &json(header)));
        (writer, start.freeze())
    }

    /// Adds a record; answers a block once one is full.
    pub fn add(&mut self, part: Part, record: &Record) -> Option<Bytes> {
        let before = if part == self.part { None } else { self.flush() };
        self.part = part;
        put(&mut self.payload, record);
        let full = if self.payload.len() >= BLOCK { self.flush() } else { None };
        match (before, full) {
            (Some(before), Some(full)) => Some([before, full].concat().into()),
            (before, full) => before.or(full),
        }
    }

    /// Bytes that wait for their block to be full.
    pub fn pending(&self) -> usize {
        self.payload.len()
    }

    /// Ends it; answers its last bytes.
    pub fn finish(mut self, trailer: &Trailer) -> Bytes {
        let mut end = BytesMut::from(&self.flush().unwrap_or_default()[..]);
        end.extend_from_slice(&self.block(Kind::Trailer, &json(trailer)));
        end.put_u128(self.hash.digest128());
        end.freeze()
    }

    /// Ends it where it is, and says why.
    pub fn give_up(mut self, why: &str) -> Bytes {
        self.block(Kind::GivenUp, why.as_bytes())
    }

    fn flush(&mut self) -> Option<Bytes> {
        let payload = self.payload.split();
        (!payload.is_empty()).then(|| self.block(self.part.into(), &payload))
    }

    fn block(&mut self, kind: Kind, payload: &[u8]) -> Bytes {
        let mut block = BytesMut::with_capacity(HEAD + payload.len() + CHECK);
        block.put_u8(kind as u8);
        block.put_u32(self.number);
        block.put_u32(u32::try_from(payload.len()).expect("blocks are far smaller"));
        block.put_slice(payload);
        block.put_u64(xxh3_64(&block));
        self.number += 1;
        self.hash.update(&block);
        block.freeze()
    }
}

fn json(value: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(value).expect("plain text and numbers are JSON")
}

fn put(payload: &mut BytesMut, record: &Record) {
    let tail: &[u8] = record.tail.as_deref().unwrap_or_default();
    payload.put_u8(if record.tail.is_some() { 1 } else { 2 });
    payload.put_u16(record.cluster);
    payload.put_u16(record.resource);
    payload.put_u64(record.version.0);
    payload.put_u16(u16::try_from(record.namespace.len()).expect("names are shorter than a key may be"));
    payload.put_u16(u16::try_from(record.name.len()).expect("names are shorter than a key may be"));
    payload.put_u32(u32::try_from(tail.len()).expect("objects are far smaller"));
    payload.put_slice(record.namespace.as_bytes());
    payload.put_slice(record.name.as_bytes());
    payload.put_slice(tail);
}

/// What comes out of a backup.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    /// First.
    Header(Header),
    /// Any number of times.
    Records(Part, Vec<Record>),
    /// Last; it is only believed once [`Reader::finish`] has said that the digest is right.
    Trailer(Trailer),
}

/// Where a reader is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Magic,
    Header,
    Records,
    Digest,
    End,
}

/// Reads a backup, however its bytes come.
pub struct Reader {
    buffer: BytesMut,
    /// Bytes before `buffer`.
    at: u64,
    hash: Xxh3,
    number: u32,
    place: Place,
    /// How many clusters and resources the header names.
    known: (usize, usize),
}

impl Default for Reader {
    fn default() -> Self {
        let (buffer, hash) = (BytesMut::new(), Xxh3::new());
        Self { buffer, at: 0, hash, number: 0, place: Place::Magic, known: (0, 0) }
    }
}

impl Reader {
    /// More bytes have come.
    pub fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// The next piece; `None`: more bytes are needed, or everything was read.
    pub fn read(&mut self) -> Result<Option<Piece>, FormatError> {
        if self.place == Place::Magic && !self.magic()? {
            return Ok(None);
        }
        match self.place {
            Place::Digest => self.digest().map(|()| None),
            Place::End if !self.buffer.is_empty() => Err(self.damaged("something follows its end")),
            Place::End => Ok(None),
            _ => self.block(),
        }
    }

    /// No more bytes will come: whether that was everything.
    pub fn finish(&self) -> Result<(), FormatError> {
        match self.place {
            Place::End if self.buffer.is_empty() => Ok(()),
            Place::End => Err(self.damaged("something follows its end")),
            Place::Magic if !MAGIC.starts_with(&self.buffer[..self.buffer.len().min(MAGIC.len())]) => {
                Err(FormatError::Foreign)
            }
            _ => Err(FormatError::CutOff(self.at + self.buffer.len() as u64)),
        }
    }

    fn damaged(&self, what: impl Into<String>) -> FormatError {
        FormatError::Damaged { at: self.at, what: what.into() }
    }

    /// Takes bytes that are right off the buffer.
    fn take(&mut self, length: usize) -> Bytes {
        let taken = self.buffer.split_to(length).freeze();
        self.at += length as u64;
        self.hash.update(&taken);
        taken
    }

    fn magic(&mut self) -> Result<bool, FormatError> {
        let have = &self.buffer[..self.buffer.len().min(MAGIC.len())];
        if !MAGIC.starts_with(have) {
            return Err(FormatError::Foreign);
        }
        let Some(mut format) = self.buffer.get(MAGIC.len()..MAGIC.len() + 4) else { return Ok(false) };
        match format.get_u32() {
            FORMAT => {}
            newer => return Err(FormatError::Newer(newer)),
        }
        self.take(MAGIC.len() + 4);
        self.place = Place::Header;
        Ok(true)
    }

    fn block(&mut self) -> Result<Option<Piece>, FormatError> {
        let Some(mut head) = self.buffer.get(..HEAD) else { return Ok(None) };
        let (kind, number, length) = (head.get_u8(), head.get_u32(), head.get_u32() as usize);
        if length > LARGEST {
            return Err(self.damaged(format!("it would have {length} bytes")));
        }
        let Some(mut check) = self.buffer.get(HEAD + length..HEAD + length + CHECK) else { return Ok(None) };
        if check.get_u64() != xxh3_64(&self.buffer[..HEAD + length]) {
            return Err(self.damaged("its checksum is wrong"));
        }
        if number != self.number {
            return Err(self.damaged(format!("block {number} stands where block {} belongs", self.number)));
        }
        let payload = self.buffer[HEAD..HEAD + length].to_vec().into();
        let piece = self.piece(kind, payload)?;
        self.number += 1;
        self.take(HEAD + length + CHECK);
        Ok(Some(piece))
    }

    fn piece(&mut self, kind: u8, payload: Bytes) -> Result<Piece, FormatError> {
        let misread = |error: serde_json::Error| self.damaged(error.to_string());
        let (place, piece) = match (kind, self.place) {
            (kind, _) if kind == Kind::GivenUp as u8 => {
                return Err(FormatError::GivenUp(String::from_utf8_lossy(&payload).into_owned()));
            }
            (kind, Place::Header) if kind == Kind::Header as u8 => {
                let header: Header = serde_json::from_slice(&payload).map_err(misread)?;
                self.known = (header.clusters.len(), header.resources.len());
                (Place::Records, Piece::Header(header))
            }
            (kind, Place::Records) if kind == Kind::Scan as u8 => {
                (self.place, Piece::Records(Part::Scan, self.records(payload)?))
            }
            (kind, Place::Records) if kind == Kind::Change as u8 => {
                (self.place, Piece::Records(Part::Change, self.records(payload)?))
            }
            (kind, Place::Records) if kind == Kind::Trailer as u8 => {
                (Place::Digest, Piece::Trailer(serde_json::from_slice(&payload).map_err(misread)?))
            }
            _ => return Err(self.damaged(format!("a block of kind {kind} does not belong there"))),
        };
        self.place = place;
        Ok(piece)
    }

    fn records(&self, mut payload: Bytes) -> Result<Vec<Record>, FormatError> {
        let mut records = Vec::new();
        while !payload.is_empty() {
            let record = record(&mut payload).ok_or_else(|| self.damaged("a record is longer than its block"))?;
            if usize::from(record.cluster) >= self.known.0 || usize::from(record.resource) >= self.known.1 {
                return Err(self.damaged("a record is of a cluster or kind that the header does not name"));
            }
            records.push(record);
        }
        Ok(records)
    }

    fn digest(&mut self) -> Result<(), FormatError> {
        let Some(mut digest) = self.buffer.get(..DIGEST) else { return Ok(()) };
        if digest.get_u128() != self.hash.digest128() {
            return Err(self.damaged("the checksum of the whole is wrong"));
        }
        self.take(DIGEST);
        self.place = Place::End;
        if self.buffer.is_empty() { Ok(()) } else { Err(self.damaged("something follows its end")) }
    }
}

fn record(payload: &mut Bytes) -> Option<Record> {
    if payload.len() < RECORD {
        return None;
    }
    let present = match payload.get_u8() {
        1 => true,
        2 => false,
        _ => return None,
    };
    let (cluster, resource, version) = (payload.get_u16(), payload.get_u16(), Version(payload.get_u64()));
    let lengths = [usize::from(payload.get_u16()), usize::from(payload.get_u16()), payload.get_u32() as usize];
    if lengths.iter().sum::<usize>() > payload.len() || present == (lengths[2] == 0) {
        return None;
    }
    let mut text = |length| std::str::from_utf8(&payload.split_to(length)).ok().map(SmolStr::new);
    let (namespace, name) = (text(lengths[0])?, text(lengths[1])?);
    let tail = payload.split_to(lengths[2]);
    Some(Record { cluster, resource, namespace, name, version, tail: present.then_some(tail) })
}
