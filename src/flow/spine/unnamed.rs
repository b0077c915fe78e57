//! What becomes of a refresh token whose answer names nobody (RFC 6749 §6). There is no account to keep its successor with, and it
//! must not be lost: it becomes a long-running session, whose key stands in the answer.

use super::once::Redemption;
use super::refresh::{Renewal, sign_in};
use crate::cache::{Kept, KeptSignIn};
use crate::flow::grants::sessions_of;
use crate::flow::members::random;
use crate::secret::Secret;
use crate::token::{Account, IssuedToken, PartitionOwner, Scopes, SessionFacts, Tenant};

impl Redemption {
    /// Keeps the successor as a session, and returns the key. `None`: there is no successor, the app could not continue a session,
    /// or it cannot be kept.
    pub(super) async fn as_session(&self, renewal: &Renewal, grant: &IssuedToken) -> Option<Secret> {
        let (state, plan) = self.parts();
        let (app, accounts) = (&plan.app, state.cache.accounts());
        renewal.token()?;
        app.has_credential().ok()?;
        let key = random().ok()?;
        let space = sessions_of(app, plan.owner);
        let partition = space.partition(PartitionOwner::Session(&key));
        let mut sign_in = sign_in(space.id(), nobody(app.environment(), grant), renewal, grant, None);
        if !app.authority.profile().reserved_scopes {
            let granted = Scopes::granted(&grant.scope);
            sign_in.set_scopes(&plan.scopes, Some(&granted).filter(|granted| !granted.is_empty()));
        }
        let tenant = plan.tenant.as_ref().map(Tenant::to_string).or_else(|| grant.tenant_id.clone()).unwrap_or_default();
        // It is nobody's but its own: no account's sign-out ends it, and no user's token begins it anew.
        sign_in.set_session(&SessionFacts { user: partition, home: partition, home_epoch: None, tenant });
        let since = accounts.watch_sign_outs();
        let KeptSignIn { kept, .. } = accounts.keep_session(space.id(), &partition, sign_in, (&since, false)).await;
        matches!(kept, Kept::Stored | Kept::Later).then(|| Secret::new(key))
    }
}

/// The account of a session of whom nothing is known.
fn nobody(environment: String, grant: &IssuedToken) -> Account {
    Account {
        home_account_id: String::new(),
        local_account_id: String::new(),
        username: None,
        environment,
        tenant_id: grant.tenant_id.clone(),
    }
}
