//! How tokend reaches the world, as the configuration says.

use std::fmt;
use std::path::PathBuf;

use url::Url;

/// `outbound`.
#[derive(Clone, Default)]
pub struct Settings {
    /// The proxy for calls beyond loopback, if there is one: `outbound.proxy`, else HTTPS_PROXY of the environment.
    pub proxy: Option<Url>,
    /// Hosts that are reached without it, as in NO_PROXY.
    pub no_proxy: Vec<String>,
    /// The root certificates that the environment names.
    pub roots: NamedRoots,
}

/// SSL_CERT_FILE and SSL_CERT_DIR.
#[derive(Clone, Debug, Default)]
pub struct NamedRoots {
    /// A file with certificates as PEM.
    pub file: Option<PathBuf>,
    /// Directories with such files.
    pub directories: Vec<PathBuf>,
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A proxy's URL may hold its password.
        let proxy = self.proxy.as_ref().and_then(Url::host_str);
        f.debug_struct("Settings").field("proxy", &proxy).field("no_proxy", &self.no_proxy).field("roots", &self.roots).finish()
    }
}
