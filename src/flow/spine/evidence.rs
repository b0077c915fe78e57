//! Whether a refused credential is refused everywhere: only a proof of that stops the app in all tenants (contract, cache point
//! 11).
//!
//! A tenant that lost the app's service principal says `invalid_client` as well, and that means nothing for the others. It is a
//! proof if the app's own tenant says so. It is also one if two tenants do while a credential that worked before has worked nowhere
//! since. A tenant was wrong if the credential worked elsewhere after its refusal: it is not believed again before the credential
//! has worked there.

use std::sync::{Mutex, PoisonError};

use serde::{Deserialize, Serialize};

/// The version that no credential has, for what is sent as a public client: what is said of that says nothing of the credential.
pub(in crate::flow) const NO_CREDENTIAL: u64 = u64::MAX;

/// How many tenants are kept that accuse the credential; two are a proof.
const MOST_ACCUSING: usize = 16;
/// How many tenants are kept that were wrong about it.
const MOST_DISPROVED: usize = 64;

/// What tenants said of one version of an app's credential. It is shared by the replicas.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::flow) struct Evidence {
    /// Whether it worked anywhere.
    worked: bool,
    /// Who refused it since it last worked, by hash.
    accusing: Vec<u64>,
    /// Who refused it while it worked elsewhere, by hash.
    disproved: Vec<u64>,
}

/// Which tenant a request goes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::flow) struct Witness {
    /// A hash of its name.
    pub(in crate::flow) id: u64,
    pub(in crate::flow) standing: Standing,
}

/// What a tenant's word is worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::flow) enum Standing {
    /// It is the app's own: what it says of the credential is so.
    Own,
    /// It is another one.
    Other,
    /// It may be one of the others under another name: a domain name, or `common`.
    Unknown,
}

/// The evidence about the credential in force.
#[derive(Debug, Default)]
pub(in crate::flow) struct Ledger(Mutex<(u64, Evidence)>);

// === impl Evidence ===

impl Evidence {
    /// A tenant refused the credential. Returns whether that proves that it is refused everywhere.
    pub(in crate::flow) fn refused_by(&mut self, witness: Witness) -> bool {
        if witness.standing == Standing::Unknown || self.disproved.contains(&witness.id) {
            return false;
        }
        if !self.accusing.contains(&witness.id) {
            keep(&mut self.accusing, witness.id, MOST_ACCUSING);
        }
        witness.standing == Standing::Own || (self.worked && self.accusing.len() > 1)
    }

    /// It worked in a tenant. Returns whether that says something new of others.
    pub(in crate::flow) fn worked_at(&mut self, witness: Witness) -> bool {
        self.worked = true;
        if self.accusing.is_empty() && !self.disproved.contains(&witness.id) {
            return false;
        }
        for wrong in std::mem::take(&mut self.accusing) {
            keep(&mut self.disproved, wrong, MOST_DISPROVED);
        }
        self.disproved.retain(|id| *id != witness.id);
        true
    }

    /// Takes over what the replicas have in common.
    pub(in crate::flow) fn heard(&mut self, common: Self) {
        let worked = self.worked || common.worked;
        *self = Self { worked, ..common };
        self.accusing.truncate(MOST_ACCUSING);
        self.disproved.truncate(MOST_DISPROVED);
    }
}

/// Adds one; the oldest leaves.
fn keep(list: &mut Vec<u64>, id: u64, most: usize) {
    list.retain(|other| *other != id);
    if list.len() >= most {
        list.remove(0);
    }
    list.push(id);
}

// === impl Ledger ===

impl Ledger {
    /// Does something with what is known of a version; of another one nothing is known any more.
    pub(in crate::flow) fn of<T>(&self, version: u64, does: impl FnOnce(&mut Evidence) -> T) -> T {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.0 != version {
            *known = (version, Evidence::default());
        }
        does(&mut known.1)
    }
}

#[cfg(test)]
mod tests {
    use super::{Evidence, Ledger, MOST_ACCUSING, MOST_DISPROVED, Standing, Witness};

    const OWN: Witness = Witness { id: 0, standing: Standing::Own };

    fn other(id: u64) -> Witness {
        Witness { id, standing: Standing::Other }
    }

    #[test]
    fn the_own_tenant_is_a_proof_whether_it_worked_or_not() {
        assert!(Evidence::default().refused_by(OWN));
        let mut evidence = Evidence::default();
        evidence.worked_at(OWN);
        assert!(evidence.refused_by(OWN));
    }

    #[test]
    fn two_tenants_are_a_proof_if_it_worked_before_and_not_since() {
        let mut evidence = Evidence::default();
        evidence.worked_at(other(3));
        assert!(!evidence.refused_by(other(1)));
        assert!(!evidence.refused_by(other(1)), "the same one twice is one");
        assert!(evidence.refused_by(other(2)));
    }

    #[test]
    fn without_a_success_yet_no_number_of_tenants_is_a_proof() {
        let mut evidence = Evidence::default();
        for id in 1..100 {
            assert!(!evidence.refused_by(other(id)), "{id}");
        }
        assert!(evidence.accusing.len() <= MOST_ACCUSING);
    }

    #[test]
    fn a_success_disproves_who_accused_until_it_works_there() {
        let mut evidence = Evidence::default();
        evidence.worked_at(other(3));
        evidence.refused_by(other(1));
        assert!(evidence.worked_at(other(3)));
        assert!(!evidence.refused_by(other(2)));
        assert!(evidence.worked_at(other(3)));
        // Both lost the app: they say so for ever, and stop nobody.
        for _ in 0..3 {
            assert!(!evidence.refused_by(other(1)) && !evidence.refused_by(other(2)));
        }
        assert!(!evidence.worked_at(other(3)), "nothing new");
        assert!(evidence.worked_at(other(1)));
        assert!(!evidence.refused_by(other(1)));
        assert!(evidence.refused_by(other(4)));
        evidence.worked_at(OWN);
        evidence.refused_by(OWN);
        evidence.worked_at(other(3));
        assert!(!evidence.refused_by(OWN), "the own tenant can be wrong too");
    }

    #[test]
    fn what_may_be_the_same_tenant_under_another_name_is_no_second_one() {
        let mut evidence = Evidence::default();
        evidence.worked_at(other(3));
        assert!(!evidence.refused_by(other(1)));
        assert!(!evidence.refused_by(Witness { id: 2, standing: Standing::Unknown }));
    }

    #[test]
    fn what_is_kept_is_bounded_and_travels() {
        let (mut evidence, mut there) = (Evidence::default(), Evidence::default());
        evidence.worked_at(other(1000));
        for id in 0..200 {
            evidence.refused_by(other(id));
            evidence.worked_at(other(1000));
        }
        assert_eq!(evidence.disproved.len(), MOST_DISPROVED);
        evidence.refused_by(other(500));
        let text = serde_json::to_vec(&evidence).unwrap();
        there.heard(serde_json::from_slice(&text).unwrap());
        assert_eq!(there, evidence);
        assert!(there.refused_by(other(501)));
    }

    #[test]
    fn a_new_credential_is_judged_anew() {
        let ledger = Ledger::default();
        assert!(!ledger.of(1, |evidence| evidence.worked_at(other(9)) || evidence.refused_by(other(1))));
        assert!(!ledger.of(2, |evidence| evidence.refused_by(other(2))));
    }
}
