//! The admission policies are the cluster's, not a namespace's: all tests that want them share one release.

use std::sync::{Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use serde_json::{Value, json};

use super::{Namespace, Release, image, pod};

/// The release, while somebody wants it.
static SHARED: Mutex<Option<(usize, Policy)>> = Mutex::new(None);
/// Read: the shared release is there. Write: no release is there but the writer's own.
static TURNS: RwLock<()> = RwLock::new(());

/// A release of the policies, in a namespace of its own.
pub(crate) struct Policy {
    pub(crate) release: Release,
    _namespace: Namespace,
}

/// A share in the release that all tests use. The last one takes it down.
pub(crate) struct Injection {
    _turn: RwLockReadGuard<'static, ()>,
}

impl Policy {
    /// Installs it and waits until it is in force.
    pub(crate) fn install(test: &str) -> Self {
        let namespace = Namespace::new(test);
        let release = Release::install(&namespace.name, &format!("inject-{}", std::process::id()), &Self::values());
        Self { release, _namespace: namespace }
    }

    /// The values of the release: all defaults.
    pub(crate) fn values() -> Value {
        json!({"injection": {"enabled": true}, "image": image()})
    }

    /// Nobody else's release, for as long as the guard lives.
    pub(crate) fn alone() -> RwLockWriteGuard<'static, ()> {
        TURNS.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until a Pod of the namespace would get the sidecar: the API server reads new policies every second or so.
    pub(crate) fn in_force(namespace: &Namespace) {
        let asking = pod("asks", &json!({"tokend.dev/inject": "true"}), &super::container("serve", &[]));
        namespace.until("the policy", || namespace.rehearse(&asking).ok().filter(|pod| sidecars(pod) == 1));
    }
}

impl Injection {
    /// The release, in force for this namespace.
    pub(crate) fn for_namespace(namespace: &Namespace) -> Self {
        let turn = TURNS.read().unwrap_or_else(PoisonError::into_inner);
        let mut shared = Self::shared();
        match &mut *shared {
            Some((users, _)) => *users += 1,
            none => *none = Some((1, Policy::install("policies"))),
        }
        drop(shared);
        let injection = Self { _turn: turn };
        Policy::in_force(namespace);
        injection
    }

    fn shared() -> MutexGuard<'static, Option<(usize, Policy)>> {
        SHARED.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Injection {
    fn drop(&mut self) {
        let mut shared = Self::shared();
        let last = match &mut *shared {
            Some((users, _)) => {
                *users -= 1;
                *users == 0
            }
            None => false,
        };
        if last {
            *shared = None;
        }
    }
}

/// How many containers called tokend a Pod has.
pub(crate) fn sidecars(pod: &Value) -> usize {
    let all = ["initContainers", "containers"].into_iter().filter_map(|list| pod["spec"][list].as_array()).flatten();
    all.filter(|container| container["name"] == "tokend").count()
}
