//! A key ring's text becomes keys: one that names the records, and those that seal and open them.

use std::fmt;
use std::sync::OnceLock;

use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use prometheus::IntCounter;
use zeroize::Zeroizing;

use super::header::{Header, LONGEST_ID, length};
use crate::finding::Complaint;

/// The id of the line whose key names the records.
const NAME: &str = "name";
/// What a key weighs, in bytes.
pub(super) const KEY: usize = 32;
/// What a seal adds to a payload, in bytes: the nonce, and what AES-256-GCM appends.
const SEALED: usize = NONCE_LEN + 16;
/// Tells two `name` keys apart without keeping them. Names never hash it: they begin with a length of eight bytes.
const FINGERPRINT: &[u8] = b"name?";

const REMEDY: &str =
    "write one key per line, `id:base64 of 32 bytes`; `tokend key-ring new` prints a ring, `tokend key-ring add` a further line";

/// Base64 with or without padding, in the standard alphabet.
const BASE64: GeneralPurpose =
    GeneralPurpose::new(&alphabet::STANDARD, GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent));

/// A key ring's contents. Its text is wiped when it is dropped; what stays are the keys that the cryptography made of it.
pub struct KeyRing {
    pub(super) naming: hmac::Key,
    fingerprint: hmac::Tag,
    /// The first one seals, all open.
    pub(super) keys: Vec<RingKey>,
}

/// One key that seals and opens.
pub(super) struct RingKey {
    pub(super) id: String,
    sealing: RandomizedNonceKey,
    /// Counts what it opened; made when it opens for the first time, so that later no label is looked up.
    pub(super) reads: OnceLock<IntCounter>,
}

// === impl KeyRing ===

impl KeyRing {
    /// Reads a key ring's text.
    ///
    /// # Errors
    /// A line is no key, or a key is missing; the line's number is told, never what stands there.
    pub fn parse(contents: &[u8]) -> Result<Self, Complaint> {
        let text = std::str::from_utf8(contents).map_err(|_| Complaint::new("the key ring is not UTF-8 text", REMEDY))?;
        let mut naming = None;
        let mut keys: Vec<RingKey> = Vec::new();
        for (number, line) in (1..).zip(text.trim_start_matches('\u{feff}').lines()) {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let problem = |what: &str| Complaint::new(format!("line {number} of the key ring {what}"), REMEDY);
            let (id, key) = line.split_once(':').ok_or_else(|| problem("has no `:` between an id and a key"))?;
            let (id, key) = (id.trim_end(), bytes(key.trim_start()).ok_or_else(|| problem("has no key of 32 bytes in base64"))?);
            if !is_id(id) {
                return Err(problem("has an id that is not 1 to 32 of the characters A-Z, a-z, 0-9, `.`, `_` and `-`"));
            }
            let same = if id == NAME { naming.is_some() } else { keys.iter().any(|key| key.id == id) };
            if same {
                return Err(problem("has the id of a line before it"));
            }
            if id == NAME {
                naming = Some(hmac::Key::new(hmac::HMAC_SHA256, key.as_slice()));
            } else {
                keys.push(RingKey::new(id, &key).ok_or_else(|| problem("has a key that cannot be used"))?);
            }
        }
        let naming = naming.ok_or_else(|| Complaint::new("the key ring has no line `name:…`", REMEDY))?;
        if keys.is_empty() {
            return Err(Complaint::new("the key ring has no key beside `name`", REMEDY));
        }
        Ok(Self { fingerprint: hmac::sign(&naming, FINGERPRINT), naming, keys })
    }

    /// Whether `new` may take the place of `old`: it has to name the records as before.
    pub(super) fn follows(old: &Self, new: &Self) -> Result<(), Complaint> {
        if old.fingerprint.as_ref() == new.fingerprint.as_ref() {
            return Ok(());
        }
        Err(Complaint::new(
            "the key ring's `name` key is not the one in force, and it is never rotated",
            "put the old `name` line back; or restart every replica with the new one, which forgets everything that is stored",
        ))
    }

    /// The key of an id.
    pub(super) fn find(&self, id: &[u8]) -> Option<&RingKey> {
        self.keys.iter().find(|key| key.id.as_bytes() == id)
    }
}

impl fmt::Debug for KeyRing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.keys.iter().map(|key| &key.id)).finish()
    }
}

pub(super) fn is_id(id: &str) -> bool {
    (1..=LONGEST_ID).contains(&id.len())
        && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-'))
}

fn bytes(text: &str) -> Option<Zeroizing<Vec<u8>>> {
    BASE64.decode(text).ok().map(Zeroizing::new).filter(|key| key.len() == KEY)
}

// === impl RingKey ===

impl RingKey {
    pub(super) fn new(id: &str, key: &[u8]) -> Option<Self> {
        let sealing = RandomizedNonceKey::new(&AES_256_GCM, key).ok()?;
        Some(Self { id: id.to_owned(), sealing, reads: OnceLock::new() })
    }

    /// A record for a name, with its header.
    pub(super) fn seal_record(&self, name: &str, generation: u64, version: u8, payload: &[u8]) -> Option<Vec<u8>> {
        let out = Header::write(generation, version, &self.id, payload.len() + SEALED)?;
        self.seal(name, out, payload)
    }

    /// Adds nonce, ciphertext and tag to the header that `out` holds.
    fn seal(&self, key: &str, mut out: Vec<u8>, payload: &[u8]) -> Option<Vec<u8>> {
        let aad = Aad::from(associated(key, &out));
        let nonce_at = out.len();
        out.extend_from_slice(&[0; NONCE_LEN]);
        out.extend_from_slice(payload);
        let (nonce, tag) = self.sealing.seal_in_place_separate_tag(aad, out.get_mut(nonce_at + NONCE_LEN..)?).ok()?;
        out.get_mut(nonce_at..nonce_at + NONCE_LEN)?.copy_from_slice(nonce.as_ref());
        out.extend_from_slice(tag.as_ref());
        Some(out)
    }

    /// The payload of `body`, which follows `header`: nonce, ciphertext and tag.
    pub(super) fn open(&self, key: &str, header: &[u8], body: &[u8]) -> Option<Vec<u8>> {
        let (nonce, sealed) = body.split_at_checked(NONCE_LEN)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
        let mut payload = sealed.to_vec();
        let length = self.sealing.open_in_place(nonce, Aad::from(associated(key, header)), &mut payload).ok()?.len();
        payload.truncate(length);
        Some(payload)
    }
}

/// What a sealed value is tied to: its name in Redis, whose length stands before it, and its header.
fn associated(key: &str, header: &[u8]) -> Vec<u8> {
    let mut data = Vec::with_capacity(8 + key.len() + header.len());
    data.extend_from_slice(&length(key.as_bytes()));
    data.extend_from_slice(key.as_bytes());
    data.extend_from_slice(header);
    data
}
