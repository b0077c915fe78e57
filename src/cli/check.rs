//! `tokend check` beyond the files: the shared cache as it is configured, and with `--online` one token for each app.

use uuid::Uuid;

use super::print::{err, out};
use crate::clock::Clock;
use crate::sidecar::{Parts, Prepared};
use crate::tasks::Tasks;
use crate::telemetry::{Context, Metrics, Sampler};

/// Returns the exit status: 0 if all that was tried works.
pub(super) async fn run(prepared: &Prepared, online: bool) -> u8 {
    let parts = Parts { clock: Clock::system(), tasks: Tasks::default(), metrics: Metrics::default(), sampler: Sampler::new(None) };
    let shared = match prepared.prove_shared(&parts).await {
        None => 0,
        Some(Ok(warnings)) => {
            for problem in warnings {
                err(&format!("warning: cache.redis: {}\n  remedy: {}\n", problem.reason, problem.remedy));
            }
            out("cache.redis: it can be read, written and subscribed to\n");
            0
        }
        Some(Err(problem)) => {
            err(&format!("error: cache.redis: {}\n  remedy: {}\n", problem.reason, problem.remedy));
            1
        }
    };
    if !online {
        if shared == 0 {
            out("the configuration is good\n");
        }
        return shared;
    }
    shared.max(tokens(prepared, &parts).await)
}

/// Asks for one token for each app.
async fn tokens(prepared: &Prepared, parts: &Parts) -> u8 {
    let (service, _) = prepared.assemble(parts);
    let mut names: Vec<String> = service.apps().map(|app| app.name.clone()).collect();
    names.sort_unstable();
    let mut code = 0;
    for name in names {
        let call = Context::untraced(Uuid::new_v4());
        match service.probe(call, &name).await {
            Ok(()) => {
                out(&format!("{name}: the authority gives it tokens\n"));
                if let Some(problem) = service.unknown_instance(Context::untraced(Uuid::new_v4()), &name).await {
                    code = 1;
                    err(&format!("error: apps.{name}.authority: {}\n  remedy: {}\n", problem.reason, problem.remedy));
                }
                for problem in service.foreign_issuers(Context::untraced(Uuid::new_v4()), &name).await {
                    err(&format!("warning: apps.{name}.authority: {}\n  remedy: {}\n", problem.reason, problem.remedy));
                }
            }
            Err(refusal) => {
                code = 1;
                let said = refusal.answer.as_ref().and_then(|answer| answer.error_description.as_deref()).unwrap_or_default();
                out(&format!("{name}: {}: {} {said}\n", refusal.error(), refusal.detail));
                if let Some(cause) = &refusal.cause {
                    out(&format!("  cause: {cause}\n"));
                }
            }
        }
    }
    code
}
