//! Protobuf's wire format: tags, varints and lengths, with the byte of the body where it broke.

use super::Malformed;

/// How a field's value is framed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wire {
    Varint,
    Fixed64,
    Length,
    /// A group, which only unknown fields can be.
    Start,
    End,
    Fixed32,
}

/// A part of a body, read from the front.
#[derive(Clone, Copy, Default)]
pub(super) struct Reader<'b> {
    /// The whole body, so that errors count bytes from its start.
    body: &'b [u8],
    at: usize,
    /// Never past the end of `body`, nor before `at`.
    end: usize,
}

impl<'b> Reader<'b> {
    /// All of a body but its first bytes.
    pub(super) fn new(body: &'b [u8], start: usize) -> Self {
        Self { body, at: start.min(body.len()), end: body.len() }
    }

    /// Something wrong with what was read last.
    pub(super) fn error(&self, what: &str) -> Malformed {
        Malformed::at(what, self.at)
    }

    pub(super) fn wrong(&self, wire: Wire, field: &str) -> Malformed {
        self.error(&format!("wrong wire type {wire:?} for field {field:?}"))
    }

    /// Whatever is left.
    pub(super) fn rest(&self) -> &'b [u8] {
        &self.body[self.at..self.end]
    }

    /// Bytes of the body before what is read next.
    pub(super) fn position(&self) -> usize {
        self.at
    }

    pub(super) fn is_empty(&self) -> bool {
        self.at == self.end
    }

    /// The next field's number and framing; `None` at the end.
    pub(super) fn tag(&mut self) -> Result<Option<(u32, Wire)>, Malformed> {
        if self.is_empty() {
            return Ok(None);
        }
        let tag = self.varint()?;
        let wire = match tag & 7 {
            0 => Wire::Varint,
            1 => Wire::Fixed64,
            2 => Wire::Length,
            3 => Wire::Start,
            4 => Wire::End,
            5 => Wire::Fixed32,
            other => return Err(self.error(&format!("illegal wire type {other}"))),
        };
        match u32::try_from(tag >> 3) {
            Ok(number @ 1..=0x1fff_ffff) => Ok(Some((number, wire))),
            _ => Err(self.error("illegal field number")),
        }
    }

    pub(super) fn varint(&mut self) -> Result<u64, Malformed> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let [byte] = self.array()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(self.error("a varint has more than ten bytes"))
    }

    pub(super) fn fixed64(&mut self) -> Result<u64, Malformed> {
        self.array().map(u64::from_le_bytes)
    }

    /// What lies behind a length.
    pub(super) fn within(&mut self) -> Result<Reader<'b>, Malformed> {
        let length = self.varint()?;
        let start = self.at;
        let length = usize::try_from(length).ok().filter(|length| *length <= self.end - start);
        self.at += length.ok_or_else(|| self.short())?;
        Ok(Self { body: self.body, at: start, end: self.at })
    }

    pub(super) fn text(&mut self) -> Result<&'b str, Malformed> {
        let part = self.within()?;
        std::str::from_utf8(part.rest()).map_err(|error| Malformed::at("invalid UTF-8", part.at + error.valid_up_to()))
    }

    /// Steps over a value of a field that nobody knows.
    pub(super) fn skip(&mut self, wire: Wire) -> Result<(), Malformed> {
        let mut groups = self.step(wire)?;
        while groups > 0 {
            let Some((_, wire)) = self.tag()? else { return Err(self.short()) };
            groups += self.step(wire)?;
        }
        if groups < 0 { Err(self.error("a group ends that never started")) } else { Ok(()) }
    }

    /// Steps over one value; by how much deeper in groups it is then.
    fn step(&mut self, wire: Wire) -> Result<isize, Malformed> {
        match wire {
            Wire::Varint => self.varint().map(|_| 0),
            Wire::Fixed64 => self.array::<8>().map(|_| 0),
            Wire::Fixed32 => self.array::<4>().map(|_| 0),
            Wire::Length => self.within().map(|_| 0),
            Wire::Start => Ok(1),
            Wire::End => Ok(-1),
        }
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let bytes = self.rest().first_chunk::<N>().ok_or_else(|| self.short())?;
        self.at += N;
        Ok(*bytes)
    }

    fn short(&self) -> Malformed {
        Malformed::at("unexpected EOF", self.end)
    }
}
