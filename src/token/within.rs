//! Whether a grant stays within what an api is configured for: what was granted is compared, not what was asked.

use super::scopes::{Matching, Scopes};

/// What Entra grants beside any resource's scopes: they say who signed in, and are good for no other API.
const OF_OPENID: [&str; 4] = ["openid", "profile", "email", "offline_access"];

/// What an issuer grants beside any api's scopes: what tokend itself adds to a sign-in.
const OF_SIGN_IN: [&str; 2] = ["openid", "offline_access"];

/// The resource of scopes that name none, at Entra.
const GRAPH: &str = "https://graph.microsoft.com";

/// What else Microsoft Graph is called: in other clouds, and by its application id.
const GRAPHS: [&str; 4] = [
    "https://graph.microsoft.us",
    "https://dod-graph.microsoft.us",
    "https://microsoftgraph.chinacloudapi.cn",
    "00000003-0000-0000-c000-000000000000",
];

// === impl Scopes ===

impl Scopes {
    /// These scopes without what OpenID Connect reserves, which says nothing of an API.
    #[must_use]
    pub fn of_apis(&self) -> Self {
        Self::granted(&self.iter().filter(|scope| !is_of_openid(scope)).collect::<Vec<_>>().join(" "))
    }

    /// Whether a token with these granted scopes (space-separated) is good for nothing but what these scopes of an api stand for.
    ///
    /// At issuers every granted scope has to be one of them. An Entra-style answer lists everything that was ever consented to of
    /// the token's resource, so that there it has to be a scope of that resource. A grant that names no scope says nothing, and is
    /// not within.
    pub fn contain(&self, granted: &str, matching: Matching) -> bool {
        let mut granted = granted.split_ascii_whitespace().peekable();
        granted.peek().is_some() && granted.all(|scope| self.allow(scope, matching))
    }

    fn allow(&self, granted: &str, matching: Matching) -> bool {
        if self.has(granted, matching) {
            return true;
        }
        match matching {
            Matching::Identical => OF_SIGN_IN.contains(&granted),
            Matching::Superset => {
                let same = |mine: &str| {
                    resource(mine).zip(resource(granted)).is_some_and(|(mine, granted)| mine.eq_ignore_ascii_case(granted))
                };
                is_of_openid(granted) || self.iter().filter(|mine| !is_of_openid(mine)).any(same)
            }
        }
    }
}

/// Whether a scope is about signing in, and of no resource.
fn is_of_openid(scope: &str) -> bool {
    OF_OPENID.iter().any(|other| other.eq_ignore_ascii_case(scope))
}

/// What stands before a scope's last slash: `api://orders/read` is a scope of `api://orders`, and a bare name is one of Microsoft
/// Graph's. `None`: it names a resource and no scope of it.
fn resource(scope: &str) -> Option<&str> {
    let Some((resource, name)) = scope.rsplit_once('/') else { return Some(GRAPH) };
    // `api://orders`: the slashes belong to the scheme.
    let plain = resource.trim_end_matches('/');
    if plain.is_empty() || plain.ends_with(':') || name.is_empty() {
        return None;
    }
    Some(if GRAPHS.iter().any(|graph| graph.eq_ignore_ascii_case(resource)) { GRAPH } else { resource })
}

#[cfg(test)]
mod tests {
    use super::Matching::{Identical, Superset};
    use super::Scopes;

    #[track_caller]
    fn within(api: &str, granted: &str, matching: super::Matching, expected: bool) {
        let api = Scopes::from_text(api).unwrap();
        assert_eq!(api.contain(granted, matching), expected, "{api} / {granted}");
    }

    #[test]
    fn at_an_issuer_each_granted_scope_is_one_of_the_apis() {
        for granted in ["read", "read list", "list  read", "openid read offline_access"] {
            within("read list", granted, Identical, true);
        }
        for granted in ["read write", "Read", "read admin", "profile", "openid email", "", " ", "OpenID"] {
            within("read list", granted, Identical, false);
        }
        // Slashes mean nothing there.
        within("https://a/read", "https://a/write", Identical, false);
        within("a/.default", "a/write", Identical, false);
    }

    #[test]
    fn at_entra_each_granted_scope_is_one_of_the_apis_resource() {
        for (api, granted) in [
            ("api://orders/read", "api://orders/read"),
            ("api://orders/read", "api://orders/write API://Orders/Export"),
            ("api://orders/.default", "api://orders/read api://orders/.default"),
            ("api://orders/read", "openid profile email offline_access"),
            ("User.Read", "User.Read Mail.Read"),
            ("User.Read", "https://graph.microsoft.com/User.Read https://graph.microsoft.com/.default openid"),
            ("https://graph.microsoft.com/User.Read", "Mail.Read profile"),
            ("https://graph.microsoft.us/User.Read", "user.read"),
            ("00000003-0000-0000-C000-000000000000/User.Read", "User.Read"),
            ("2c5f3a0e-6f0a-4f0e-9d5b-0a4f5f3f9b11/read", "2C5F3A0E-6f0a-4f0e-9d5b-0a4f5f3f9b11/write"),
            ("https://management.azure.com//.default", "https://management.azure.com//user_impersonation"),
            ("api://orders", "API://orders"),
        ] {
            within(api, granted, Superset, true);
        }
        for (api, granted) in [
            ("api://orders/read", "api://billing/read"),
            ("api://orders/read", "api://orders/read api://billing/read"),
            ("api://orders/read", "User.Read"),
            // Signing in is of no resource, although its scopes are bare names as Graph's are.
            ("api://orders/read openid", "Mail.Read"),
            ("openid profile", "User.Read"),
            ("api://orders/read", "api://orders.evil/read"),
            ("api://orders/read", "api://orders/sub/read"),
            ("User.Read", "https://graph.windows.net/User.Read"),
            ("User.Read", "api://orders/User.Read"),
            ("api://orders", "api://billing"),
            ("api://orders", "api://orders/read"),
            ("https://a", "https://b"),
            ("api://orders/", "api://orders/read"),
            ("/read", "/write"),
            ("api:///read", "api:///write"),
            ("api://orders/read", ""),
        ] {
            within(api, granted, Superset, false);
        }
    }
}
