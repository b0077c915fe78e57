//! How tokend reaches the world, as the configuration says.

use url::Url;

/// `outbound`.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// The proxy for calls beyond loopback; `None`: HTTPS_PROXY and NO_PROXY of the environment.
    pub proxy: Option<Url>,
    /// Hosts that are reached without it, as in NO_PROXY.
    pub no_proxy: Vec<String>,
}
