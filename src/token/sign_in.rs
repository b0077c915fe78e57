//! A user who signed in: who it is, and what renews the user's tokens.

use std::collections::BTreeMap;
use std::num::NonZeroU64;

use super::account::{Account, SignedInAccount};
use super::key::{Partition, SpaceId};
use super::scopes::Scopes;
use super::stored::Epoch;
use crate::secret::Secret;

/// The names of what is kept of a sign-in beside its first members. What stands under these is text.
const ASKED: &str = "asked";
const GRANTED: &str = "granted";
const TENANTS: &str = "tenants";
/// As which client the user signed in, and so as which its tokens are renewed.
const CLIENT: &str = "client";
const PUBLIC: &str = "public";
/// By what the authority knows the user at a sign-out.
const LOGIN_HINT: &str = "login_hint";
/// Under this one are lineages, one after the other.
const LINEAGES: &str = "lineages";
/// Of a long-running session: who began it, where that account is at home and at which epoch, and the tenant that is asked.
const USER: &str = "user";
const HOME: &str = "home";
const TENANT: &str = "tenant";

/// How many tenants are remembered of an account.
const MOST_TENANTS: usize = 64;
/// A longer hint than this is none that an authority makes, in bytes.
const LONGEST_HINT: usize = 1024;
/// How many further lineages: one for each replica that could not ask what stands when the user signed in there.
const MOST_LINEAGES: usize = 16;

/// What is kept of a sign-in until the user signs out.
#[derive(Clone, Debug)]
pub struct SignIn {
    /// Who it is.
    pub account: Account,
    /// What renews the user's tokens; never shown to a caller.
    pub refresh_token: Option<Secret>,
    /// When it is of no use any more, in seconds since the Unix epoch.
    pub expires_on: i64,
    /// Which app's account it is: a hash of authority and client.
    pub space: SpaceId,
    /// The account's epoch when this was stored.
    pub epoch: Epoch,
    /// Names this account from its first sign-in to its sign-out, whoever renews it meanwhile; made up where it is first kept. See
    /// [`SignIn::is_of`].
    pub lineage: [u8; 16],
    /// What later releases keep with it, by name: it stays as it is.
    pub more: BTreeMap<String, Vec<u8>>,
    /// Its generation in the store that replicas share; zero if it is not there.
    pub shared: u64,
}

/// What is kept of a long-running on-behalf-of session beside what every sign-in has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionFacts {
    /// The account that the user's token named: nobody else's token may begin the session anew.
    pub user: Partition,
    /// The account that the answer named, whose sign-out ends the session.
    pub home: Partition,
    /// The epoch of that account before the authority was asked: a later one is a sign-out.
    pub home_epoch: Epoch,
    /// The tenant that is asked; empty: the authority's own.
    pub tenant: String,
}

// === impl SignIn ===

impl SignIn {
    /// Goes on with the lineage of an older sign-in of the same account, and with what later releases keep with that one.
    pub fn descend_from(&mut self, old: &Self) {
        self.lineage = old.lineage;
        for (name, bytes) in &old.more {
            self.more.entry(name.clone()).or_insert_with(|| bytes.clone());
        }
        old.further_lineages().for_each(|lineage| self.add_lineage(lineage));
        old.listed().tenants.iter().for_each(|tenant| self.add_tenant(tenant));
    }

    /// As [`SignIn::descend_from`], for a sign-in whose own lineage was told already because the older one could not be asked for:
    /// from now on it names the account as well.
    pub fn join(&mut self, old: &Self) {
        let told = self.lineage;
        self.descend_from(old);
        self.add_lineage(&told);
    }

    /// Whether a lineage names the account since its first sign-in.
    pub fn is_of(&self, lineage: &[u8; 16]) -> bool {
        self.lineage == *lineage || self.further_lineages().any(|further| further == lineage)
    }

    fn further_lineages(&self) -> impl Iterator<Item = &[u8; 16]> {
        self.more.get(LINEAGES).map(|bytes| bytes.as_chunks().0).unwrap_or_default().iter()
    }

    fn add_lineage(&mut self, lineage: &[u8; 16]) {
        if self.is_of(lineage) {
            return;
        }
        let further = self.more.entry(LINEAGES.to_owned()).or_default();
        if further.len() >= MOST_LINEAGES * lineage.len() {
            // The oldest has had the most time to be replaced by a newer one.
            further.drain(..lineage.len());
        }
        further.extend_from_slice(lineage);
    }

    /// Keeps what the user signed in for, and what was granted of it; `None`: that was not said.
    pub fn set_scopes(&mut self, asked: &Scopes, granted: Option<&Scopes>) {
        self.note(ASKED, asked.to_string());
        self.set_granted(granted);
    }

    /// Keeps what was granted.
    pub fn set_granted(&mut self, granted: Option<&Scopes>) {
        self.note(GRANTED, granted.map(Scopes::to_string).unwrap_or_default());
    }

    /// What the user signed in for; `None` where that is not known.
    pub fn asked(&self) -> Option<Scopes> {
        self.noted(ASKED).map(Scopes::granted)
    }

    /// What was granted (RFC 6749 §5.1); `None` where that is not known.
    pub fn granted(&self) -> Option<Scopes> {
        self.noted(GRANTED).map(Scopes::granted).filter(|granted| !granted.is_empty())
    }

    /// Keeps whether the user signed in at the client without its credential. Whoever signs in again says it anew.
    pub fn set_public(&mut self, is_public: bool) {
        self.note(CLIENT, if is_public { PUBLIC.to_owned() } else { String::new() });
    }

    /// Whether the user signed in at the client without its credential.
    pub fn is_public(&self) -> bool {
        self.noted(CLIENT) == Some(PUBLIC)
    }

    /// Keeps by what the authority knows the user at a sign-out, as an id token says it. One that does not say it changes nothing.
    pub fn set_login_hint(&mut self, hint: Option<&str>) {
        if let Some(hint) = hint.filter(|hint| (1..=LONGEST_HINT).contains(&hint.len())) {
            self.note(LOGIN_HINT, hint.to_owned());
        }
    }

    /// By what the authority knows the user at a sign-out; `None` where no id token said it.
    pub fn login_hint(&self) -> Option<&str> {
        self.noted(LOGIN_HINT)
    }

    /// Makes it the sign-in of a long-running session.
    pub fn set_session(&mut self, facts: &SessionFacts) {
        let SessionFacts { user, home, home_epoch, tenant } = facts;
        self.more.insert(USER.to_owned(), user.to_vec());
        let epoch = home_epoch.map_or(0, NonZeroU64::get).to_be_bytes();
        self.more.insert(HOME.to_owned(), [&home[..], &epoch].concat());
        self.note(TENANT, tenant.clone());
    }

    /// What makes it a long-running session; `None`: it is an account.
    pub fn session(&self) -> Option<SessionFacts> {
        let user = Partition::new(self.session_user()?);
        let (home, epoch) = self.more.get(HOME)?.split_first_chunk::<32>()?;
        let home_epoch = NonZeroU64::new(u64::from_be_bytes(epoch.try_into().ok()?));
        Some(SessionFacts { user, home: Partition::new(*home), home_epoch, tenant: self.noted(TENANT)?.to_owned() })
    }

    /// Whether it is the session of another user than this one, or one is a session and the other is none.
    pub fn is_anothers(&self, other: &Self) -> bool {
        self.more.get(USER) != other.more.get(USER)
    }

    fn session_user(&self) -> Option<[u8; 32]> {
        self.more.get(USER)?.as_slice().try_into().ok()
    }

    /// Remembers that a tenant has issued a token for the account.
    pub fn add_tenant(&mut self, tenant: &str) {
        let mut tenants = self.noted(TENANTS).unwrap_or_default().to_owned();
        // The one where it signed in goes without saying.
        if self.account.tenant_id.as_deref().is_some_and(|own| own.eq_ignore_ascii_case(tenant)) {
            return;
        }
        if tenants.split(' ').any(|known| known.eq_ignore_ascii_case(tenant)) || tenants.split(' ').count() >= MOST_TENANTS {
            return;
        }
        if !tenants.is_empty() {
            tenants.push(' ');
        }
        tenants.push_str(tenant);
        self.note(TENANTS, tenants);
    }

    /// The account as it is listed.
    pub fn listed(&self) -> SignedInAccount {
        let account = self.account.clone();
        let mut tenants: Vec<String> = account.tenant_id.iter().cloned().collect();
        for tenant in self.noted(TENANTS).into_iter().flat_map(|text| text.split(' ')).filter(|tenant| !tenant.is_empty()) {
            if !tenants.iter().any(|known| known.eq_ignore_ascii_case(tenant)) {
                tenants.push(tenant.to_owned());
            }
        }
        SignedInAccount { account, tenants }
    }

    fn noted(&self, name: &str) -> Option<&str> {
        self.more.get(name).and_then(|bytes| std::str::from_utf8(bytes).ok())
    }

    fn note(&mut self, name: &str, text: String) {
        self.more.insert(name.to_owned(), text.into_bytes());
    }

    /// What it weighs in memory, in bytes.
    pub fn weight(&self) -> usize {
        let account = &self.account;
        let names = [&account.home_account_id, &account.local_account_id, &account.environment];
        let texts: usize = names.iter().map(|text| text.len()).sum();
        let optional = [&account.username, &account.tenant_id];
        let more: usize = optional.iter().map(|text| text.as_ref().map_or(0, String::len)).sum();
        // A node of the map for each few names: about what its pointers weigh.
        let unknown: usize = self.more.iter().map(|(name, bytes)| name.len() + bytes.len() + 64).sum();
        size_of::<Self>() + texts + more + unknown + self.refresh_token.as_ref().map_or(0, |token| token.expose().len())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use std::num::NonZeroU64;

    use super::{MOST_LINEAGES, SessionFacts, SignIn};
    use crate::token::{Account, Partition, SpaceId};

    fn sign_in(lineage: u8) -> SignIn {
        let account = Account {
            home_account_id: "oid.tid".to_owned(),
            local_account_id: "oid".to_owned(),
            username: None,
            environment: "host".to_owned(),
            tenant_id: None,
        };
        let (space, lineage) = (SpaceId::new([4; 32]), [lineage; 16]);
        SignIn { account, refresh_token: None, expires_on: 0, space, epoch: None, lineage, more: BTreeMap::new(), shared: 0 }
    }

    #[test]
    fn a_lineage_that_was_told_stays_good_when_its_sign_in_joins_an_older_one() {
        let (older, mut joined) = (sign_in(1), sign_in(2));
        joined.join(&older);
        assert_eq!(joined.lineage, [1; 16]);
        assert!(joined.is_of(&[1; 16]) && joined.is_of(&[2; 16]) && !joined.is_of(&[3; 16]) && !joined.is_of(&[0; 16]));
        // Whatever descends from it, or joins it, knows both.
        let (mut renewed, mut other) = (sign_in(0), sign_in(3));
        renewed.descend_from(&joined);
        other.join(&renewed);
        assert!([1, 2, 3].iter().all(|lineage| other.is_of(&[*lineage; 16])));
        assert!(!renewed.is_of(&[0; 16]) && !older.is_of(&[2; 16]));
        // To join its own lineage adds nothing.
        let (mut again, weight) = (other.clone(), other.weight());
        again.join(&other);
        assert_eq!(again.weight(), weight);
    }

    #[test]
    fn a_hint_stays_until_another_one_is_said() {
        let mut first = sign_in(1);
        first.set_login_hint(None);
        assert_eq!(first.login_hint(), None);
        first.set_login_hint(Some("O.one"));
        let mut renewed = sign_in(2);
        renewed.descend_from(&first);
        for odd in [None, Some(""), Some(&*"a".repeat(1025))] {
            renewed.set_login_hint(odd);
            assert_eq!(renewed.login_hint(), Some("O.one"));
        }
        let mut again = sign_in(3);
        again.set_login_hint(Some("O.two"));
        again.descend_from(&renewed);
        assert_eq!(again.login_hint(), Some("O.two"));
    }

    #[test]
    fn what_both_have_joined_stays_good_and_there_is_a_bound() {
        let (mut left, mut right) = (sign_in(2), sign_in(3));
        left.join(&sign_in(1));
        right.join(&sign_in(4));
        left.join(&right);
        assert!((1..=4).all(|lineage| left.is_of(&[lineage; 16])));
        for lineage in 10..200 {
            let mut next = sign_in(lineage);
            next.join(&left);
            left = next;
        }
        assert!(left.weight() < sign_in(0).weight() + MOST_LINEAGES * 16 + 100);
        assert!(left.is_of(&[4; 16]) && left.is_of(&[199; 16]) && !left.is_of(&[10; 16]));
        // What cannot be lineages is none.
        left.more.insert("lineages".to_owned(), vec![7; 20]);
        assert!(left.is_of(&[7; 16]) && left.is_of(&left.lineage));
    }

    #[test]
    fn what_makes_a_session_is_read_as_it_was_kept_and_an_older_one_changes_nothing() {
        let facts = |user: u8, epoch| SessionFacts {
            user: Partition::new([user; 32]),
            home: Partition::new([9; 32]),
            home_epoch: NonZeroU64::new(epoch),
            tenant: "contoso.example".to_owned(),
        };
        let (mut older, mut newer) = (sign_in(1), sign_in(2));
        assert_eq!(older.session(), None);
        assert!(!older.is_anothers(&newer));
        older.set_session(&facts(1, 0));
        assert!(older.is_anothers(&newer) && newer.is_anothers(&older));
        newer.set_session(&SessionFacts { tenant: String::new(), ..facts(1, 7) });
        assert!(!older.is_anothers(&newer));
        newer.descend_from(&older);
        assert_eq!(newer.session(), Some(SessionFacts { tenant: String::new(), ..facts(1, 7) }));
        assert_eq!(older.session(), Some(facts(1, 0)));
        let mut renewed = sign_in(3);
        renewed.descend_from(&newer);
        assert_eq!(renewed.session(), newer.session());
        older.set_session(&facts(2, 0));
        assert!(older.is_anothers(&newer));
        // What cannot be one is none.
        newer.more.insert("home".to_owned(), vec![7; 39]);
        assert_eq!(newer.session(), None);
    }
}
