//! Tenants, apps, users and realms: reading them from a file, checking what they say of each other, look-ups in them.
//!
//! The built-in directory is `builtin.json`, a complete example of the format. Its ids never change, so that tests,
//! documentation and configurations may name them. An unknown member is an error: a typo must show.

use std::time::SystemTime;

use serde::Deserialize;

use crate::{
    adfs::registration::Farm,
    b2c::registration::PolicyTenant,
    call::Hosts,
    certificate::{Parsed, Workshop},
    error::StartError,
    registration::{App, Certificate, Realm, Tenant, User},
};

const BUILT_IN: &str = include_str!("builtin.json");

/// The whole file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Directory {
    pub(crate) tenants: Vec<Tenant>,
    pub(crate) apps: Vec<App>,
    pub(crate) users: Vec<User>,
    #[serde(default)]
    pub(crate) realms: Vec<Realm>,
    #[serde(default)]
    pub(crate) b2c: Vec<PolicyTenant>,
    #[serde(default)]
    pub(crate) adfs: Option<Farm>,
}

// === impl Directory ===

impl Directory {
    pub(crate) fn built_in(now: SystemTime) -> Result<Self, StartError> {
        Self::parse(BUILT_IN, now)
    }

    pub(crate) fn parse(text: &str, now: SystemTime) -> Result<Self, StartError> {
        let mut directory: Self = serde_json::from_str(text).map_err(|error| StartError::Directory(error.to_string()))?;
        directory.resolve_tenants()?;
        directory.check()?;
        directory.read_certificates(now)?;
        Ok(directory)
    }

    fn resolve_tenants(&mut self) -> Result<(), StartError> {
        let find = |name: &str| {
            let tenant = self.tenants.iter().find(|tenant| tenant.is_called(name));
            tenant.map(|tenant| tenant.id.clone()).ok_or_else(|| StartError::Directory(format!("no tenant {name:?}")))
        };
        for app in &mut self.apps {
            app.tenant = find(&app.tenant)?;
        }
        for user in &mut self.users {
            user.tenant = find(&user.tenant)?;
        }
        Ok(())
    }

    /// What the types cannot say.
    fn check(&self) -> Result<(), StartError> {
        let wrong = |text: String| Err(StartError::Directory(text));
        for app in &self.apps {
            if !matches!(app.access_token_version, 1 | 2) {
                return wrong(format!("app {}: access_token_version is 1 or 2", app.name));
            }
            for (list, what) in [(&app.consent, "consent"), (&app.roles, "roles")] {
                for (name, granted) in list {
                    let Some(resource) = self.apps.iter().find(|other| other.name == *name) else {
                        return wrong(format!("app {}: {what} names no app {name:?}", app.name));
                    };
                    let exposed = if what == "consent" { &resource.scopes } else { &resource.app_roles };
                    if let Some(missing) = granted.iter().find(|one| !exposed.contains(one)) {
                        return wrong(format!("app {}: {what}: {name} has no {missing:?}", app.name));
                    }
                }
            }
            if let Some(claim) = app.optional_claims.iter().find(|claim| *claim != "login_hint") {
                return wrong(format!("app {}: optional_claims has login_hint; not {claim:?}", app.name));
            }
            if app.public && app.allow_public_client_flows {
                return wrong(format!("app {}: public stands alone, without allow_public_client_flows", app.name));
            }
        }
        for user in &self.users {
            if let Some(flow) = user.mfa.iter().find(|flow| !["obo", "password", "refresh"].contains(&flow.as_str())) {
                return wrong(format!("user {}: mfa has obo, password, refresh; not {flow:?}", user.username));
            }
        }
        if let Some(realm) = self.realms.iter().find(|realm| realm.audiences.is_empty()) {
            return wrong(format!("realm {}: audiences is empty", realm.name));
        }
        self.check_federated()
    }

    /// An identity is another issuer's, with its keys, or a realm's.
    fn check_federated(&self) -> Result<(), StartError> {
        let apps = self.apps.iter().flat_map(|app| app.federated.iter().map(move |trust| (&app.name, trust)));
        let clients = self.realms.iter().flat_map(|realm| &realm.clients);
        let clients = clients.flat_map(|client| client.federated.iter().map(move |trust| (&client.client_id, trust)));
        for (owner, trust) in apps.chain(clients) {
            let text = match &trust.realm {
                Some(name) if self.realm(name).is_none() => format!("no realm {name:?}"),
                Some(_) if !trust.issuer.is_empty() || !trust.jwks.is_null() => "realm stands alone".to_owned(),
                None if trust.issuer.is_empty() || trust.jwks.is_null() => "issuer and jwks are missing, or realm".to_owned(),
                _ => continue,
            };
            return Err(StartError::Directory(format!("{owner}: federated: {text}")));
        }
        Ok(())
    }

    fn read_certificates(&mut self, now: SystemTime) -> Result<(), StartError> {
        let mut workshop = Workshop::new(now);
        let apps = self.apps.iter_mut().map(|app| (&app.name, &mut app.certificates));
        let clients = self.realms.iter_mut().flat_map(|realm| &mut realm.clients);
        let clients = clients.map(|client| (&client.client_id, &mut client.certificates));
        let farm = self.adfs.iter_mut().flat_map(|farm| &mut farm.clients);
        let farm = farm.map(|client| (&client.client_id, &mut client.certificates));
        for (owner, certificates) in apps.chain(clients).chain(farm) {
            certificates.iter_mut().try_for_each(|certificate| certificate.read(owner, &mut workshop))?;
        }
        let tenants = self.tenants.iter_mut().flat_map(|tenant| &mut tenant.saml_issuers);
        let realms = self.realms.iter_mut().flat_map(|realm| &mut realm.saml_issuers);
        for one in tenants.chain(realms) {
            one.certificate.read(&one.issuer, &mut workshop)?;
        }
        Ok(())
    }

    /// The tenant that a path segment means: an id or a domain.
    pub(crate) fn tenant(&self, segment: &str) -> Option<&Tenant> {
        self.tenants.iter().find(|tenant| tenant.is_at(segment))
    }

    /// The external tenant at a host.
    pub(crate) fn external_at(&self, host: &str) -> Option<&Tenant> {
        self.tenants.iter().find(|tenant| tenant.is_served_at(host))
    }

    /// The hosts at which there is one kind of authority alone.
    pub(crate) fn hosts(&self) -> Hosts {
        Hosts {
            policies: self.b2c.iter().flat_map(|tenant| tenant.hosts.iter().cloned()).collect(),
            external: self.tenants.iter().flat_map(Tenant::external_hosts).collect(),
        }
    }

    /// Whether a host has nothing but policies.
    pub(crate) fn has_policies_at(&self, host: &str) -> bool {
        self.b2c.iter().any(|tenant| tenant.hosts.iter().any(|own| own == host))
    }

    /// The B2C tenant that a path segment means: at a host of its own none but its own.
    pub(crate) fn policy_tenant(&self, host: &str, segment: &str) -> Option<&PolicyTenant> {
        let is_here = |tenant: &&PolicyTenant| !self.has_policies_at(host) || tenant.hosts.iter().any(|own| own == host);
        self.b2c.iter().filter(is_here).find(|tenant| tenant.is_called(segment))
    }

    /// The tenant that a script or mint request means: also by its name.
    pub(crate) fn tenant_called(&self, name: &str) -> Option<&Tenant> {
        self.tenants.iter().find(|tenant| tenant.is_called(name))
    }

    /// The registration with this client id.
    pub(crate) fn app(&self, client_id: &str) -> Option<&App> {
        self.apps.iter().find(|app| app.client_id.eq_ignore_ascii_case(client_id))
    }

    /// The resource that a scope's prefix means, if it is present in the tenant.
    pub(crate) fn resource(&self, name: &str, tenant: &str) -> Option<&App> {
        self.apps.iter().find(|app| {
            app.is_in(tenant) && (app.client_id.eq_ignore_ascii_case(name) || app.identifier_uris.iter().any(|uri| uri == name))
        })
    }

    pub(crate) fn user(&self, username: &str) -> Option<&User> {
        self.users.iter().find(|user| user.username.eq_ignore_ascii_case(username) || user.object_id == username)
    }

    pub(crate) fn realm(&self, name: &str) -> Option<&Realm> {
        self.realms.iter().find(|realm| realm.name == name)
    }
}

// === impl Certificate ===

impl Certificate {
    fn read(&mut self, owner: &str, workshop: &mut Workshop) -> Result<(), StartError> {
        if self.generate {
            (self.pem, self.key_pem) = workshop.make(owner)?;
        }
        self.parsed = Some(Parsed::from_pem(&self.pem)?);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::{BUILT_IN, Directory};

    fn parse(text: &str) -> Result<(), String> {
        Directory::parse(text, SystemTime::UNIX_EPOCH).map(|_| ()).map_err(|error| error.to_string())
    }

    #[test]
    fn a_typo_shows() {
        let error = parse(&BUILT_IN.replace("redirect_uris", "redirect_urls")).err();
        assert!(error.is_some_and(|text| text.contains("redirect_urls")));
    }

    #[test]
    fn a_reference_to_nothing_shows() {
        let error = parse(&BUILT_IN.replacen("\"tenant\": \"contoso\"", "\"tenant\": \"contosi\"", 1)).err();
        assert!(error.is_some_and(|text| text.contains("contosi")));
        let error = parse(&BUILT_IN.replacen("[\"User.Read\"]", "[\"User.Reed\"]", 1)).err();
        assert!(error.is_some_and(|text| text.contains("User.Reed")));
        for (other, word) in [
            (r#"{"realm": "shopp", "#, "shopp"),
            (r#"{"realm": "shop", "issuer": "https://cluster", "#, "alone"),
            (r#"{"issuer": "https://cluster", "#, "jwks"),
            ("{", "issuer"),
        ] {
            let error = parse(&BUILT_IN.replacen(r#"{"realm": "shop", "#, other, 1)).err().unwrap_or_default();
            assert!(error.contains("federated") && error.contains(word), "{other}: {error}");
        }
    }
}
