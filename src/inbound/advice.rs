//! What is said of a token that is not for the app: for whom it is, and what its client has to ask for.
//!
//! A token for another API often cannot be verified at all (Microsoft Graph's are made so). What it says of itself is enough to
//! refuse it.

use super::policy::Policy;
use super::signature::TokenRejected;
use crate::authority::AccessTokenForm;
use crate::oauth::{Claims, unverified};

/// How many audiences are named, and how long they may be, in bytes.
const NAMED: (usize, usize) = (3, 128);

/// What Microsoft Graph's tokens are for.
const GRAPH: [&str; 3] = ["00000003-0000-0000-c000-000000000000", "https://graph.microsoft.com", "https://graph.microsoft.com/"];

// === impl Policy ===

impl Policy {
    /// Why a token is not accepted that has no claims of its authority's.
    pub fn explain(&self, token: &str, rejected: &TokenRejected) -> String {
        match (rejected, unverified(token)) {
            (TokenRejected::NoJwt, _) => format!("{rejected}, and may be for another API: {}", self.remedy()),
            (_, Some(claims)) if !self.is_for(&claims) => self.elsewhere(&claims),
            _ => rejected.to_string(),
        }
    }

    /// For whom a token is that is not for the app.
    pub fn elsewhere(&self, claims: &Claims) -> String {
        let (most, longest) = NAMED;
        let nameable = |audience: &&str| {
            let plain = |byte: u8| byte.is_ascii_graphic() && byte != b'`';
            !audience.is_empty() && audience.len() <= longest && audience.bytes().all(plain)
        };
        let named: Vec<String> = claims.aud.iter().filter(nameable).take(most).map(name_of).collect();
        let whose = match (named.as_slice(), claims.aud.iter().next()) {
            (_, None) => "it has no audience".to_owned(),
            ([], Some(_)) => "its audience is another API than this app".to_owned(),
            (named, Some(_)) => format!("its audience is {}, which is another API than this app", named.join(", ")),
        };
        format!("{whose}: {}", self.remedy())
    }

    /// What the client has to ask for.
    fn remedy(&self) -> String {
        let scope = self.scopes.first().map(String::as_str);
        let audience = self.audiences.first().map_or("", String::as_str);
        match (self.form, scope) {
            (AccessTokenForm::Delegated, _) => {
                let scope = scope.unwrap_or(".default");
                format!("the client has to ask for the scope `{}/{scope}`", audience.trim_end_matches('/'))
            }
            (AccessTokenForm::AnyIssuer, None) => format!("the client has to ask for a token whose audience is `{audience}`"),
            (AccessTokenForm::AnyIssuer, Some(scope)) => {
                format!("the client has to ask for a token whose audience is `{audience}`, with the scope `{scope}`")
            }
        }
    }
}

fn name_of(audience: &str) -> String {
    if GRAPH.contains(&audience) { format!("`{audience}` (Microsoft Graph)") } else { format!("`{audience}`") }
}

#[cfg(test)]
mod tests {
    use crate::authority::AccessTokenForm;
    use crate::inbound::{Issuers, Policy, Settings, Tenants};
    use crate::oauth::{Audience, Claims};

    fn policy(audiences: &[&str], scopes: &[&str], form: AccessTokenForm) -> Policy {
        let [audiences, scopes] = [audiences, scopes].map(|list| list.iter().map(|text| (*text).to_owned()).collect());
        let settings = Settings { audiences, scopes, ..Settings::default() };
        Policy::new(&settings, "client", Issuers::PerTenant(Tenants::Own), form)
    }

    fn of(audiences: &[&str]) -> Claims {
        Claims { aud: Audience::Many(audiences.iter().map(|text| (*text).to_owned()).collect()), ..Claims::default() }
    }

    #[test]
    fn a_token_for_another_api_says_for_whom_it_is_and_what_to_ask_for() {
        let (entra, issuer) = (AccessTokenForm::Delegated, AccessTokenForm::AnyIssuer);
        for (policy, audiences, said) in [
            (policy(&["api://orders"], &["read"], entra), vec!["https://graph.microsoft.com"], "(Microsoft Graph), which is"),
            (
                policy(&["api://orders"], &["read"], entra),
                vec!["x"],
                "is `x`, which is another API than this app: the client has to ask for the scope `api://orders/read`",
            ),
            (
                policy(&[], &[], entra),
                vec!["x", "y"],
                "is `x`, `y`, which is another API than this app: the client has to ask for the scope `client/.default`",
            ),
            (
                policy(&["https://o/"], &[], entra),
                vec!["a b", "`c`", ""],
                "is another API than this app: the client has to ask for the scope `https://o/.default`",
            ),
            (
                policy(&["orders"], &[], issuer),
                vec![],
                "it has no audience: the client has to ask for a token whose audience is `orders`",
            ),
            (
                policy(&["orders"], &["read"], issuer),
                vec!["1", "2", "3", "4"],
                "is `1`, `2`, `3`, which is another API than this app: the client has to ask for a token whose audience is `orders`, with the scope `read`",
            ),
        ] {
            let text = policy.elsewhere(&of(&audiences));
            assert!(text.contains(said), "{text}");
        }
        let long = "x".repeat(129);
        assert!(!policy(&["orders"], &[], issuer).elsewhere(&of(&[&long])).contains("xxx"));
    }
}
