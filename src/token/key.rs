//! The one place that makes keys: hashes over length-prefixed members, so that no two different things share one. Each kind of hash
//! is a type of its own, so that none is taken for another.
//!
//! Other processes and later releases must find partitions and variants again. Those are hashed from members with their names, and
//! only from members that are present: a key without a new release's member stays what it was.

use std::borrow::Cow;
use std::ops::Deref;

use aws_lc_rs::digest::{Context, SHA256, digest};
use serde::{Deserialize, Serialize};

/// Changes when what members there were is hashed otherwise; a member that is added changes nothing.
const SCHEMA: &[u8] = b"tokend/3";

/// The name of the member of a variant that is hashed behind what is usual, and of an owner.
const ASSERTION: &str = "assertion";

/// A name of 32 bytes, as its own type: it is read as bytes, and never passed where another kind is wanted.
macro_rules! names {
    ($($(#[$doc:meta])* $name:ident),* $(,)?) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub struct $name([u8; 32]);

        impl $name {
            /// The name that these bytes are.
            pub const fn new(bytes: [u8; 32]) -> Self {
                Self(bytes)
            }

            /// Its bytes.
            pub const fn bytes(&self) -> &[u8; 32] {
                &self.0
            }
        }

        impl Deref for $name {
            type Target = [u8];

            fn deref(&self) -> &[u8] {
                &self.0
            }
        }

        impl From<[u8; 32]> for $name {
            fn from(bytes: [u8; 32]) -> Self {
                Self(bytes)
            }
        }
    )*};
}

/// A name that is a hash over any members, in their order.
macro_rules! hashes {
    ($($name:ident),*) => {$(
        impl $name {
            /// The hash over these members.
            pub fn of(members: &[&[u8]]) -> Self {
                Self(hashed(members))
            }
        }
    )*};
}

names! {
    /// All tokens of one app in one tenant, or of one account.
    Partition,
    /// All partitions of one client at one authority, or the part of them that belongs to one tenant or caller.
    SpaceId,
    /// The members of a token's key beside its partition and its scopes, hashed.
    Variant,
    /// The SHA-256 of a token.
    TokenDigest,
    /// What a flight is for: whoever wants the same joins it.
    FlightKey,
    /// What a remembered failure is about.
    HoldKey,
    /// What backs off together when calls fail.
    Lane,
    /// What replicas call the credential of an app among themselves.
    CredentialName,
}

hashes!(FlightKey, HoldKey, Lane, CredentialName);

/// What a token is found by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenKey<'a> {
    /// Whose it is.
    pub partition: Partition,
    /// The members beside the scopes.
    pub variant: Variant,
    /// The folded scopes that are asked for.
    pub scopes: Cow<'a, str>,
}

/// What all partitions of one client at one authority have in common, hashed once.
#[derive(Clone)]
pub struct KeySpace {
    partitions: Context,
    id: SpaceId,
}

/// Whose tokens a partition holds. All that belongs to one account stands in one partition, whatever brought it, so that a sign-out
/// is one step; but for those whose account only the answer names.
#[derive(Clone, Copy, Debug)]
pub enum PartitionOwner<'a> {
    /// The app's own in one tenant (empty at issuers).
    App(&'a str),
    /// A user's, by home account id.
    Account(&'a str),
    /// A user's, in two halves: the account `oid.tid`.
    User(&'a str, &'a str),
    /// A user's who is known by the claim of this name alone, which is no id: whoever has an id like it is somebody else.
    Named(&'static str, &'a str),
    /// A user's who is known by an assertion alone that cannot be verified here: whoever has another one is somebody else.
    Assertion(&'a TokenDigest),
    /// A long-running session's, by its key. It stands in a space of sessions ([`KeySpace::of_sessions`]).
    Session(&'a str),
}

/// The members of a token's key beside its partition and its scopes.
// Whoever adds one: `VariantMembers::hash` does not compile without it, and it takes part in the comparison with what is usual.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct VariantMembers<'a> {
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
    /// The inbound token that it was given for (CCH-8); absent where it was given to the app or the user as such.
    pub assertion: Option<&'a TokenDigest>,
    /// Whose session it was given for: the partition of the user who began that. Whoever begins another one with the same key never
    /// finds it.
    pub session: Option<&'a Partition>,
    /// The policy that is asked, at Azure AD B2C.
    pub policy: Option<&'a str>,
}

/// The variant of an app's usual tokens, hashed once: most requests name nothing that makes theirs another one.
#[derive(Clone)]
pub struct UsualVariant {
    tenant: String,
    capabilities: Vec<String>,
    policy: Option<String>,
    hashed: Context,
    variant: Variant,
}

// === impl TokenKey ===

impl TokenKey<'_> {
    /// A key that outlives its request.
    pub fn detached(&self) -> TokenKey<'static> {
        TokenKey { partition: self.partition, variant: self.variant, scopes: Cow::Owned(self.scopes.clone().into_owned()) }
    }
}

// === impl KeySpace ===

impl KeySpace {
    /// The space of a client. `authority` is the cloud's canonical host or the issuer.
    pub fn new(authority: &str, client_id: &str) -> Self {
        let mut partitions = begun();
        named(&mut partitions, "authority", authority.as_bytes());
        named(&mut partitions, "client_id", client_id.as_bytes());
        Self::of(partitions)
    }

    /// The part of it for the accounts of an app in this tenant. One client id may be registered in several tenants, and a user who
    /// signed in through one has not signed in through the other. Issuers have no tenant: an empty one changes nothing.
    #[must_use]
    pub fn of_tenant(&self, tenant: &str) -> Self {
        self.with("tenant", Some(tenant).filter(|tenant| !tenant.is_empty()))
    }

    /// The part of it that one caller's accounts have for themselves.
    #[must_use]
    pub fn of_caller(&self, name: &str) -> Self {
        self.with("caller", Some(name))
    }

    /// The part of it for long-running sessions: they are no accounts, and no list of those has them.
    #[must_use]
    pub fn of_sessions(&self) -> Self {
        self.with("kind", Some("session"))
    }

    fn with(&self, name: &str, member: Option<&str>) -> Self {
        let mut partitions = self.partitions.clone();
        if let Some(member) = member {
            named(&mut partitions, name, member.as_bytes());
        }
        Self::of(partitions)
    }

    fn of(partitions: Context) -> Self {
        let id = SpaceId(finish(partitions.clone()));
        Self { partitions, id }
    }

    /// Names the space itself.
    pub fn id(&self) -> &SpaceId {
        &self.id
    }

    /// One partition of it.
    pub fn partition(&self, owner: PartitionOwner<'_>) -> Partition {
        let mut context = self.partitions.clone();
        match owner {
            PartitionOwner::App(tenant) => named(&mut context, "app", tenant.as_bytes()),
            PartitionOwner::Assertion(digest) => named(&mut context, ASSERTION, digest),
            PartitionOwner::Named(claim, name) => named(&mut context, claim, name.as_bytes()),
            PartitionOwner::Account(id) => {
                let numbers = id.split_once('.').and_then(|(oid, tid)| in_lower_case(oid, tid));
                named(&mut context, "account", numbers.as_ref().map_or(id.as_bytes(), |numbers| numbers));
            }
            PartitionOwner::Session(key) => named(&mut context, "session", key.as_bytes()),
            PartitionOwner::User(oid, tid) => match in_lower_case(oid, tid) {
                Some(numbers) => named(&mut context, "account", &numbers),
                None => {
                    add(&mut context, b"account");
                    prefix(&mut context, oid.len() + 1 + tid.len());
                    for part in [oid, ".", tid] {
                        context.update(part.as_bytes());
                    }
                }
            },
        }
        Partition(finish(context))
    }
}

/// An account id that is two GUIDs, as Entra's are: numbers, whose digits mean the same in either case (RFC 9562 §4). `None`: it is
/// another one, such as an issuer's `sub`, of which every letter counts (OpenID Connect Core §2).
fn in_lower_case(oid: &str, tid: &str) -> Option<[u8; 73]> {
    let is_guid = |text: &str| {
        let fits =
            |(index, byte): (usize, u8)| if matches!(index, 8 | 13 | 18 | 23) { byte == b'-' } else { byte.is_ascii_hexdigit() };
        text.len() == 36 && text.bytes().enumerate().all(fits)
    };
    if !is_guid(oid) || !is_guid(tid) {
        return None;
    }
    let mut id = [b'.'; 73];
    for (to, from) in id.iter_mut().zip(oid.bytes().chain([b'.']).chain(tid.bytes())) {
        *to = from.to_ascii_lowercase();
    }
    Some(id)
}

impl std::fmt::Debug for KeySpace {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("KeySpace")
    }
}

// === impl VariantMembers ===

impl VariantMembers<'_> {
    /// The variant that they make.
    pub fn variant(&self) -> Variant {
        let mut context = begun();
        self.hash(&mut context);
        Variant(finish(context))
    }

    /// Hashes every member that is present: one that is absent changes nothing.
    fn hash(&self, context: &mut Context) {
        let Self {
            tenant,
            capabilities,
            audience,
            resource,
            subject_token_type,
            requested_token_type,
            client_claims,
            assertion,
            session,
            policy,
        } = self;
        let mut single = |name: &str, member: Option<&[u8]>| {
            if let Some(member) = member {
                named(context, name, member);
            }
        };
        single("tenant", Some(tenant.as_bytes()).filter(|tenant| !tenant.is_empty()));
        for capability in *capabilities {
            single("capability", Some(capability.as_bytes()));
        }
        // Absent and empty are two things.
        single("audience", audience.map(str::as_bytes));
        single("resource", resource.map(str::as_bytes));
        single("subject_token_type", subject_token_type.map(str::as_bytes));
        single("requested_token_type", requested_token_type.map(str::as_bytes));
        single("client_claims", client_claims.map(str::as_bytes));
        // It may be usual, so that it stands before what never is.
        single("policy", policy.map(str::as_bytes));
        single(ASSERTION, assertion.map(|digest| &**digest));
        single("session", session.map(|user| &**user));
    }
}

// === impl UsualVariant ===

impl UsualVariant {
    /// What is usual for an app in its own tenant, with what it can handle.
    pub fn new(tenant: String, capabilities: Vec<String>) -> Self {
        Self::of(tenant, capabilities, None)
    }

    /// This with a policy.
    #[must_use]
    pub fn with_policy(self, policy: Option<String>) -> Self {
        Self::of(self.tenant, self.capabilities, policy)
    }

    fn of(tenant: String, capabilities: Vec<String>, policy: Option<String>) -> Self {
        let members =
            VariantMembers { tenant: &tenant, capabilities: &capabilities, policy: policy.as_deref(), ..VariantMembers::default() };
        let mut hashed = begun();
        members.hash(&mut hashed);
        let variant = members.variant();
        Self { tenant, capabilities, policy, hashed, variant }
    }

    /// The members that are usual.
    pub fn members(&self) -> VariantMembers<'_> {
        let (tenant, capabilities) = (self.tenant.as_str(), self.capabilities.as_slice());
        VariantMembers { tenant, capabilities, policy: self.policy.as_deref(), ..VariantMembers::default() }
    }

    /// Whether this is the variant of the members that are usual.
    pub fn is(&self, variant: &Variant) -> bool {
        self.variant == *variant
    }

    /// The variant of these members, which is at hand where they are the usual ones.
    pub fn variant_of(&self, members: &VariantMembers<'_>) -> Variant {
        let beside_assertion = VariantMembers { assertion: None, ..*members };
        if beside_assertion != self.members() {
            return members.variant();
        }
        match members.assertion {
            None => self.variant,
            // The last member of those that there are, so that what is hashed before it is at hand.
            Some(digest) => {
                let mut context = self.hashed.clone();
                named(&mut context, ASSERTION, digest);
                Variant(finish(context))
            }
        }
    }
}

impl std::fmt::Debug for UsualVariant {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("UsualVariant")
    }
}

// === impl TokenDigest ===

impl TokenDigest {
    /// The SHA-256 of a whole token.
    pub fn of(token: &str) -> Self {
        Self(sha256(token.as_bytes()))
    }
}

/// A short hash of a claims challenge; never zero, which stands for none.
pub fn challenge_hash(claims: &str) -> u64 {
    let hash = sha256(claims.as_bytes());
    let (first, _) = hash.split_first_chunk::<8>().unwrap_or((&[0; 8], &[]));
    u64::from_be_bytes(*first).max(1)
}

fn sha256(data: &[u8]) -> [u8; 32] {
    let mut out = [0; 32];
    out.copy_from_slice(digest(&SHA256, data).as_ref());
    out
}

fn hashed(members: &[&[u8]]) -> [u8; 32] {
    let mut context = Context::new(&SHA256);
    for member in members {
        add(&mut context, member);
    }
    finish(context)
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

    use super::{
        CredentialName, FlightKey, KeySpace, Partition, PartitionOwner, TokenDigest, UsualVariant, Variant, VariantMembers,
        challenge_hash,
    };

    /// Members that own their texts. Both conversions name every member: one that is added does not compile without joining here.
    #[derive(Clone, Debug, PartialEq)]
    struct Owned {
        tenant: String,
        capabilities: Vec<String>,
        optional: [Option<String>; OPTIONAL],
        assertion: Option<TokenDigest>,
        session: Option<Partition>,
    }

    const OPTIONAL: usize = 6;

    impl Owned {
        fn members(&self) -> VariantMembers<'_> {
            let [audience, resource, subject_token_type, requested_token_type, client_claims, policy] =
                self.optional.each_ref().map(Option::as_deref);
            let Self { tenant, capabilities, assertion, session, .. } = self;
            let (assertion, session) = (assertion.as_ref(), session.as_ref());
            VariantMembers {
                tenant,
                capabilities,
                audience,
                resource,
                subject_token_type,
                requested_token_type,
                client_claims,
                assertion,
                session,
                policy,
            }
        }

        fn variant(&self) -> Variant {
            self.members().variant()
        }
    }

    /// The members `a`, each once replaced by that of `b`: as many as there are members that differ.
    fn replaced<'a>(a: &VariantMembers<'a>, b: &VariantMembers<'a>) -> Vec<VariantMembers<'a>> {
        let VariantMembers {
            tenant,
            capabilities,
            audience,
            resource,
            subject_token_type,
            requested_token_type,
            client_claims,
            assertion,
            session,
            policy,
        } = *b;
        let each = [
            VariantMembers { tenant, ..*a },
            VariantMembers { capabilities, ..*a },
            VariantMembers { audience, ..*a },
            VariantMembers { resource, ..*a },
            VariantMembers { subject_token_type, ..*a },
            VariantMembers { requested_token_type, ..*a },
            VariantMembers { client_claims, ..*a },
            VariantMembers { assertion, ..*a },
            VariantMembers { session, ..*a },
            VariantMembers { policy, ..*a },
        ];
        each.into_iter().filter(|members| members != a).collect()
    }

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// Few letters and the names of members themselves, so that what differs differs by little.
    fn word() -> impl Strategy<Value = String> {
        "(audience|resource|tenant|capability|[ab]{0,2})"
    }

    fn members() -> impl Strategy<Value = Owned> {
        let optional = || proptest::option::of(word());
        let six = [optional(), optional(), optional(), optional(), optional(), optional()];
        let assertion = proptest::option::of((0_u8..2).prop_map(|byte| TokenDigest::new([byte; 32])));
        let session = proptest::option::of((0_u8..2).prop_map(|byte| Partition::new([byte; 32])));
        (word(), proptest::collection::vec(word(), 0..3), six, assertion, session).prop_map(
            |(tenant, capabilities, optional, assertion, session)| Owned { tenant, capabilities, optional, assertion, session },
        )
    }

    proptest! {
        #[test]
        fn other_members_never_share_a_key(a in members(), b in members()) {
            prop_assert_eq!(a.variant() == b.variant(), a == b);
        }

        #[test]
        fn every_member_of_a_variant_changes_it(a in members(), b in members()) {
            for other in replaced(&a.members(), &b.members()) {
                prop_assert_ne!(a.variant(), other.variant());
            }
        }

        /// Whatever an app has at hand for what is usual, the variant is that of the members.
        #[test]
        fn what_is_usual_is_what_equals_it(a in members(), usual in members(), mine in any::<bool>()) {
            let at_hand = UsualVariant::new(usual.tenant.clone(), usual.capabilities.clone());
            let (a, usual) = (a.members(), at_hand.members());
            let asked = if mine { VariantMembers { assertion: a.assertion, ..usual } } else { a };
            prop_assert_eq!(at_hand.variant_of(&asked), asked.variant());
            for other in replaced(&usual, &a) {
                prop_assert_eq!(at_hand.variant_of(&other), other.variant());
                prop_assert_ne!(at_hand.variant_of(&other), at_hand.variant_of(&usual));
            }
        }

        #[test]
        fn one_member_more_or_less_or_under_another_name_is_another_key(a in members(), at in 0..OPTIONAL, to in 0..OPTIONAL) {
            let mut moved = a.clone();
            moved.optional.swap(at, to);
            let mut without = a.clone();
            without.optional[at] = None;
            for other in [&moved, &without] {
                prop_assert_eq!(a.variant() == other.variant(), a == *other);
            }
        }

        #[test]
        fn cch_4_and_18_two_apps_clouds_tenants_or_owners_never_meet(
            a in ("[a-c.:]{0,3}", "[a-c.:]{0,3}", "[a-c.:]{0,3}", "[a-c.:]{0,3}"),
            b in ("[a-c.:]{0,3}", "[a-c.:]{0,3}", "[a-c.:]{0,3}", "[a-c.:]{0,3}"),
        ) {
            type Members = (String, String, String, String);
            let of_account = |m: &Members| KeySpace::new(&m.0, &m.1).of_tenant(&m.2).partition(PartitionOwner::Account(&m.3));
            let of_app = |m: &Members| KeySpace::new(&m.0, &m.1).partition(PartitionOwner::App(&m.2));
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
            let own = |m: &Members| {
                (*space(m).of_caller(&m.2).id(), space(m).of_caller(&m.2).partition(PartitionOwner::Account(&m.3)))
            };
            let nobodys = |m: &Members| (*space(m).id(), space(m).partition(PartitionOwner::Account(&m.3)));
            prop_assert_eq!(own(&a).1 == own(&b).1, a == b);
            prop_assert_eq!(own(&a).0 == own(&b).0, (&a.0, &a.1, &a.2, &a.4) == (&b.0, &b.1, &b.2, &b.4));
            prop_assert_ne!(own(&a).0, nobodys(&b).0);
            prop_assert_ne!(own(&a).1, nobodys(&b).1);
            prop_assert_ne!(own(&a).1, space(&b).partition(PartitionOwner::App(&b.3)));
            let session = |m: &Members| {
                let sessions = space(m).of_caller(&m.2).of_sessions();
                (*sessions.id(), sessions.partition(PartitionOwner::Session(&m.3)))
            };
            prop_assert_eq!(session(&a).1 == session(&b).1, a == b);
            prop_assert_ne!(session(&a).0, own(&b).0);
            prop_assert_ne!(session(&a).1, own(&b).1);
        }

        #[test]
        fn an_account_is_the_same_in_one_piece_and_in_two(oid in "[a-c.]{0,4}", tid in "[a-c.]{0,4}") {
            let space = KeySpace::new("h", "c");
            prop_assert_eq!(space.partition(PartitionOwner::User(&oid, &tid)), space.partition(PartitionOwner::Account(&format!("{oid}.{tid}"))));
        }
    }

    #[test]
    fn every_member_counts() {
        let capabilities = ["cp1".to_owned()];
        let all = VariantMembers {
            tenant: "t",
            capabilities: &capabilities,
            audience: Some("a"),
            resource: Some("a"),
            subject_token_type: Some("a"),
            requested_token_type: Some("a"),
            client_claims: Some("a"),
            assertion: Some(&TokenDigest::new([1; 32])),
            session: Some(&Partition::new([1; 32])),
            policy: Some("a"),
        };
        let none = VariantMembers::default();
        let mut variants = replaced(&none, &all);
        // Two assertions are two, and absent and empty are two things.
        let zeros = TokenDigest::default();
        variants.extend([none, VariantMembers { audience: Some(""), ..none }, VariantMembers { assertion: Some(&zeros), ..none }]);
        let hashes: HashSet<_> = variants.iter().map(VariantMembers::variant).collect();
        assert_eq!((hashes.len(), variants.len()), (10 + 3, 10 + 3));
        let space = KeySpace::new("h", "c");
        let owners = [
            PartitionOwner::App(""),
            PartitionOwner::App("t"),
            PartitionOwner::Account(""),
            PartitionOwner::Account("a"),
            PartitionOwner::User("a", "b"),
            PartitionOwner::Assertion(&zeros),
            PartitionOwner::Assertion(&TokenDigest::new([1; 32])),
            PartitionOwner::Session("a"),
            PartitionOwner::Named("upn", "a"),
            PartitionOwner::Named("unique_name", "a"),
        ];
        assert_eq!(owners.iter().map(|owner| space.partition(*owner)).collect::<HashSet<_>>().len(), owners.len());
    }

    /// What stands in Redis is found by these: they change with `SCHEMA` alone, whatever members are added.
    #[test]
    fn keys_are_the_same_in_every_release() {
        let space = KeySpace::new("host", "client");
        let capabilities = ["cp1".to_owned()];
        let seven = TokenDigest::new([7; 32]);
        let none = VariantMembers::default();
        let (capabilities, client_claims, assertion) = (&capabilities[..], Some("{}"), Some(&seven));
        let some = VariantMembers { tenant: "tid", capabilities, client_claims, assertion, ..none };
        for (key, expected) in [
            (hex(&space.partition(PartitionOwner::App("tid"))), "4f879393169aa92e7c7e5443a6ab18c108bd19c2498d289a2713be1e52b1ded4"),
            (
                hex(&space.of_tenant("tid").partition(PartitionOwner::Account("oid.tid"))),
                "2fac572e2f96604adc16ae64e08c0a216811d5b03cc8ca9a0fa6ef3fe4d6f4cf",
            ),
            (
                hex(&space.partition(PartitionOwner::Assertion(&seven))),
                "cc414a92e58a566de4fdfcc4df0a4e0ea8395530b98a44cd2d6a7035b8e218d2",
            ),
            (
                hex(&space.of_tenant("tid").of_caller("shop").partition(PartitionOwner::Account("oid.tid"))),
                "2e45e5bdbcccb14ea886b075a1d54b3a7e8d9da999004145387de2d88a5b7fa8",
            ),
            (hex(&none.variant()), "af1eef211c46e23da6ee2516945f90864eca0e936e202eef3f9b894e3f01e450"),
            (hex(&some.variant()), "737bd89a9060e0671140f5106fb9bff3fe5c5fa76e06bd80a2d8099f8b285845"),
        ] {
            assert_eq!(key, expected);
        }
    }

    /// Replicas tell each other of credentials by these, and find accounts and leases.
    #[test]
    fn spaces_and_credentials_are_called_the_same_in_every_release() {
        let space = KeySpace::new("host", "client").of_tenant("tid");
        let capabilities = ["cp1".to_owned()];
        let seven = TokenDigest::new([7; 32]);
        let all = VariantMembers {
            tenant: "tid",
            capabilities: &capabilities,
            audience: Some("a"),
            resource: Some("r"),
            subject_token_type: Some("s"),
            requested_token_type: Some("q"),
            client_claims: Some("{}"),
            assertion: None,
            session: None,
            policy: None,
        };
        for (key, expected) in [
            (hex(space.id()), "98695fd837a0349f896e11004c3948dc869660e0a5fdaeaf097eeaa6ed8c6d8b"),
            (hex(space.of_caller("shop").id()), "7973e72cc8e9f9d88c5e6d46f251a0ed1cff83a28a7839e412ccdf5a13431a4c"),
            (hex(&all.variant()), "f2ec0d780449ebd7e7e49e76337b88ac144da9812529254222c71d6f414ccafb"),
            (
                hex(&VariantMembers { assertion: Some(&seven), ..all }.variant()),
                "ef1c025748fe703c541dd622fa6e9dcd77c05011dcbef47d8384c2d79c82538d",
            ),
            (
                hex(&CredentialName::of(&[b"credential", b"host", b"client", b"app"])),
                "9d0b0b67c28e9ac6715c42a00f144cdba88e928c6c7ea0981c9ec30150093007",
            ),
            (hex(&FlightKey::of(&[b"turn"])), "fe8cf65dc8f287f40a94f42cbeaa7829abf50a99a6af166d6cfd9a9e3c51ef0f"),
        ] {
            assert_eq!(key, expected);
        }
        assert_eq!(challenge_hash(r#"{"a":1}"#), 0x015abd7f5cc57a2d);
    }

    #[test]
    fn cch_21_members_cannot_be_shifted() {
        assert_ne!(FlightKey::of(&[b"fmi_path", b"value"]), FlightKey::of(&[b"fmi_pat", b"hvalue"]));
        assert_ne!(challenge_hash("a"), challenge_hash("b"));
    }

    #[test]
    fn an_account_id_of_two_guids_is_compared_without_case_and_no_other() {
        let space = KeySpace::new("host", "client");
        let (oid, tid) = ("0f0a4f0e-9d5b-4a4f-8f3f-9b110a4f5f3f", "8eaef023-2b34-4da1-9baa-8bc8c9d6a490");
        let usual = space.partition(PartitionOwner::Account(&format!("{oid}.{tid}")));
        for (oid, tid) in
            [(oid.to_uppercase(), tid.to_owned()), (oid.to_owned(), tid.to_uppercase()), (oid.to_uppercase(), tid.to_uppercase())]
        {
            assert_eq!(space.partition(PartitionOwner::Account(&format!("{oid}.{tid}"))), usual, "{oid}.{tid}");
            assert_eq!(space.partition(PartitionOwner::User(&oid, &tid)), usual, "{oid}.{tid}");
        }
        for (one, other) in [
            ("abc.def", "abc.DEF"),
            ("sub", "SUB"),
            (oid, &oid.to_uppercase()),
            (&format!("x{oid}.{tid}"), &format!("X{oid}.{tid}")),
        ] {
            assert_ne!(space.partition(PartitionOwner::Account(one)), space.partition(PartitionOwner::Account(other)), "{one}");
        }
    }
}
