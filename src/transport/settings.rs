//! How tokend reaches the world, as the configuration says.

use std::fmt;

use url::Url;

/// `outbound`.
#[derive(Clone, Default)]
pub struct Settings {
    /// The proxy for calls beyond loopback; `None`: HTTPS_PROXY and NO_PROXY of the environment.
    pub proxy: Option<Url>,
    /// Hosts that are reached without it, as in NO_PROXY.
    pub no_proxy: Vec<String>,
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A proxy's URL may hold its password.
        let proxy = self.proxy.as_ref().and_then(Url::host_str);
        f.debug_struct("Settings").field("proxy", &proxy).field("no_proxy", &self.no_proxy).finish()
    }
}
