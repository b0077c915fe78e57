//! The routes of an external tenant, at `NAME.ciamlogin.com`, `ID.ciamlogin.com` and domains of its own.

use hyper::Method;
use serde_json::json;

use super::metadata::{configuration, issuer};
use crate::{
    answer::Answer,
    call::{Call, Endpoint, Place},
    entra,
    fault::Fault,
    world::World,
};

pub(crate) fn serve(world: &World, call: &Call) -> Answer {
    let Place::External(segment) = &call.place else { return Answer::not_found() };
    let own = world.directory.external_at(&call.host);
    // Only its own tenant is at a host, by its id or a domain name.
    let Some(tenant) = own.filter(|tenant| tenant.is_at(segment)) else {
        return Fault::says(90002, format!("Tenant '{segment}' not found.")).answer(world, call, true);
    };
    match (call.endpoint, &call.method) {
        (Endpoint::Discovery, &Method::GET) if call.is_v2() => Answer::ok(configuration(call, tenant)),
        (Endpoint::Keys, &Method::GET) => Answer::ok(world.keys().jwks(Some(&issuer("{tenantid}")), None)),
        (Endpoint::Token, &Method::POST) if call.param("grant_type") == Some("password") => {
            let fault = Fault::says(50_126, "External tenants take no passwords by this grant.");
            fault.answer(world, call, true).no_store()
        }
        (Endpoint::Discovery, _) => Answer::not_found(),
        (Endpoint::Instance | Endpoint::UserRealm, _) => Answer::ok(json!({})),
        _ => entra::routes::serve(world, call),
    }
}
