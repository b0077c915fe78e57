//! `tokend check --online`: one token for each app, from its real authority.

use uuid::Uuid;

use super::print::out;
use crate::clock::Clock;
use crate::sidecar::{Parts, Prepared};
use crate::tasks::Tasks;
use crate::telemetry::{Context, Metrics, Sampler, Trace};

/// Returns the exit status: 0 if every app gets a token.
pub(super) async fn online(prepared: &Prepared) -> u8 {
    let parts = Parts { clock: Clock::system(), tasks: Tasks::default(), metrics: Metrics::default(), sampler: Sampler::new(None) };
    let (service, _) = prepared.assemble(&parts);
    let mut names: Vec<String> = service.apps().map(|app| app.name.clone()).collect();
    names.sort_unstable();
    let mut code = 0;
    for name in names {
        let call = Context { correlation_id: Uuid::new_v4(), trace: Trace::default() };
        match service.probe(call, &name).await {
            Ok(()) => out(&format!("{name}: the authority gives it tokens\n")),
            Err(refusal) => {
                code = 1;
                let said = refusal.answer.as_ref().and_then(|answer| answer.error_description.as_deref()).unwrap_or_default();
                out(&format!("{name}: {}: {} {said}\n", refusal.error(), refusal.detail));
            }
        }
    }
    code
}
