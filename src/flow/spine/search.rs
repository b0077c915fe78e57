//! A token of an account that one of several owners may have: those who may use everybody's accounts have it wherever it is.

use std::sync::Arc;

use super::failure::{no_tokens, unavailable};
use crate::cache::Known;
use crate::caller::Caller;
use crate::flow::plan::{AccountSearch, CachedPlan, partition_of};
use crate::flow::refusal::RefusalKind;
use crate::flow::request::Outcome;
use crate::flow::state::FlowState;
use crate::token::Partition;

/// The token of the first of these owners who has the account.
pub(super) async fn run(state: &Arc<FlowState>, mut plan: CachedPlan<'_>, search: AccountSearch<'_>) -> Outcome {
    let AccountSearch { account, mut owners } = search;
    // What memory has comes before a search of the others: a hit stays a hit, whoever its owner is.
    let at_hand = owners.iter().position(|owner| {
        plan.look_at(*owner, account);
        state.is_at_hand(&plan)
    });
    if let Some(before) = at_hand.and_then(|at| owners.get_mut(..=at)) {
        before.rotate_right(1);
    }
    let mut outcome = Err(Arc::new(no_tokens()));
    let mut owners = owners.into_iter();
    if at_hand.is_some()
        && let Some(owner) = owners.next()
    {
        plan.look_at(owner, account);
        if let Some(found) = of_one(state, &plan, &mut outcome).await {
            return found;
        }
    }
    // All others are asked at once: there may be many, and most do not have the account.
    let owners: Vec<Caller> = owners.collect();
    let partitions: Vec<Partition> = owners.iter().map(|owner| partition_of(plan.app, *owner, account)).collect();
    let Known { known, unsure } = state.cache.accounts().known(&partitions).await;
    if let Some(why) = unsure {
        outcome = Err(Arc::new(unavailable(why)));
    }
    for (owner, _) in owners.into_iter().zip(known).filter(|(_, is_known)| *is_known) {
        plan.look_at(owner, account);
        if let Some(found) = of_one(state, &plan, &mut outcome).await {
            return found;
        }
    }
    outcome
}

/// The token of one of several owners; `None`: the next one may have it, else `outcome` is what is to be said.
async fn of_one(state: &Arc<FlowState>, plan: &CachedPlan<'_>, outcome: &mut Outcome) -> Option<Outcome> {
    let found = state.acquire(plan).await;
    match found.as_ref().err().map(|refusal| refusal.kind) {
        Some(RefusalKind::NoTokensFound) => None,
        // Whether this owner has the account is not known now; another's sign-in may be in memory. If none is, this is the answer.
        Some(RefusalKind::CacheUnavailable) => {
            *outcome = found;
            None
        }
        _ => Some(found),
    }
}
