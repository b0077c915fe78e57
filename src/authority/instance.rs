//! Whether Entra knows the host of an authority (AUT-4): asked by `tokend check --online` alone, since a sidecar that runs trusts
//! what its operator wrote.

use std::sync::Arc;

use http::header::ACCEPT;
use http::{HeaderMap, HeaderValue, Method};
use serde::Deserialize;
use url::Url;

use super::cloud;
use super::document::shown;
use super::server::Authority;
use super::settings::is_loopback;
use crate::finding::Complaint;
use crate::telemetry::Context;
use crate::transport::{Outgoing, Over};

/// Whom to ask about a host that is no known cloud's.
const USUAL: &str = "https://login.microsoftonline.com/";

#[derive(Deserialize)]
struct InstanceAnswer {
    #[serde(default)]
    error: String,
}

// === impl Authority ===

impl Authority {
    /// What is wrong with its host, if Entra says that there is no such instance. An answer that cannot be had says nothing.
    pub async fn unknown_instance(self: &Arc<Self>, context: Context) -> Option<Complaint> {
        if !self.profile().aliases {
            return None;
        }
        let (own, host) = (self.address.url(), self.address.host());
        let asks_itself = cloud::is_known(&host) || is_loopback(own);
        let mut url = if asks_itself { own.clone() } else { Url::parse(USUAL).ok()? };
        url.set_path("/common/discovery/instance");
        let about = format!("{}/oauth2/v2.0/authorize", self.address.base(None));
        url.query_pairs_mut().append_pair("api-version", "1.1").append_pair("authorization_endpoint", &about);
        let headers = HeaderMap::from_iter([(ACCEPT, HeaderValue::from_static("application/json"))]);
        let (url, purpose) = (&url, "instance");
        let outgoing = Outgoing { method: Method::GET, url, headers, body: None, until: None, over: Over::Kept, purpose };
        let reply = self.door.send(context, outgoing, self.calls.half()).await.ok()?;
        let answer: InstanceAnswer = serde_json::from_slice(&reply.body).ok()?;
        (answer.error == "invalid_instance").then(|| {
            Complaint::new(
                format!("Entra knows no instance `{}`", shown(&host)),
                "write the host of one of Microsoft's clouds, such as https://login.microsoftonline.com/TENANT, or say by `kind` what is \
                 at this host",
            )
        })
    }
}
