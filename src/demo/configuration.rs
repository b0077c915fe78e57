//! The demo's configuration: text, as any user would write it, from what the emulator says of itself.

use std::path::Path;

use serde_json::Value;

/// What a client of a managed identity shows.
pub(super) const IDENTITY_HEADER: &str = "the-identity-header-of-the-demo";

/// The configuration for an emulator at `origin`, with these ports for the tokens and for the admin listener.
pub(super) fn text(origin: &str, directory: &Value, ca_file: &Path, [listen, admin]: [u16; 2]) -> Result<String, String> {
    let app = |name: &str| entry(&directory["apps"], name);
    let (daemon, orders, web) = (app("daemon")?, app("orders-api")?, app("web")?);
    let realm = entry(&directory["realms"], "shop")?;
    let shop = entry(&realm["clients"], "shop-orders")?;
    let tenant = entry(&directory["tenants"], "contoso")?;
    let authority = format!("{origin}/{}", member(tenant, "id")?);
    let ca = ca_file.display();
    let certificate = serde_json::to_string(&pem(orders)?).map_err(|error| error.to_string())?;
    Ok(format!(
        r#"
listen: ["127.0.0.1:{listen}"]
admin_listen: "127.0.0.1:{admin}"
doors: [oauth2, msi, auth_request, ms_sidecar]
msi: {{secret: {{inline: {IDENTITY_HEADER}}}}}
apps:
  daemon:
    managed_identity_ids: [daemon-of-the-demo]
    authority: {authority}
    ca_file: {ca}
    client_id: {daemon_id}
    credential: {{secret: {{inline: {daemon_secret}}}}}
  orders:
    authority: {authority}
    ca_file: {ca}
    client_id: {orders_id}
    credential: {{certificate: {{inline: {certificate}}}}}
    inbound: {{audiences: ["api://orders"], scopes: [access_as_user]}}
    client_capabilities: [cp1]
  web:
    authority: {authority}
    ca_file: {ca}
    client_id: {web_id}
    credential: {{secret: {{inline: {web_secret}}}}}
    refresh_token: true
    username_password: true
  shop:
    issuer: {origin}/oidc/shop
    ca_file: {ca}
    client_id: shop-orders
    credential: {{secret: {{inline: {shop_secret}}}}}
    inbound: {{audiences: ["https://orders.shop.example"]}}
apis:
  graph:
    app: orders
    scopes: [https://graph.microsoft.com/User.Read]
    doors: [auth_request, ms_sidecar]
    identity_headers: {{x-user-id: oid}}
ms_sidecar: {{app: orders}}
"#,
        daemon_id = member(daemon, "client_id")?,
        daemon_secret = secret(daemon)?,
        orders_id = member(orders, "client_id")?,
        web_id = member(web, "client_id")?,
        web_secret = secret(web)?,
        shop_secret = secret(shop)?,
    ))
}

fn entry<'a>(list: &'a Value, name: &str) -> Result<&'a Value, String> {
    let entries = list.as_array().map(Vec::as_slice).unwrap_or_default();
    let named = |entry: &&Value| ["name", "client_id"].iter().any(|key| entry[*key] == name);
    entries.iter().find(named).ok_or_else(|| format!("the emulator knows no {name}"))
}

fn member<'a>(entry: &'a Value, name: &str) -> Result<&'a str, String> {
    entry[name].as_str().ok_or_else(|| format!("the emulator's directory has no `{name}` where it should"))
}

fn secret(entry: &Value) -> Result<&str, String> {
    let first = &entry["secrets"][0];
    first.as_str().or_else(|| first["value"].as_str()).ok_or_else(|| "an app of the emulator has no secret".to_owned())
}

fn pem(entry: &Value) -> Result<String, String> {
    let first = &entry["certificates"][0];
    Ok(format!("{}\n{}", member(first, "key_pem")?, member(first, "pem")?))
}
