//! The one place that makes keys: hashes over length-prefixed members, so that no two different things share one.
//!
//! What is found again by other processes and later releases (partitions, variants) is hashed from members that stand there with
//! their names, and only where they are present: a member that a later release adds leaves the keys alone that do not have it.

use aws_lc_rs::digest::{Context, SHA256, digest};

use crate::store::Partition;

/// Changes when what members there were is hashed otherwise; a member that is added changes nothing.
const SCHEMA: &[u8] = b"tokend/3";

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
        let mut partitions = begun();
        named(&mut partitions, "authority", authority.as_bytes());
        named(&mut partitions, "client_id", client_id.as_bytes());
        Self::of(partitions)
    }

    /// The part of it that the accounts of an app in this tenant have for themselves: one client id may be registered in several tenants, and
    /// users who signed in through one have not signed in through the other. Issuers have no tenant: an empty one changes nothing.
    #[must_use]
    pub fn of_tenant(&self, tenant: &str) -> Self {
        self.with("tenant", Some(tenant).filter(|tenant| !tenant.is_empty()))
    }

    /// The part of it that one caller's accounts have for themselves.
    #[must_use]
    pub fn of_caller(&self, name: &str) -> Self {
        self.with("caller", Some(name))
    }

    fn with(&self, name: &str, member: Option<&str>) -> Self {
        let mut partitions = self.partitions.clone();
        if let Some(member) = member {
            named(&mut partitions, name, member.as_bytes());
        }
        Self::of(partitions)
    }

    fn of(partitions: Context) -> Self {
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
            Owner::App(tenant) => named(&mut context, "app", tenant.as_bytes()),
            Owner::Account(id) => named(&mut context, "account", id.as_bytes()),
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
    /// Its members, hashed. A new one goes to the end of the list, where it changes nothing for those who do not have it.
    pub fn hashed(&self) -> Hashed {
        let mut context = begun();
        let tenant = Some(self.tenant).filter(|tenant| !tenant.is_empty());
        let single = |context: &mut Context, name: &str, member: Option<&str>| {
            if let Some(member) = member {
                named(context, name, member.as_bytes());
            }
        };
        single(&mut context, "tenant", tenant);
        for capability in self.capabilities {
            named(&mut context, "capability", capability.as_bytes());
        }
        // Absent and empty are two things.
        single(&mut context, "audience", self.audience);
        single(&mut context, "resource", self.resource);
        single(&mut context, "subject_token_type", self.subject_token_type);
        single(&mut context, "requested_token_type", self.requested_token_type);
        single(&mut context, "client_claims", self.client_claims);
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
        named(&mut context, "assertion", sha256);
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

/// Where every key begins that others find again.
fn begun() -> Context {
    let mut context = Context::new(&SHA256);
    add(&mut context, SCHEMA);
    context
}

/// A member with its name. Each is prefixed with its length, so that members of other names, or more of them, are another text.
fn named(context: &mut Context, name: &str, member: &[u8]) {
    add(context, name.as_bytes());
    add(context, member);
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

    type Members = (String, Vec<String>, [Option<String>; 5], Option<u8>);

    /// Few letters and the names of members themselves, so that what differs differs by little.
    fn word() -> impl Strategy<Value = String> {
        "(audience|resource|tenant|capability|[ab]{0,2})"
    }

    fn members() -> impl Strategy<Value = Members> {
        let optional = || proptest::option::of(word());
        let five = [optional(), optional(), optional(), optional(), optional()];
        (word(), proptest::collection::vec(word(), 0..3), five, proptest::option::of(0_u8..2))
    }

    fn hashed((tenant, capabilities, optional, assertion): &Members) -> [u8; 32] {
        let [audience, resource, subject_token_type, requested_token_type, client_claims] =
            optional.each_ref().map(Option::as_deref);
        let variant = Variant { tenant, capabilities, audience, resource, subject_token_type, requested_token_type, client_claims };
        let variant = variant.hashed();
        assertion.map_or_else(|| variant.plain(), |assertion| variant.of_assertion(&[assertion; 32]))
    }

    proptest! {
        #[test]
        fn other_members_never_share_a_key(a in members(), b in members()) {
            prop_assert_eq!(hashed(&a) == hashed(&b), a == b);
        }

        #[test]
        fn one_member_more_or_less_or_under_another_name_is_another_key(a in members(), at in 0_usize..5, to in 0_usize..5) {
            let mut moved = a.clone();
            moved.2.swap(at, to);
            let mut without = a.clone();
            without.2[at] = None;
            for other in [&moved, &without] {
                prop_assert_eq!(hashed(&a) == hashed(other), a == *other);
            }
        }

        #[test]
        fn cch_4_and_18_two_apps_clouds_tenants_or_owners_never_meet(
            a in ("[a-c.:]{0,3}", "[a-c.:]{0,3}", "[a-c.:]{0,3}", "[a-c.:]{0,3}"),
            b in ("[a-c.:]{0,3}", "[a-c.:]{0,3}", "[a-c.:]{0,3}", "[a-c.:]{0,3}"),
        ) {
            type Members = (String, String, String, String);
            let of_account = |m: &Members| KeySpace::new(&m.0, &m.1).of_tenant(&m.2).partition(Owner::Account(&m.3));
            let of_app = |m: &Members| KeySpace::new(&m.0, &m.1).partition(Owner::App(&m.2));
            prop_assert_eq!(of_account(&a) == of_account(&b), a == b);
            prop_assert_eq!(of_app(&a) == of_app(&b), (&a.0, &a.1, &a.2) == (&b.0, &b.1, &b.2));
            prop_assert_ne!(of_app(&a), of_account(&b));
        }

        #[test]
        fn two_callers_never_meet_nor_what_is_nobodys(
            a in ("[a-c.:]{0,3}", "[a-c.:]{0,3}", "(caller|account|app|tenant|[a-c-]{0,3})", "(caller|account|app|[a-c.]{0,3})", "(caller)?"),
            b in ("[a-c.:]{0,3}", "[a-c.:]{0,3}", "(caller|account|app|tenant|[a-c-]{0,3})", "(caller|account|app|[a-c.]{0,3})", "(caller)?"),
        ) {
            type Members = (String, String, String, String, String);
            let space = |m: &Members| KeySpace::new(&m.0, &m.1).of_tenant(&m.4);
            let own = |m: &Members| (*space(m).of_caller(&m.2).id(), space(m).of_caller(&m.2).partition(Owner::Account(&m.3)));
            let nobodys = |m: &Members| (*space(m).id(), space(m).partition(Owner::Account(&m.3)));
            prop_assert_eq!(own(&a).1 == own(&b).1, a == b);
            prop_assert_eq!(own(&a).0 == own(&b).0, (&a.0, &a.1, &a.2, &a.4) == (&b.0, &b.1, &b.2, &b.4));
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

    /// What stands in Redis is found by these: they change with `SCHEMA` alone, whatever members are added.
    #[test]
    fn keys_are_the_same_in_every_release() {
        let space = KeySpace::new("host", "client");
        let hex = |bytes: [u8; 32]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        let capabilities = ["cp1".to_owned()];
        let some = Variant { tenant: "tid", capabilities: &capabilities, client_claims: Some("{}"), ..Variant::default() };
        for (key, expected) in [
            (space.partition(Owner::App("tid")), "4f879393169aa92e7c7e5443a6ab18c108bd19c2498d289a2713be1e52b1ded4"),
            (
                space.of_tenant("tid").partition(Owner::Account("oid.tid")),
                "2fac572e2f96604adc16ae64e08c0a216811d5b03cc8ca9a0fa6ef3fe4d6f4cf",
            ),
            (
                space.of_tenant("tid").of_caller("shop").partition(Owner::Account("oid.tid")),
                "2e45e5bdbcccb14ea886b075a1d54b3a7e8d9da999004145387de2d88a5b7fa8",
            ),
            (Variant::default().hashed().plain(), "af1eef211c46e23da6ee2516945f90864eca0e936e202eef3f9b894e3f01e450"),
            (some.hashed().of_assertion(&[7; 32]), "737bd89a9060e0671140f5106fb9bff3fe5c5fa76e06bd80a2d8099f8b285845"),
        ] {
            assert_eq!(hex(key), expected);
        }
    }

    /// Leases, outcomes and remembered failures stand in Redis under these, and replicas tell each other of credentials by them.
    #[test]
    fn flights_and_spaces_are_called_the_same_in_every_release() {
        let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        let space = KeySpace::new("host", "client").of_tenant("tid");
        let capabilities = ["cp1".to_owned()];
        let all = Variant {
            tenant: "tid",
            capabilities: &capabilities,
            audience: Some("a"),
            resource: Some("r"),
            subject_token_type: Some("s"),
            requested_token_type: Some("q"),
            client_claims: Some("{}"),
        };
        for (key, expected) in [
            (&space.id()[..], "98695fd837a0349f896e11004c3948dc869660e0a5fdaeaf097eeaa6ed8c6d8b"),
            (&space.of_caller("shop").id()[..], "7973e72cc8e9f9d88c5e6d46f251a0ed1cff83a28a7839e412ccdf5a13431a4c"),
            (&all.hashed().plain()[..], "f2ec0d780449ebd7e7e49e76337b88ac144da9812529254222c71d6f414ccafb"),
            (&all.hashed().of_assertion(&[7; 32])[..], "ef1c025748fe703c541dd622fa6e9dcd77c05011dcbef47d8384c2d79c82538d"),
            (
                &Key::flight("app", 3, &[1; 32], &[2; 32], "a b", 0, false).0[..],
                "b10a979927500260673c45273edac9fcfff4430d69b8cdc52c97237f7f604fb7",
            ),
            (
                &Key::flight("app", 3, &[1; 32], &[2; 32], "a b", 5, true).0[..],
                "ea325d47d53a6a90f47d0580242211eed42a68dc78f54f92a5d6c3abf4ae72d2",
            ),
            (
                &Key::of(&[b"credential", b"host", b"client", b"app"]).0[..],
                "9d0b0b67c28e9ac6715c42a00f144cdba88e928c6c7ea0981c9ec30150093007",
            ),
            (&Key::of(&[b"turn"]).0[..], "fe8cf65dc8f287f40a94f42cbeaa7829abf50a99a6af166d6cfd9a9e3c51ef0f"),
        ] {
            assert_eq!(hex(key), expected);
        }
        assert_eq!(challenge_hash(r#"{"a":1}"#), 0x015abd7f5cc57a2d);
    }

    #[test]
    fn cch_21_members_cannot_be_shifted() {
        assert_ne!(Key::of(&[b"fmi_path", b"value"]), Key::of(&[b"fmi_pat", b"hvalue"]));
        assert_ne!(challenge_hash("a"), challenge_hash("b"));
    }
}
