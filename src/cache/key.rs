//! The one place that makes keys: hashes over length-prefixed members, so that no two different things share one.

use aws_lc_rs::digest::{Context, SHA256, digest};

use crate::store::Partition;

/// Changes when the members or their order change.
const SCHEMA: &[u8] = b"tokend/1";

/// What all partitions of one app at one authority and tenant have in common, hashed once.
#[derive(Clone)]
pub struct KeySpace(Context);

/// Whose tokens a partition holds.
#[derive(Clone, Copy, Debug)]
pub enum Owner<'a> {
    /// The app's own.
    App,
    /// A user's, by home account id.
    Account(&'a str),
    /// Those that stand for one inbound token, by its SHA-256.
    Assertion(&'a [u8; 32]),
}

/// The members of a token's key beside its scopes.
#[derive(Clone, Debug, Default)]
pub struct Variant<'a> {
    /// Sent as `xms_cc`.
    pub capabilities: &'a [String],
    /// RFC 8693 `audience`.
    pub audience: Option<&'a str>,
    /// RFC 8707 `resource`.
    pub resource: Option<&'a str>,
    /// RFC 8693 `subject_token_type`.
    pub subject_token_type: Option<&'a str>,
    /// RFC 8693 `requested_token_type`.
    pub requested_token_type: Option<&'a str>,
    /// Claims that key the cache.
    pub client_claims: Option<&'a str>,
}

/// The key of a flight or of something remembered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Key(pub [u8; 32]);

// === impl KeySpace ===

impl KeySpace {
    /// The space of an app. `authority` is the cloud's canonical host or the issuer; `tenant` is empty at issuers.
    pub fn new(authority: &str, tenant: &str, client_id: &str) -> Self {
        let mut context = Context::new(&SHA256);
        for member in [SCHEMA, authority.as_bytes(), tenant.as_bytes(), client_id.as_bytes()] {
            add(&mut context, member);
        }
        Self(context)
    }

    /// One partition of it.
    pub fn partition(&self, owner: Owner<'_>) -> Partition {
        let mut context = self.0.clone();
        let (kind, value): (&[u8], &[u8]) = match owner {
            Owner::App => (b"app", b""),
            Owner::Account(id) => (b"account", id.as_bytes()),
            Owner::Assertion(hash) => (b"assertion", hash),
        };
        add(&mut context, kind);
        add(&mut context, value);
        finish(context)
    }
}

impl std::fmt::Debug for KeySpace {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("KeySpace")
    }
}

// === impl Variant ===

impl Variant<'_> {
    /// Its hash.
    pub fn hash(&self) -> [u8; 32] {
        let mut context = Context::new(&SHA256);
        add(&mut context, SCHEMA);
        add(&mut context, &u64::try_from(self.capabilities.len()).unwrap_or(u64::MAX).to_be_bytes());
        for capability in self.capabilities {
            add(&mut context, capability.as_bytes());
        }
        for member in [self.audience, self.resource, self.subject_token_type, self.requested_token_type, self.client_claims] {
            // Absent and empty are two things.
            add(&mut context, if member.is_some() { b"some" } else { b"none" });
            add(&mut context, member.unwrap_or_default().as_bytes());
        }
        finish(context)
    }
}

// === impl Key ===

impl Key {
    /// The key of a flight.
    pub fn flight(by: &str, partition: &Partition, variant: &[u8; 32], asked: &str, challenge: u64, bypassing: bool) -> Self {
        Self::of(&[by.as_bytes(), partition, variant, asked.as_bytes(), &challenge.to_be_bytes(), &[u8::from(bypassing)]])
    }

    /// A key over any members.
    pub fn of(members: &[&[u8]]) -> Self {
        let mut context = Context::new(&SHA256);
        for member in members {
            add(&mut context, member);
        }
        Self(finish(context))
    }
}

/// A short hash of a claims challenge; never zero, which stands for none.
pub fn challenge_hash(claims: &str) -> u64 {
    let hash = sha256(claims.as_bytes());
    let (first, _) = hash.split_first_chunk::<8>().unwrap_or((&[0; 8], &[]));
    u64::from_be_bytes(*first).max(1)
}

/// SHA-256.
pub(super) fn sha256(data: &[u8]) -> [u8; 32] {
    let mut out = [0; 32];
    out.copy_from_slice(digest(&SHA256, data).as_ref());
    out
}

fn add(context: &mut Context, member: &[u8]) {
    context.update(&u64::try_from(member.len()).unwrap_or(u64::MAX).to_be_bytes());
    context.update(member);
}

fn finish(context: Context) -> [u8; 32] {
    let mut out = [0; 32];
    out.copy_from_slice(context.finish().as_ref());
    out
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;

    use super::{Key, KeySpace, Owner, Variant, challenge_hash};

    proptest! {
        #[test]
        fn cch_4_and_18_two_apps_clouds_tenants_or_owners_never_meet(
            a in ("[a-c.:]{0,3}", "[a-c.:]{0,3}", "[a-c.:]{0,3}", "[a-c.:]{0,3}"),
            b in ("[a-c.:]{0,3}", "[a-c.:]{0,3}", "[a-c.:]{0,3}", "[a-c.:]{0,3}"),
        ) {
            let key = |m: &(String, String, String, String)| KeySpace::new(&m.0, &m.1, &m.2).partition(Owner::Account(&m.3));
            prop_assert_eq!(key(&a) == key(&b), a == b);
        }
    }

    #[test]
    fn every_member_counts() {
        let capabilities = ["cp1".to_owned()];
        let variants = [
            Variant::default(),
            Variant { capabilities: &capabilities, ..Variant::default() },
            Variant { audience: Some("a"), ..Variant::default() },
            Variant { audience: Some(""), ..Variant::default() },
            Variant { resource: Some("a"), ..Variant::default() },
            Variant { subject_token_type: Some("a"), ..Variant::default() },
            Variant { requested_token_type: Some("a"), ..Variant::default() },
            Variant { client_claims: Some("a"), ..Variant::default() },
        ];
        let hashes: HashSet<_> = variants.iter().map(Variant::hash).collect();
        assert_eq!(hashes.len(), variants.len());
        let space = KeySpace::new("h", "t", "c");
        let owners = [Owner::App, Owner::Account(""), Owner::Account("a"), Owner::Assertion(&[0; 32])];
        assert_eq!(owners.iter().map(|owner| space.partition(*owner)).collect::<HashSet<_>>().len(), owners.len());
    }

    #[test]
    fn cch_21_members_cannot_be_shifted() {
        assert_ne!(Key::of(&[b"fmi_path", b"value"]), Key::of(&[b"fmi_pat", b"hvalue"]));
        assert_ne!(challenge_hash("a"), challenge_hash("b"));
    }
}
