//! Scopes as Entra reads them: all of one resource, reserved ones aside, known, and consented to.

use crate::{
    fault::{Fault, Outcome},
    issued::Person,
    registration::App,
    world::World,
};

const GRAPH: &str = "https://graph.microsoft.com";
/// Scopes that are of no resource.
const RESERVED: [&str; 4] = ["openid", "profile", "email", "offline_access"];

/// A `scope` parameter, understood.
pub(crate) struct Asked<'a> {
    pub(crate) resource: &'a App,
    /// The permissions with the prefix each was asked with (empty for bare Graph scopes).
    wanted: Vec<(String, String)>,
    pub(crate) openid: bool,
    pub(crate) profile: bool,
    pub(crate) email: bool,
    pub(crate) offline_access: bool,
}

/// What a user's token will carry.
pub(crate) struct Granted {
    /// The token's `scp`.
    pub(crate) scp: String,
    /// The answer's `scope`.
    pub(crate) scope: String,
}

/// The resource of a client credentials request, whose scope has exactly one form. Reserved ones are not looked at: msal-go and
/// msal4j send them with this grant too.
pub(crate) fn default_of<'a>(world: &'a World, tenant: &str, scope: &str) -> Outcome<&'a App> {
    let mut scopes = scope.split_whitespace().filter(|one| !is_reserved(one));
    let (Some(only), None) = (scopes.next(), scopes.next()) else {
        return Err(not_default(scope));
    };
    let name = only.strip_suffix("/.default").ok_or_else(|| not_default(scope))?;
    world.directory.resource(name, tenant).ok_or_else(|| no_resource(name, tenant))
}

fn is_reserved(scope: &str) -> bool {
    RESERVED.iter().any(|name| name.eq_ignore_ascii_case(scope))
}

/// Takes a user flow's `scope` apart, which is of one resource wherever a token comes of it.
pub(crate) fn parse<'a>(world: &'a World, tenant: &str, scope: &str) -> Outcome<Asked<'a>> {
    let mut all = parse_all(world, tenant, scope)?;
    match all.pop() {
        Some(only) if all.is_empty() => Ok(only),
        _ => Err(Fault::says(
            28000,
            format!(
                "Provided value for the input parameter scope is not valid because it contains more than one resource. Scope \
                 {scope} is not valid."
            ),
        )),
    }
}

/// Takes a user flow's `scope` apart, a part for each resource. A user may consent to several at once. Without a resource it is
/// Graph's, as at Entra.
pub(crate) fn parse_all<'a>(world: &'a World, tenant: &str, scope: &str) -> Outcome<Vec<Asked<'a>>> {
    let has = |name: &str| scope.split_whitespace().any(|one| one.eq_ignore_ascii_case(name));
    let of = |resource: &'a App| Asked {
        resource,
        wanted: Vec::new(),
        openid: has("openid"),
        profile: has("profile"),
        email: has("email"),
        offline_access: has("offline_access"),
    };
    let mut all: Vec<Asked<'a>> = Vec::new();
    for one in scope.split_whitespace().filter(|one| !is_reserved(one)) {
        let (prefix, name) = one.rsplit_once('/').unwrap_or(("", one));
        let asked = if prefix.is_empty() { GRAPH } else { prefix };
        // How a resource is named whose entity id is no URI.
        let asked = asked.strip_prefix("spn:").unwrap_or(asked);
        let found = world.directory.resource(asked, tenant).ok_or_else(|| no_resource(asked, tenant))?;
        let wanted = (prefix.to_owned(), name.to_owned());
        match all.iter_mut().find(|asked| asked.resource.client_id == found.client_id) {
            Some(asked) => asked.wanted.push(wanted),
            None => all.push(Asked { wanted: vec![wanted], ..of(found) }),
        }
    }
    if scope.trim().is_empty() {
        return Err(Fault::says(900_144, "The request body must contain the following parameter: 'scope'."));
    }
    if all.is_empty() {
        all.push(of(world.directory.resource(GRAPH, tenant).ok_or_else(|| no_resource(GRAPH, tenant))?));
    }
    Ok(all)
}

fn not_default(scope: &str) -> Box<Fault> {
    Fault::says(
        1_002_012,
        format!(
            "The provided value for scope {scope} is not valid. Client credential flows must have a scope value with \
             /.default suffixed to the resource identifier (application ID URI)."
        ),
    )
}

fn no_resource(name: &str, tenant: &str) -> Box<Fault> {
    Fault::says(500_011, format!("The resource principal named {name} was not found in the tenant named {tenant}."))
}

// === impl Asked ===

impl<'a> Asked<'a> {
    /// The permissions, `.default` replaced by what was consented to. Unknown ones are an error, others may lack consent.
    pub(crate) fn permissions(&self, world: &World, client: &App, person: &Person) -> Outcome<Vec<String>> {
        let mut names = Vec::new();
        for (prefix, name) in &self.wanted {
            if name == ".default" {
                let consented = self.resource.scopes.iter().filter(|scope| self.is_consented(world, client, person, scope));
                names.extend(consented.cloned());
                continue;
            }
            let known = self.resource.scopes.iter().find(|scope| scope.eq_ignore_ascii_case(name));
            names.push(known.cloned().ok_or_else(|| {
                let text = "The provided value for the input parameter 'scope' is not valid.";
                Fault::says(70011, format!("{text} The scope '{prefix}/{name}' does not exist."))
            })?);
        }
        Ok(names)
    }

    /// What is granted; AADSTS65001 if anything asked for lacks consent.
    pub(crate) fn grant(&self, world: &World, client: &App, person: &Person) -> Outcome<Granted> {
        let names = self.permissions(world, client, person)?;
        let missing = names.iter().find(|name| !self.is_consented(world, client, person, name));
        if missing.is_some() || (names.is_empty() && !self.wanted.is_empty()) {
            return Err(no_consent(client));
        }
        let mut scp = names.clone();
        let mut scope: Vec<String> = Vec::new();
        for (prefix, name) in &self.wanted {
            if name == ".default" {
                scope.extend(names.iter().map(|name| full(prefix, name)));
            }
            scope.push(full(prefix, name));
        }
        // As Entra: whatever was asked, the token is good for all of the resource that was ever consented to, and the answer says
        // so.
        if let Some((prefix, _)) = self.wanted.first() {
            for name in self.consented_before(world, client, person).filter(|name| !names.contains(*name)) {
                scp.push(name.clone());
                scope.push(full(prefix, name));
            }
        }
        // Only Graph's own tokens carry these.
        if self.resource.identifier_uris.iter().any(|uri| uri == GRAPH) {
            let extra = [("openid", self.openid), ("profile", self.profile), ("email", self.email)];
            let extra: Vec<String> = extra.iter().filter(|(_, asked)| *asked).map(|(name, _)| (*name).to_owned()).collect();
            scp.extend(extra.iter().cloned());
            scope.extend(extra);
        }
        Ok(Granted { scp: scp.join(" "), scope: scope.join(" ") })
    }

    /// Notes the user's consent to everything asked for.
    pub(crate) fn consent(&self, world: &World, client: &App, person: &Person) {
        let all_of_default = self.resource.scopes.iter().filter(|_| self.wanted.iter().any(|(_, name)| name == ".default"));
        let named = self.wanted.iter().map(|(_, name)| name);
        for name in named.chain(all_of_default) {
            world.issued().consent(&client.client_id, person, &self.permission(name));
        }
    }

    /// The permissions of the resource that somebody consented to.
    fn consented_before<'b>(&'b self, world: &'b World, client: &'b App, person: &'b Person) -> impl Iterator<Item = &'b String> {
        self.resource.scopes.iter().filter(|name| self.was_consented(world, client, person, name))
    }

    fn is_consented(&self, world: &World, client: &App, person: &Person, name: &str) -> bool {
        // An app needs nobody's consent to itself.
        client.client_id == self.resource.client_id || self.was_consented(world, client, person, name)
    }

    fn was_consented(&self, world: &World, client: &App, person: &Person, name: &str) -> bool {
        client.consent.get(&self.resource.name).is_some_and(|names| names.iter().any(|one| one == name))
            || world.issued().has_consented(&client.client_id, person, &self.permission(name))
    }

    fn permission(&self, name: &str) -> String {
        format!("{}/{}", self.resource.client_id, name.to_ascii_lowercase())
    }
}

/// A permission as scopes spell it.
fn full(prefix: &str, name: &str) -> String {
    if prefix.is_empty() { name.to_owned() } else { format!("{prefix}/{name}") }
}

fn no_consent(client: &App) -> Box<Fault> {
    Fault::says(
        65001,
        format!(
            "The user or administrator has not consented to use the application with ID '{}' named '{}'. Send an \
             interactive authorization request for this user and resource.",
            client.client_id, client.name
        ),
    )
}
