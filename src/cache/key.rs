//! The one place that makes keys: hashes over length-prefixed members, so that no two different things share one.

use aws_lc_rs::digest::{Context, SHA256, digest};

use crate::store::Partition;

/// Changes when the members or their order change.
const SCHEMA: &[u8] = b"tokend/1";

/// What all partitions of one client at one authority have in common, hashed once.
#[derive(Clone)]
pub struct KeySpace {
    partitions: Context,
    id: [u8; 32],
}

/// Whose tokens a partition holds. All that belongs to one account stands in one partition, whatever brought it, so that a sign-out
/// is one step.
#[derive(Clone, Copy, Debug)]
pub enum Owner<'a> {
    /// The app's own in one tenant (empty at issuers).
    App(&'a str),
    /// A user's, by home account id.
    Account(&'a str),
    /// The same, in two halves: the account `oid.tid`.
    User(&'a str, &'a str),
}

/// The members of a token's key beside its scopes.
#[derive(Clone, Debug, Default)]
pub struct Variant<'a> {
    /// The tenant that is asked; empty at issuers.
    pub tenant: &'a str,
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

/// The same hashed so far, for adding whose token it was given for.
#[derive(Clone)]
pub struct Hashed(Context);

/// The key of a flight or of something remembered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Key(pub [u8; 32]);

// === impl KeySpace ===

impl KeySpace {
    /// The space of a client. `authority` is the cloud's canonical host or the issuer.
    pub fn new(authority: &str, client_id: &str) -> Self {
        let mut partitions = Context::new(&SHA256);
        for member in [SCHEMA, authority.as_bytes(), client_id.as_bytes()] {
            add(&mut partitions, member);
        }
        let id = finish(partitions.clone());
        Self { partitions, id }
    }

    /// The part of it that one caller's accounts have for themselves. A partition of it has more members than one of the space itself, and
    /// all are prefixed with their lengths, so that the two never meet.
    #[must_use]
    pub fn of_caller(&self, name: &str) -> Self {
        let mut partitions = self.partitions.clone();
        add(&mut partitions, b"caller");
        add(&mut partitions, name.as_bytes());
        let id = finish(partitions.clone());
        Self { partitions, id }
    }

    /// Names the space itself.
    pub fn id(&self) -> &[u8; 32] {
        &self.id
    }

    /// One partition of it.
    pub fn partition(&self, owner: Owner<'_>) -> Partition {
        let mut context = self.partitions.clone();
        match owner {
            Owner::App(tenant) => {
                add(&mut context, b"app");
                add(&mut context, tenant.as_bytes());
            }
            Owner::Account(id) => {
                add(&mut context, b"account");
                add(&mut context, id.as_bytes());
            }
            Owner::User(oid, tid) => {
                add(&mut context, b"account");
                prefix(&mut context, oid.len() + 1 + tid.len());
                for part in [oid, ".", tid] {
                    context.update(part.as_bytes());
                }
            }
        }
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
    /// Its members, hashed.
    pub fn hashed(&self) -> Hashed {
        let mut context = Context::new(&SHA256);
        add(&mut context, SCHEMA);
        add(&mut context, self.tenant.as_bytes());
        add(&mut context, &u64::try_from(self.capabilities.len()).unwrap_or(u64::MAX).to_be_bytes());
        for capability in self.capabilities {
            add(&mut context, capability.as_bytes());
        }
        for member in [self.audience, self.resource, self.subject_token_type, self.requested_token_type, self.client_claims] {
            // Absent and empty are two things.
            add(&mut context, if member.is_some() { b"some" } else { b"none" });
            add(&mut context, member.unwrap_or_default().as_bytes());
        }
        Hashed(context)
    }
}

// === impl Hashed ===

impl Hashed {
    /// The variant of a token that was given to the app or to the user as such.
    pub fn plain(&self) -> [u8; 32] {
        finish(self.0.clone())
    }

    /// The variant of a token that was given for one inbound token, by its SHA-256 (CCH-8).
    pub fn of_assertion(&self, sha256: &[u8; 32]) -> [u8; 32] {
        let mut context = self.0.clone();
        add(&mut context, b"assertion");
        add(&mut context, sha256);
        finish(context)
    }
}

impl std::fmt::Debug for Hashed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Hashed")
    }
}

// === impl Key ===

impl Key {
    /// The key of a flight.
    pub fn flight(
        by: &str,
        credential: u64,
        partition: &Partition,
        variant: &[u8; 32],
        asked: &str,
        challenge: u64,
        bypassing: bool,
    ) -> Self {
        let (credential, challenge) = (credential.to_be_bytes(), challenge.to_be_bytes());
        Self::of(&[by.as_bytes(), &credential, partition, variant, asked.as_bytes(), &challenge, &[u8::from(bypassing)]])
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
    prefix(context, member.len());
    context.update(member);
}

fn prefix(context: &mut Context, length: usize) {
    context.update(&u64::try_from(length).unwrap_or(u64::MAX).to_be_bytes());
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
            type Members = (String, String, String, String);
            let of_account = |m: &Members| {
                let variant = Variant { tenant: &m.2, ..Variant::default() };
                (KeySpace::new(&m.0, &m.1).partition(Owner::Account(&m.3)), variant.hashed().plain())
            };
            let of_app = |m: &Members| KeySpace::new(&m.0, &m.1).partition(Owner::App(&m.2));
            prop_assert_eq!(of_account(&a) == of_account(&b), a == b);
            prop_assert_eq!(of_app(&a) == of_app(&b), (&a.0, &a.1, &a.2) == (&b.0, &b.1, &b.2));
            prop_assert_ne!(of_app(&a), of_account(&b).0);
        }

        #[test]
        fn two_callers_never_meet_nor_what_is_nobodys(
            a in ("[a-c.:]{0,3}", "[a-c.:]{0,3}", "(caller|account|app|[a-c-]{0,3})", "(caller|account|app|[a-c.]{0,3})"),
            b in ("[a-c.:]{0,3}", "[a-c.:]{0,3}", "(caller|account|app|[a-c-]{0,3})", "(caller|account|app|[a-c.]{0,3})"),
        ) {
            type Members = (String, String, String, String);
            let space = |m: &Members| KeySpace::new(&m.0, &m.1);
            let own = |m: &Members| (*space(m).of_caller(&m.2).id(), space(m).of_caller(&m.2).partition(Owner::Account(&m.3)));
            let nobodys = |m: &Members| (*space(m).id(), space(m).partition(Owner::Account(&m.3)));
            prop_assert_eq!(own(&a).1 == own(&b).1, a == b);
            prop_assert_eq!(own(&a).0 == own(&b).0, (&a.0, &a.1, &a.2) == (&b.0, &b.1, &b.2));
            prop_assert_ne!(own(&a).0, nobodys(&b).0);
            prop_assert_ne!(own(&a).1, nobodys(&b).1);
            prop_assert_ne!(own(&a).1, space(&b).partition(Owner::App(&b.3)));
        }

        #[test]
        fn an_account_is_the_same_in_one_piece_and_in_two(oid in "[a-c.]{0,4}", tid in "[a-c.]{0,4}") {
            let space = KeySpace::new("h", "c");
            prop_assert_eq!(space.partition(Owner::User(&oid, &tid)), space.partition(Owner::Account(&format!("{oid}.{tid}"))));
        }
    }

    #[test]
    fn every_member_counts() {
        let capabilities = ["cp1".to_owned()];
        let variants = [
            Variant::default(),
            Variant { tenant: "t", ..Variant::default() },
            Variant { capabilities: &capabilities, ..Variant::default() },
            Variant { audience: Some("a"), ..Variant::default() },
            Variant { audience: Some(""), ..Variant::default() },
            Variant { resource: Some("a"), ..Variant::default() },
            Variant { subject_token_type: Some("a"), ..Variant::default() },
            Variant { requested_token_type: Some("a"), ..Variant::default() },
            Variant { client_claims: Some("a"), ..Variant::default() },
        ];
        let mut hashes: HashSet<_> = variants.iter().map(|variant| variant.hashed().plain()).collect();
        assert_eq!(hashes.len(), variants.len());
        // Two assertions are two, and none of them is the user as such.
        hashes.insert(Variant::default().hashed().of_assertion(&[0; 32]));
        hashes.insert(Variant::default().hashed().of_assertion(&[1; 32]));
        assert_eq!(hashes.len(), variants.len() + 2);
        let space = KeySpace::new("h", "c");
        let owners = [Owner::App(""), Owner::App("t"), Owner::Account(""), Owner::Account("a"), Owner::User("a", "b")];
        assert_eq!(owners.iter().map(|owner| space.partition(*owner)).collect::<HashSet<_>>().len(), owners.len());
    }

    #[test]
    fn a_partition_is_the_same_in_every_release() {
        let space = KeySpace::new("host", "client");
        let hex = |bytes: [u8; 32]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        for (partition, expected) in [
            (space.partition(Owner::App("tid")), "18912d08fb52bd9de746dad61c33411d8c8a6b00b67403d494e9c46fab263c1b"),
            (space.partition(Owner::Account("oid.tid")), "8b55f0ce547eb04f985b4eeb36fa470e84a4478d1e7eda25b50127f01f7af182"),
            (
                space.of_caller("shop").partition(Owner::Account("oid.tid")),
                "fd3c02bf409d7195e2088fff5532c43eb5a3e80ec689d24d1e333f257611d9fb",
            ),
        ] {
            assert_eq!(hex(partition), expected);
        }
    }

    #[test]
    fn cch_21_members_cannot_be_shifted() {
        assert_ne!(Key::of(&[b"fmi_path", b"value"]), Key::of(&[b"fmi_pat", b"hvalue"]));
        assert_ne!(challenge_hash("a"), challenge_hash("b"));
    }
}
