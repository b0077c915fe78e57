//! A key that is in no ring.

use std::fmt;

use zeroize::Zeroizing;

use super::header::Header;
use super::keys::{KEY, RingKey, is_id};
use super::opened::{Opened, Unreadable};

/// A key that is in no ring: it seals and opens what has to be sealed where records are not.
pub(in crate::store) struct LoneKey {
    key: RingKey,
    /// What a store that others read keeps of it; wiped when it is dropped.
    bytes: Zeroizing<[u8; KEY]>,
}

// === impl LoneKey ===

impl LoneKey {
    /// A key of these bytes under an id; `None` if that is no id.
    pub(in crate::store) fn new(id: &str, bytes: [u8; KEY]) -> Option<Self> {
        let bytes = Zeroizing::new(bytes);
        let key = RingKey::new(id, bytes.as_slice()).filter(|_| is_id(id))?;
        Some(Self { key, bytes })
    }

    /// Its id.
    pub(in crate::store) fn id(&self) -> &str {
        &self.key.id
    }

    /// Its bytes: a secret.
    pub(in crate::store) fn bytes(&self) -> &[u8; KEY] {
        &self.bytes
    }

    /// As [`super::Ring::seal`].
    pub(in crate::store) fn seal(&self, name: &str, generation: u64, version: u8, payload: &[u8]) -> Option<Vec<u8>> {
        self.key.seal_record(name, generation, version, payload)
    }

    /// Opens what one of these keys has sealed for the name, in this version.
    ///
    /// # Errors
    /// As for [`super::Ring::open`].
    pub(in crate::store) fn open<'a>(
        mut keys: impl Iterator<Item = &'a Self>,
        (name, value): (&str, &[u8]),
        version: u8,
    ) -> Result<Opened, Unreadable> {
        let header = Header::read(value).filter(|header| !header.kid.is_empty()).ok_or(Unreadable::Garbage)?;
        if header.version != version {
            return Err(if header.version > version { Unreadable::Newer } else { Unreadable::Garbage });
        }
        let (head, body) = value.split_at_checked(header.length).ok_or(Unreadable::Garbage)?;
        let sealing = keys.find(|lone| lone.key.id.as_bytes() == header.kid).ok_or(Unreadable::UnknownKey)?;
        let payload = sealing.key.open(name, head, body).ok_or(Unreadable::Garbage)?;
        Ok(Opened { generation: header.generation, version: header.version, payload: payload.into() })
    }
}

impl fmt::Debug for LoneKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("LoneKey").field(&self.key.id).finish()
    }
}
