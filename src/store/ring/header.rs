//! What stands before a sealed record: readable without a key, because scripts in Redis compare the generation, and bound to the
//! record by its seal.

/// The longest key id, in bytes.
pub(super) const LONGEST_ID: usize = 32;
/// The generation: sixteen hexadecimal digits, which a script in Redis compares.
const GENERATION: usize = 16;
/// The generation, the version, and the length of the key id.
const FIXED: usize = GENERATION + 2;

/// A header that was read.
pub(super) struct Header<'a> {
    pub(super) generation: u64,
    pub(super) version: u8,
    /// Empty: the record is not sealed.
    pub(super) kid: &'a [u8],
    /// The header's length in bytes.
    pub(super) length: usize,
}

// === impl Header ===

impl<'a> Header<'a> {
    /// Reads the header; `None` if there is none.
    pub(super) fn read(value: &'a [u8]) -> Option<Self> {
        let (fixed, rest) = value.split_at_checked(FIXED)?;
        let generation = Self::generation(fixed)?;
        let (_, [version, kid]) = fixed.split_at_checked(GENERATION)? else { return None };
        let kid = rest.get(..usize::from(*kid)).filter(|kid| kid.len() <= LONGEST_ID)?;
        (*version > 0).then_some(Self { generation, version: *version, kid, length: FIXED + kid.len() })
    }

    /// The generation alone, as the scripts in Redis see it: whatever follows, these digits are what a store is compared with.
    pub(super) fn generation(value: &[u8]) -> Option<u64> {
        let (digits, _) = value.split_at_checked(GENERATION)?;
        // `from_str_radix` takes a sign and capitals too, which nobody writes.
        let is_digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        let digits = std::str::from_utf8(digits).ok().filter(|digits| digits.bytes().all(is_digit))?;
        u64::from_str_radix(digits, 16).ok()
    }

    /// Writes a header with room for `more` bytes after it; `None` if no header reads like that.
    pub(super) fn write(generation: u64, version: u8, kid: &str, more: usize) -> Option<Vec<u8>> {
        let length = u8::try_from(kid.len()).ok().filter(|_| version > 0 && kid.len() <= LONGEST_ID)?;
        let mut out = Vec::with_capacity(FIXED + kid.len() + more);
        out.extend_from_slice(format!("{generation:016x}").as_bytes());
        out.extend_from_slice(&[version, length]);
        out.extend_from_slice(kid.as_bytes());
        Some(out)
    }
}

/// A member's length, which stands before it wherever several members are hashed.
pub(super) fn length(member: &[u8]) -> [u8; 8] {
    u64::try_from(member.len()).unwrap_or(u64::MAX).to_be_bytes()
}
