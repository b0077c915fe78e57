//! Who the user of an access token is, where its issuer says that at an endpoint alone (OpenID Connect Core §5.3).

use std::sync::Arc;

use http::header::{ACCEPT, AUTHORIZATION};
use http::{HeaderMap, HeaderValue, Method};

use super::answer::{self, AuthorityError};
use super::record::EndedCall;
use super::server::{Authority, TokenVersion};
use crate::oauth::Claims;
use crate::secret::Secret;
use crate::telemetry::Context;
use crate::transport::{Outgoing, Over};

/// What it is called where calls are counted.
const PURPOSE: &str = "userinfo";

impl Authority {
    /// The claims about the user of an access token; `None`: nothing there says who it is.
    ///
    /// # Errors
    /// The issuer does not answer, or says something else.
    pub async fn userinfo(self: &Arc<Self>, token: &Secret, context: Context) -> Result<Option<Claims>, AuthorityError> {
        if !self.profile().user_ids.are_subjects() {
            // Elsewhere it knows the user by another name than tokens do.
            return Ok(None);
        }
        let document = self.document(TokenVersion::Current, context.clone()).await?;
        let Some(endpoint) = document.metadata.userinfo_endpoint.as_deref() else { return Ok(None) };
        let url = &self.named(Some(endpoint), "the metadata document has no usable `userinfo_endpoint`")?;
        let mut headers = HeaderMap::from_iter([(ACCEPT, HeaderValue::from_static("application/json"))]);
        let bearer = HeaderValue::try_from(format!("Bearer {}", token.expose()));
        let mut bearer = bearer.map_err(|_| AuthorityError::Invalid("its access_token has characters that no header has"))?;
        bearer.set_sensitive(true);
        headers.insert(AUTHORIZATION, bearer);
        let outgoing = Outgoing { method: Method::GET, url, headers, body: None, until: None, over: Over::Kept, purpose: PURPOSE };
        let (started, span) = (self.clock.precise(), outgoing.span(&context, 0));
        let reply = self.door.send_in(&span, context.clone(), outgoing, self.calls.half()).await;
        let result = answer::document::<Claims>(reply, self.clock.wall());
        let took = self.clock.precise().saturating_sub(started);
        self.record.ended(&EndedCall { purpose: PURPOSE, url, context: &context, span: &span, took }, result.as_ref().err());
        result.map(|claims| Some(claims).filter(|claims| claims.sub.as_deref().is_some_and(|sub| !sub.is_empty())))
    }
}
