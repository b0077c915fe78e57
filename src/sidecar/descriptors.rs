//! How many descriptors the process may have open, and who gets them: every connection is one, and without one nothing can be
//! accepted, no authority asked and no file read.

use std::collections::BTreeSet;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::config::Settings;
use crate::finding::Complaint;

/// The descriptors of this process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Descriptors {
    /// How many it may have open; `None`: as many as it likes.
    limit: Option<u64>,
}

/// What macOS gives at most, whatever its hard limit says.
const OPEN_MAX: u64 = 10_240;
/// Sockets that listen, standard streams, timers, files while they are read, name servers, the collector of spans.
const PROCESS: usize = 64;
/// Connections to Redis, each node's and those that replace them.
const REDIS: usize = 32;

// === impl Descriptors ===

impl Descriptors {
    /// Takes as many as the system lets this process have: the usual limit (the soft one) is for programs
    /// that cannot deal with more.
    pub fn raise() -> Self {
        let limits = getrlimit(Resource::Nofile);
        let take = |current| setrlimit(Resource::Nofile, Rlimit { current, ..limits }).is_ok().then_some(current);
        let more = take(limits.maximum).or_else(|| take(limits.current.map(|soft| soft.max(OPEN_MAX))));
        // Where it cannot be raised it stays what it was.
        Self { limit: more.unwrap_or(limits.current) }
    }

    /// Caps both listeners' connections at what is left beside the process's own needs. Returns what is wrong with the limit if
    /// that is less than they would have.
    pub fn divide(self, settings: &mut Settings) -> Option<Complaint> {
        let limit = self.limit.and_then(|limit| usize::try_from(limit).ok())?;
        let wanted = settings.listen.connections;
        let authorities: BTreeSet<_> = settings.apps.iter().map(|app| app.authority.address.to_string()).collect();
        let calls = authorities.len().saturating_mul(settings.calls.concurrency);
        let redis = if settings.cache.redis.is_some() { REDIS } else { 0 };
        let others = PROCESS.saturating_add(calls).saturating_add(redis);
        let enough = others.saturating_add(settings.admin.connections).saturating_add(wanted);
        // However low the limit is, each has something of it.
        settings.admin.connections = settings.admin.connections.min(limit / 8).max(1);
        settings.admin.reserve = settings.admin.reserve.min(settings.admin.connections / 4);
        let left = limit.saturating_sub(others).saturating_sub(settings.admin.connections).max(limit / 2);
        settings.listen.connections = wanted.min(left).max(1);
        (settings.listen.connections < wanted).then(|| {
            let reason = format!(
                "the process may have {limit} descriptors open: the token listener takes {} connections at a time \
                 instead of {wanted}",
                settings.listen.connections
            );
            let remedy = format!(
                "raise the hard limit to {enough} (`LimitNOFILE` of systemd, `--ulimit nofile` of the container runtime, \
                 `ulimit -Hn`)"
            );
            Complaint::new(reason, remedy)
        })
    }

    /// The limit; `None`: there is none.
    pub fn limit(self) -> Option<u64> {
        self.limit
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::Descriptors;
    use crate::config::{Format, Settings, parse};

    fn settings() -> Settings {
        let text = "apps: {a: {issuer: \"https://id.example\", client_id: a, credential: {secret: {file: /s}}}}";
        parse(text, Format::Yaml, "t.yaml", &BTreeMap::new()).0.unwrap()
    }

    #[test]
    fn gives_the_token_listener_what_is_left() {
        for (limit, tokens, admin) in
            [(None, 4096, 256), (Some(1 << 20), 4096, 256), (Some(1024), 768, 128), (Some(256), 128, 32), (Some(3), 1, 1)]
        {
            let mut settings = settings();
            let problem = Descriptors { limit }.divide(&mut settings);
            assert_eq!((settings.listen.connections, settings.admin.connections), (tokens, admin), "{limit:?}");
            assert_eq!(problem.is_some(), tokens < 4096, "{limit:?}");
        }
        let problem = Descriptors { limit: Some(1024) }.divide(&mut settings()).unwrap();
        assert!(problem.reason.contains("768") && problem.remedy.contains("4480"), "{problem:?}");
    }
}
