//! The store that replicas share, from its settings: the files that it needs, and the fleet over it.

use std::sync::Arc;
use std::time::Duration;

use super::parts::Parts;
use crate::admin::ReloadReport;
use crate::cache::{self, Fleet};
use crate::clock::Clock;
use crate::finding::{Complaint, Findings};
use crate::reload::Reloads;
use crate::store::{Access, Encryption, RedisSettings, Ring, Shared};
use crate::transport::Roots;

/// A store whose files are loaded and fit.
#[derive(Debug)]
pub(super) struct PreparedStore {
    settings: RedisSettings,
    access: Access,
    ring: Ring,
}

/// The files that are followed.
#[derive(Clone, Debug)]
pub(super) struct Followed {
    access: Access,
    ring: Ring,
}

/// Loads the key ring, the password and the certificates. Where these do not say whom to trust, it is the same as for authorities.
pub(super) fn prepare(settings: &RedisSettings, roots: &Roots, clock: &Clock, findings: &mut Findings) -> Option<PreparedStore> {
    let file = settings.file.as_deref();
    let ring = Ring::load(&settings.encryption, clock).map_err(|problem| {
        let (file, key) = match &settings.encryption {
            Encryption::KeyRing(source) => (source.file.as_deref(), &source.key),
            Encryption::Plaintext => (file, &settings.key),
        };
        findings.error(file, key, problem);
    });
    let access = Access::load(settings).map_err(|problems| {
        for (key, problem) in problems {
            findings.error(file, &key, problem);
        }
    });
    for (key, problem) in access.iter().flat_map(|access| access.oddities(clock.unix())) {
        findings.warning(file, &key, problem);
    }
    let (Ok(ring), Ok(access)) = (ring, access) else { return None };
    let access = if settings.is_trusted_by_roots() { access.trusting(roots.pem()) } else { access };
    Some(PreparedStore { settings: settings.clone(), access, ring })
}

// === impl PreparedStore ===

impl PreparedStore {
    /// The fleet over the store; nothing is connected to.
    pub(super) fn fleet(&self, cache: &cache::Settings, longest: Duration, parts: &Parts) -> Arc<Fleet> {
        Fleet::new(cache::Parts {
            store: self.store(parts),
            ring: self.ring.clone(),
            prefix: self.settings.key_prefix.clone(),
            version: self.settings.write_version,
            versions: self.settings.versions,
            recheck: cache.recheck,
            longest,
            metrics: parts.metrics.clone(),
            jitter: rand::random::<f64>,
            clock: parts.clock.clone(),
        })
    }

    /// Whether Redis can be used as it is configured; what works and could be better.
    pub(super) async fn prove(&self, parts: &Parts) -> Result<Vec<Complaint>, Complaint> {
        self.store(parts).prove().await
    }

    pub(super) fn followed(self) -> Followed {
        Followed { access: self.access, ring: self.ring }
    }

    fn store(&self, parts: &Parts) -> Arc<Shared> {
        let (clock, tasks) = (parts.clock.clone(), parts.tasks.clone());
        self.ring.observe(&parts.metrics);
        Shared::new(&self.settings, self.access.clone(), clock, tasks, &parts.metrics, rand::random::<f64>)
    }
}

// === impl Followed ===

impl Followed {
    pub(super) fn watch(&self, reloads: &Reloads) {
        self.access.watch(reloads);
        self.ring.watch(reloads);
    }

    pub(super) fn kids(&self) -> Vec<String> {
        self.ring.kids()
    }

    pub(super) fn failures(&self) -> u64 {
        self.access.failures() + self.ring.reload_state().1
    }

    pub(super) fn problems(&self) -> Vec<ReloadReport> {
        let (problem, failures) = self.ring.reload_state();
        let ring = problem.map(|problem| ReloadReport {
            what: "cache.redis.encryption.key_ring".to_owned(),
            failures,
            problem: Some(problem.reason.clone()),
        });
        let access = self.access.problems().into_iter().map(|(what, problem)| ReloadReport {
            what,
            failures: self.access.failures(),
            problem: Some(problem.reason.clone()),
        });
        ring.into_iter().chain(access).collect()
    }
}
