//! An object in two parts, for whoever hands it to a process that trusts the sender: nobody has to parse JSON again.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use smol_str::SmolStr;

use super::{Damaged, Object, mark_of};
use crate::version::Version;

impl Object {
    /// What [`Object::load`] reads out of the stored form: name, version, labels and selectable fields. Of use beside it, and
    /// only where resources have the same selectable fields.
    pub fn index(&self) -> Bytes {
        let texts = self.labels.iter().map(|(key, value)| key.len() + value.len() + 4).sum::<usize>();
        let fields = self.fields.iter().map(|field| field.len() + 2).sum::<usize>();
        let mut index = BytesMut::with_capacity(24 + self.namespace.len() + self.name.len() + texts + fields);
        index.put_u64(self.version.0);
        index.put_u32(self.version_at);
        put_text(&mut index, &self.namespace);
        put_text(&mut index, &self.name);
        put_length(&mut index, self.labels.len());
        for (key, value) in &self.labels {
            put_text(&mut index, key);
            put_text(&mut index, value);
        }
        put_length(&mut index, self.fields.len());
        for field in &self.fields {
            put_text(&mut index, field);
        }
        index.freeze()
    }

    /// The object of which another process has sent [`Object::index`] and [`Object::stored`]. That they belong together is
    /// believed, but for the version; what would break later use is [`Damaged`].
    pub fn of_parts(mut index: Bytes, stored: Bytes) -> Result<Self, Damaged> {
        read(&mut index, stored).ok_or_else(|| Damaged("its index does not fit it".to_owned()))
    }
}

fn read(index: &mut Bytes, stored: Bytes) -> Option<Object> {
    let version = Version(index.try_get_u64().ok()?);
    let version_at = index.try_get_u32().ok()?;
    let mut digits = itoa::Buffer::new();
    let digits = digits.format(version.0).as_bytes();
    let stands = stored.get(version_at as usize..)?;
    if !stands.starts_with(digits) || stands.get(digits.len()) != Some(&b'"') {
        return None;
    }
    let (namespace, name) = (text(index)?, text(index)?);
    let count = length(index)?;
    let labels = (0..count).map(|_| Some((text(index)?, text(index)?))).collect::<Option<_>>()?;
    let count = length(index)?;
    let fields = (0..count).map(|_| text(index)).collect::<Option<_>>()?;
    let tail_at = mark_of(&stored)?;
    Some(Object { namespace, name, version, labels, fields, version_at, tail_at, stored })
}

/// One byte for lengths below 255, five for others.
fn put_length(index: &mut BytesMut, length: usize) {
    match u8::try_from(length) {
        Ok(short) if short < u8::MAX => index.put_u8(short),
        _ => {
            index.put_u8(u8::MAX);
            index.put_u32(length as u32);
        }
    }
}

fn length(index: &mut Bytes) -> Option<usize> {
    let length = match index.try_get_u8().ok()? {
        u8::MAX => index.try_get_u32().ok()? as usize,
        short => usize::from(short),
    };
    // Each thing that is counted takes a byte at least.
    (length <= index.len()).then_some(length)
}

fn put_text(index: &mut BytesMut, text: &str) {
    put_length(index, text.len());
    index.put_slice(text.as_bytes());
}

fn text(index: &mut Bytes) -> Option<SmolStr> {
    let length = length(index)?;
    let text = std::str::from_utf8(index.get(..length)?).ok().map(SmolStr::new);
    index.advance(length);
    text
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::Draft;
    use super::*;
    use crate::builtin::{RuntimeConfig, registry};

    fn pod() -> Object {
        let registry = registry(&RuntimeConfig::default());
        let pods = registry.named("pods").unwrap();
        let long = "x".repeat(300);
        let document = json!({
            "metadata": {"name": "a", "namespace": "b", "labels": {"app": "web", "tier": long}},
            "spec": {"nodeName": "node-1"},
        });
        Draft::new(pods, &document).seal(Version(1234))
    }

    #[test]
    fn an_object_is_the_same_after_the_way() {
        let pod = pod();
        let again = Object::of_parts(pod.index(), pod.stored().clone()).unwrap();
        assert_eq!(format!("{again:?}"), format!("{pod:?}"));
        let later = Version(99_999);
        assert_eq!(again.at_version(later).tail(), pod.at_version(later).tail());
    }

    #[test]
    fn what_does_not_fit_is_damaged() {
        let pod = pod();
        let (index, tail) = (pod.index(), pod.stored().clone());
        for length in 0..index.len() {
            assert!(Object::of_parts(index.slice(..length), tail.clone()).is_err(), "cut at {length}");
        }
        assert!(Object::of_parts(index.clone(), tail.slice(1..)).is_err());
        assert!(Object::of_parts(index, pod.at_version(Version(12345)).stored().clone()).is_err());
    }
}
