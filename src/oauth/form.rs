//! A form body (RFC 6749 §4) that knows which of its values are secrets.

use std::fmt;

use crate::secret::Secret;

/// Form members in the order they are sent, and whose grant they are.
#[derive(Clone, Default)]
pub struct Form {
    members: Vec<(&'static str, Value)>,
    /// What it is for, where it is no grant.
    purpose: Option<&'static str>,
    /// Whose grant it is, if that is said.
    user: Option<Secret>,
}

#[derive(Clone)]
enum Value {
    Plain(String),
    Secret(Secret),
}

// === impl Form ===

impl Form {
    /// A form of a call that is no grant: metrics and spans call it so.
    pub fn of_call(purpose: &'static str) -> Self {
        Self { purpose: Some(purpose), ..Self::default() }
    }

    /// Adds a member that may be shown.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.members.push((name, Value::Plain(value.into())));
        self
    }

    /// Adds a member that may be shown, if there is one.
    #[must_use]
    pub fn with_some(self, name: &'static str, value: Option<impl Into<String>>) -> Self {
        match value {
            Some(value) => self.with(name, value),
            None => self,
        }
    }

    /// Adds a secret.
    #[must_use]
    pub fn with_secret(mut self, name: &'static str, value: Secret) -> Self {
        self.members.push((name, Value::Secret(value)));
        self
    }

    /// Says whose grant it is, for authorities that route by that (REQ-12): `Oid:OID@TID` or `UPN:NAME`. It is no member.
    #[must_use]
    pub fn about(mut self, user: Option<String>) -> Self {
        self.user = user.map(Secret::new);
        self
    }

    /// Whose grant it is, if that was said.
    pub fn user(&self) -> Option<&str> {
        self.user.as_ref().map(Secret::expose)
    }

    /// The `grant_type` for metrics and spans, or what the call is for if it is no grant.
    pub fn grant(&self) -> &str {
        match self.members.iter().find(|(name, _)| *name == "grant_type") {
            Some((_, Value::Plain(grant))) => grant,
            _ => self.purpose.unwrap_or_default(),
        }
    }

    /// Whether it has this member.
    pub fn has(&self, name: &str) -> bool {
        self.members.iter().any(|(mine, _)| *mine == name)
    }

    /// The values that must not come back in any text.
    pub fn secrets(&self) -> Vec<&str> {
        self.members
            .iter()
            .filter_map(|(_, value)| match value {
                Value::Secret(secret) => Some(secret.expose()),
                Value::Plain(_) => None,
            })
            .collect()
    }

    /// The body, `application/x-www-form-urlencoded` in UTF-8, with the members of another form at its end.
    pub fn encode_with(&self, more: &Self) -> Secret {
        let mut body = url::form_urlencoded::Serializer::new(String::new());
        for (name, value) in self.members.iter().chain(&more.members) {
            body.append_pair(
                name,
                match value {
                    Value::Plain(text) => text,
                    Value::Secret(secret) => secret.expose(),
                },
            );
        }
        Secret::new(body.finish())
    }
}

impl fmt::Debug for Form {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.members.iter().map(|(name, _)| name)).finish()
    }
}
