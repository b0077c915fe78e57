//! The authorize endpoint, of Entra and of realms: a sign-in page, or with `prompt=none` an answer at once.

use hyper::Method;
use url::Url;

use super::{
    answer::Answer,
    call::Call,
    device,
    entra::{self, Home},
    fault::Fault,
    grants::{Challenge, Code, Person, Session},
    jose, oidc, page,
    registration::{App, Client, Realm, RealmUser},
    scopes,
    tokens::Issuer,
    world::World,
};

/// Seconds that a code waits for its redemption.
const LIFETIME: i64 = 600;
/// The members of the page's own form, which are no part of the request.
const ANSWERS: [&str; 3] = ["user", "consent", "cancel"];

/// An authorization request together with what the page's form answered.
struct Wish<'a> {
    world: &'a World,
    call: &'a Call,
    fields: Vec<(String, String)>,
    /// RFC 9207.
    issuer: String,
}

pub(super) fn entra(world: &World, call: &Call) -> Answer {
    let mut wish = Wish { world, call, fields: call.query_or_form(), issuer: String::new() };
    let known = entra::home(world, call)
        .and_then(|home| entra::known_client(world, wish.get("client_id").unwrap_or_default(), home).map(|client| (home, client)));
    let (home, client) = match known {
        Ok(known) => known,
        Err(fault) => return page::problem(&fault.description(world, call)),
    };
    let first = match home {
        Home::Tenant(tenant) => Issuer::Tenant(&tenant.id),
        Home::Many => Issuer::Tenant(&client.tenant),
        Home::Adfs => Issuer::Adfs,
    };
    wish.issuer = first.v2(world);
    if !wish.may_go_to(&client.redirect_uris) {
        let text = format!(
            "The redirect URI '{}' specified in the request does not match the redirect URIs configured for the application '{}'.",
            wish.get("redirect_uri").unwrap_or_default(),
            client.client_id
        );
        return page::problem(&Fault::says(50011, text).description(world, call));
    }
    entra_user(wish, home, client)
}

fn entra_user(mut wish: Wish<'_>, home: Home<'_>, client: &App) -> Answer {
    let world = wish.world;
    if let Some(refusal) = wish.refusal(700_051, 65004) {
        return refusal;
    }
    let user = wish.user().and_then(|name| entra::user_at(world, home, name));
    let Some(user) = user else {
        if wish.is_silent() {
            return wish.refuse(&Fault::aadsts(50058));
        }
        let people = device::people(world, home);
        return page::sign_in(&client.name, wish.get("scope").unwrap_or_default(), &wish.request(), &people);
    };
    let mut person = entra::person(user);
    // A challenge is always met: the sign-in that it asks for took place. Client capabilities alone are none.
    person.strong = wish.get("claims").is_some_and(|text| text.contains("capolids") || text.contains("acrs"));
    let place = match home {
        Home::Adfs => "adfs".to_owned(),
        Home::Tenant(_) | Home::Many => {
            wish.issuer = Issuer::Tenant(&person.tenant).v2(world);
            person.tenant.clone()
        }
    };
    let asked = match scopes::parse(world, &person.tenant, wish.get("scope").unwrap_or_default()) {
        Ok(asked) => asked,
        Err(fault) => return wish.refuse(&fault),
    };
    if wish.get("consent").is_some() {
        asked.consent(world, client, &person);
    }
    if let Err(mut fault) = asked.grant(world, client, &person) {
        if fault.code == Some(65001) {
            // Here it is an error of its own; at the token endpoint it is a kind of invalid_grant.
            "consent_required".clone_into(&mut fault.error);
        }
        return wish.refuse(&fault);
    }
    wish.issue(&client.client_id, place, person)
}

pub(super) fn realm(world: &World, call: &Call, realm: &Realm) -> Answer {
    let wish = Wish { world, call, fields: call.query_or_form(), issuer: oidc::issuer(world, realm) };
    let Some(client) = realm.client(wish.get("client_id").unwrap_or_default()) else {
        return page::problem("No such client in this realm.");
    };
    if !wish.may_go_to(&client.redirect_uris) {
        return page::problem("The redirect_uri is not registered for this client.");
    }
    realm_user(&wish, realm, client)
}

fn realm_user(wish: &Wish<'_>, realm: &Realm, client: &Client) -> Answer {
    if let Some(refusal) = wish.plain_refusal(realm) {
        return refusal;
    }
    match wish.user().and_then(|name| realm.user(name)) {
        Some(user) => wish.issue(&client.client_id, format!("oidc/{}", realm.name), realm_person(user)),
        None if wish.is_silent() => wish.refuse(&Fault::plain("login_required", "Nobody is signed in.")),
        None => {
            let people: Vec<_> = realm.users.iter().map(|user| (user.username.clone(), user.name.clone())).collect();
            page::sign_in(&client.client_id, wish.get("scope").unwrap_or_default(), &wish.request(), &people)
        }
    }
}

pub(super) fn realm_person(user: &RealmUser) -> Person {
    Person {
        id: user.sub.clone(),
        username: user.username.clone(),
        name: user.name.clone(),
        email: user.email.clone(),
        ..Person::default()
    }
}

// === impl Wish ===

impl Wish<'_> {
    fn get(&self, name: &str) -> Option<&str> {
        let found = self.fields.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str());
        found.filter(|value| !value.is_empty())
    }

    fn may_go_to(&self, registered: &[String]) -> bool {
        self.get("redirect_uri").is_some_and(|uri| registered.iter().any(|one| one == uri) && Url::parse(uri).is_ok())
    }

    fn is_silent(&self) -> bool {
        self.get("prompt") == Some("none")
    }

    /// Who signs in: whom the page's form named, or at `prompt=none` whom the hint means.
    fn user(&self) -> Option<&str> {
        if self.call.method == Method::POST && self.get("user").is_some() {
            return self.get("user");
        }
        if self.is_silent() { self.get("login_hint") } else { None }
    }

    /// The request alone, for the page to send it back.
    fn request(&self) -> Vec<(String, String)> {
        // A browser posts to the same address, query included: what stands there must not come twice.
        let in_query = |name: &str| url::form_urlencoded::parse(self.call.query.as_bytes()).any(|(key, _)| key == name);
        let fields = self.fields.iter().filter(|(name, _)| !ANSWERS.contains(&name.as_str()) && !in_query(name));
        fields.cloned().collect()
    }

    fn refusal(&self, response_type: u32, cancelled: u32) -> Option<Answer> {
        let code = self.get("response_type").is_some_and(|kinds| kinds == "code");
        if !code {
            return Some(self.refuse(&Fault::aadsts(response_type)));
        }
        self.get("cancel").is_some().then(|| self.refuse(&Fault::aadsts(cancelled)))
    }

    fn plain_refusal(&self, realm: &Realm) -> Option<Answer> {
        if self.get("response_type") != Some("code") {
            return Some(self.refuse(&Fault::plain("unsupported_response_type", "Only code is supported.")));
        }
        if let Err(fault) = oidc::check_scopes(realm, self.get("scope").unwrap_or_default()) {
            return Some(self.refuse(&fault));
        }
        self.get("cancel").is_some().then(|| self.refuse(&Fault::plain("access_denied", "The user said no.")))
    }

    fn issue(&self, client_id: &str, place: String, person: Person) -> Answer {
        let owned = |name: &str| self.get(name).map(str::to_owned);
        let challenge =
            owned("code_challenge").map(|value| Challenge { value, hashed: self.get("code_challenge_method") == Some("S256") });
        let session = Session {
            client_id: client_id.to_owned(),
            place,
            person,
            scope: owned("scope").unwrap_or_default(),
            nonce: owned("nonce"),
            sid: jose::random(),
        };
        let now = self.world.now();
        let code = Code {
            session,
            redirect_uri: owned("redirect_uri").unwrap_or_default(),
            challenge,
            expires: now + LIFETIME,
            used: false,
        };
        let code = self.world.grants().add_code(code, now);
        self.respond(vec![("code".to_owned(), code), ("session_state".to_owned(), jose::random())])
    }

    fn refuse(&self, fault: &Fault) -> Answer {
        let mut fields = vec![("error".to_owned(), fault.error.clone())];
        fields.push(("error_description".to_owned(), fault.description(self.world, self.call)));
        for (name, value) in [("error_subcode", &fault.suberror), ("claims", &fault.claims)] {
            fields.extend(value.clone().map(|value| (name.to_owned(), value)));
        }
        self.respond(fields)
    }

    fn respond(&self, mut fields: Vec<(String, String)>) -> Answer {
        fields.extend(self.get("state").map(|state| ("state".to_owned(), state.to_owned())));
        fields.push(("iss".to_owned(), self.issuer.clone()));
        let to = self.get("redirect_uri").unwrap_or_default();
        let mode = self.get("response_mode").unwrap_or("query");
        if mode == "form_post" {
            return page::form_post(to, &fields);
        }
        let Ok(mut url) = Url::parse(to) else { return page::problem("The redirect_uri is no URL.") };
        if mode == "fragment" {
            let encoded = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(&fields).finish();
            url.set_fragment(Some(&encoded));
        } else {
            url.query_pairs_mut().extend_pairs(&fields);
        }
        Answer::redirect(url.as_str()).no_store()
    }
}
