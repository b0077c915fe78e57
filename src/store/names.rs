//! What things are called in Redis: keyed hashes, so that nobody reads a user, an app or a scope in a key, and hash tags, so that
//! all that belongs to one partition stands in one slot.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::ring::Ring;
use super::settings::Versions;
use crate::token::{FlightKey, HoldKey, Partition, SpaceId, Variant};

/// How many bytes of a hash stand in a name: enough that no two things ever meet, and what is sealed is compared all the same.
const SHORT: usize = 16;
/// How many bytes of a hash stand for a scope in an index.
const TAG: usize = 8;
/// Sets that share the accounts of one app, so that none of them is hot or huge.
pub const SHARDS: u8 = 64;

/// Makes names.
#[derive(Clone, Debug)]
pub struct Names {
    prefix: String,
    ring: Ring,
    /// What tells the names of one version from those of another: see [`Versions`].
    salt: &'static [u8],
}

/// Names in one partition's slot.
#[derive(Clone, Debug)]
pub struct SlotNames<'a> {
    names: &'a Names,
    tag: String,
}

/// A token as the index of its partition lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IndexEntry([u8; SHORT]);

// === impl Names ===

impl Names {
    /// Names that begin with `prefix`, hashed under the ring's `name` key, as the version `written` has them; and those of the
    /// other versions that a release knows, the newest first; and all of them, the oldest first.
    pub fn of(prefix: &str, ring: &Ring, versions: Versions, written: u8) -> (Self, Vec<Self>, Vec<Self>) {
        let names = |salt| Self { prefix: prefix.to_owned(), ring: ring.clone(), salt };
        let own = versions.naming(written);
        let others = versions.namings().into_iter().filter(|salt| *salt != own).map(names).collect();
        (names(own), others, versions.namings().into_iter().rev().map(names).collect())
    }

    /// The slot of a partition.
    pub fn place(&self, partition: &Partition) -> SlotNames<'_> {
        SlotNames { names: self, tag: short(&self.hash(&[b"partition", partition])) }
    }

    /// The slot of what one app remembers of failures.
    pub fn holds(&self, space: &SpaceId) -> SlotNames<'_> {
        SlotNames { names: self, tag: short(&self.hash(&[b"holds", space])) }
    }

    /// One of the sets that list an app's accounts.
    pub fn shard(&self, space: &SpaceId, shard: u8) -> String {
        let tag = short(&self.hash(&[b"accounts", space, &[shard]]));
        format!("{}:{{{tag}}}:s", self.prefix)
    }

    /// The set that lists an account, and the member that stands for it there.
    pub fn listed(&self, space: &SpaceId, partition: &Partition) -> (String, Vec<u8>) {
        let tag: [u8; SHORT] = cut(&self.hash(&[b"partition", partition]));
        (self.shard(space, tag[0] % SHARDS), tag.to_vec())
    }

    /// The slot of the partition that such a member stands for.
    pub fn tagged(&self, member: &[u8]) -> SlotNames<'_> {
        SlotNames { names: self, tag: URL_SAFE_NO_PAD.encode(member) }
    }

    /// What sealed messages are bound to.
    pub fn events(&self) -> String {
        format!("{}:events", self.prefix)
    }

    /// The key of refresh handles, where there is no key ring.
    pub fn handle_key(&self) -> String {
        format!("{}:k", self.prefix)
    }

    /// The entry of a token in the index of its partition.
    pub fn entry(&self, variant: &Variant, asked: &str) -> IndexEntry {
        IndexEntry(cut(&self.hash(&[b"token", variant, asked.as_bytes()])))
    }

    /// The member that stands for a token in the index: its entry, its variant, and each scope that it is good for besides.
    pub fn member(&self, entry: &IndexEntry, variant: &Variant, granted: &str) -> Vec<u8> {
        let mut member = entry.0.to_vec();
        member.extend_from_slice(&self.variant(variant));
        for scope in granted.split(' ').filter(|scope| !scope.is_empty()) {
            member.extend_from_slice(&self.scope(scope));
        }
        member
    }

    /// The entries of those members whose tokens are good for all that is asked, in their order.
    pub fn covering<'m>(
        &self,
        members: &'m [bytes::Bytes],
        variant: &Variant,
        asked: &str,
    ) -> impl Iterator<Item = IndexEntry> + 'm {
        let variant = self.variant(variant);
        let wanted: Vec<_> = asked.split(' ').filter(|scope| !scope.is_empty()).map(|scope| self.scope(scope)).collect();
        members.iter().filter_map(move |member| {
            let (entry, rest) = member.split_first_chunk::<SHORT>()?;
            let (kind, scopes) = rest.split_first_chunk::<TAG>()?;
            let covers = |scope: &[u8; TAG]| scopes.chunks_exact(TAG).any(|granted| granted == scope);
            (*kind == variant && wanted.iter().all(covers)).then_some(IndexEntry(*entry))
        })
    }

    fn hash(&self, members: &[&[u8]]) -> [u8; 32] {
        if self.salt.is_empty() { self.ring.name(members) } else { self.ring.name(&[members, &[self.salt]].concat()) }
    }

    fn variant(&self, variant: &Variant) -> [u8; TAG] {
        cut(&self.hash(&[b"variant", variant]))
    }

    fn scope(&self, scope: &str) -> [u8; TAG] {
        cut(&self.hash(&[b"scope", scope.as_bytes()]))
    }
}

// === impl SlotNames ===

impl SlotNames<'_> {
    /// A token.
    pub fn token(&self, entry: &IndexEntry) -> String {
        self.named(&format!("t:{}", URL_SAFE_NO_PAD.encode(entry.0)))
    }

    /// The tokens that members of the index stand for.
    pub fn tokens<'m>(&'m self, members: &'m [bytes::Bytes]) -> impl Iterator<Item = String> + 'm {
        members.iter().filter_map(|member| Some(self.token(&IndexEntry(*member.first_chunk::<SHORT>()?))))
    }

    /// The index of the tokens.
    pub fn index(&self) -> String {
        self.named("i")
    }

    /// The account's epoch.
    pub fn epoch(&self) -> String {
        self.named("e")
    }

    /// The account's sign-in.
    pub fn sign_in(&self) -> String {
        self.named("a")
    }

    /// Where else tokens of this account are.
    pub fn elsewhere(&self) -> String {
        self.named("g")
    }

    /// The lease of one flight.
    pub fn lease(&self, flight: &FlightKey) -> String {
        self.named(&format!("l:{}", self.hashed(b"lease", flight)))
    }

    /// What came of one flight.
    pub fn outcome(&self, flight: &FlightKey) -> String {
        self.named(&format!("o:{}", self.hashed(b"outcome", flight)))
    }

    /// A remembered failure.
    pub fn hold(&self, key: &HoldKey) -> String {
        self.named(&format!("h:{}", self.hashed(b"hold", key)))
    }

    /// The attempts that are counted under one key.
    pub fn attempts(&self, key: &HoldKey) -> String {
        self.named(&format!("w:{}", self.hashed(b"attempts", key)))
    }

    fn hashed(&self, kind: &[u8], key: &[u8]) -> String {
        short(&self.names.hash(&[kind, key]))
    }

    fn named(&self, what: &str) -> String {
        let (prefix, tag) = (&self.names.prefix, &self.tag);
        let mut name = String::with_capacity(prefix.len() + tag.len() + what.len() + 4);
        for part in [prefix, ":{", tag, "}:", what] {
            name.push_str(part);
        }
        name
    }
}

fn cut<const N: usize>(hash: &[u8; 32]) -> [u8; N] {
    let mut out = [0; N];
    for (to, from) in out.iter_mut().zip(hash) {
        *to = *from;
    }
    out
}

fn short(hash: &[u8; 32]) -> String {
    URL_SAFE_NO_PAD.encode(cut::<SHORT>(hash))
}
