//! `tokend login`: an authorization code by way of the system's browser, or a device code.
//!
//! State, nonce and verifier are in this process's memory alone. What has to be done by hand goes to standard output, as it has
//! `state` in it; what was said and how it ended goes to standard error without.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Value, json};
use url::Url;

use super::accounts::ListedAccount;
use super::api::{ApiClient, ApiReply, members};
use super::args::LoginArgs;
use super::callback::{AuthorityWord, CallbackRules};
use super::desk::SignInDesk;
use super::failure::CommandFailure;
use super::page::{EndPages, SignInEnd};
use super::printable::printable;
use super::redirect::{BoundLoopback, LoopbackUri, is_entra_style};
use super::{browser, device, sharing};
use crate::cli::print::{err, out};
use crate::secret::Secret;

/// What `/auth-code/url` answers.
// No `Debug`: it would show what ties the answer to this sign-in.
#[derive(Deserialize)]
struct SignInStart {
    authorization_url: String,
    state: String,
    nonce: String,
    code_verifier: String,
}

/// The part of a token answer that is shown.
#[derive(Deserialize)]
struct SignedInAnswer {
    account: Option<ListedAccount>,
}

/// Sockets that the authority's answer comes to, and the sign-in that it answers.
struct Begun {
    uri: LoopbackUri,
    bound: BoundLoopback,
    start: SignInStart,
    url: Url,
}

/// Signs in and says who.
pub(super) async fn run(args: &LoginArgs, environment: &BTreeMap<String, String>) -> Result<(), CommandFailure> {
    let api = ApiClient::new(&args.reach)?;
    sharing::check(&api, args).await?;
    if !args.device {
        return by_browser(&api, args, environment).await;
    }
    let signed_in = tokio::time::timeout(args.timeout, device::sign_in(&api, args)).await;
    welcome(&signed_in.unwrap_or_else(|_| Err(too_late(args)))?)
}

async fn by_browser(api: &ApiClient, args: &LoginArgs, environment: &BTreeMap<String, String>) -> Result<(), CommandFailure> {
    let Begun { uri, bound, start, url } = begin(api, args).await?;
    let rules = CallbackRules { host: uri.host(bound.port), path: uri.path().to_owned(), state: Secret::new(start.state.as_str()) };
    let pages = EndPages::beside(uri.path(), args.success_url.as_ref(), args.error_url.as_ref());
    let redirect_uri = uri.with_port(bound.port);
    let mut desk = SignInDesk::open(bound.sockets, rules, pages).map_err(|error| not_bound(&redirect_uri, &error))?;
    let word = tokio::time::timeout(args.timeout, shown(&mut desk, args, url.as_str(), environment));
    let signed_in = match word.await {
        Ok(AuthorityWord::Code { code, iss }) => redeem(api, args, &start, (&redirect_uri, &code, iss)).await,
        Ok(AuthorityWord::Refusal { error, description }) => Err(refused(&error, description.as_deref())),
        Err(_) => Err(too_late(args)),
    };
    let welcomed = signed_in.and_then(|reply| welcome(&reply));
    desk.close(if welcomed.is_ok() { SignInEnd::Good } else { SignInEnd::Bad }).await;
    welcomed
}

/// Binds, and has tokend make the URL. Which address an authority takes shows by its URL: asked first is what all take but Entra,
/// since other servers may be told of the request in advance (RFC 9126) and would refuse another one.
async fn begin(api: &ApiClient, args: &LoginArgs) -> Result<Begun, CommandFailure> {
    let uri = args.redirect_uri.clone().unwrap_or_else(LoopbackUri::at_issuer);
    let begun = begin_at(api, args, uri).await?;
    if args.redirect_uri.is_some() || !is_entra_style(&begun.url) {
        return Ok(begun);
    }
    drop(begun);
    begin_at(api, args, LoopbackUri::at_entra()).await
}

async fn begin_at(api: &ApiClient, args: &LoginArgs, uri: LoopbackUri) -> Result<Begun, CommandFailure> {
    let bound = uri.bind().map_err(|error| not_bound(&uri.to_string(), &error))?;
    let mut body = sent(args);
    body["redirect_uri"] = json!(uri.with_port(bound.port));
    body["prompt"] = json!(args.prompt);
    body["login_hint"] = json!(args.login_hint);
    let start: SignInStart = api.post("/auth-code/url", &body).await?.success()?.read()?;
    // It is handed to a program that opens files, too.
    let url = Url::parse(&start.authorization_url).ok().filter(|url| matches!(url.scheme(), "http" | "https"));
    let url = url.ok_or_else(|| {
        CommandFailure::failed("the authority's address is none that a browser opens", "see the metadata of the app's authority")
    })?;
    Ok(Begun { uri, bound, start, url })
}

fn sent(args: &LoginArgs) -> Value {
    members(&args.reach, &args.wanted, args.tenant.as_deref(), args.claims.as_deref())
}

/// Shows the authority's page, by a browser or by its address, and waits for the word.
async fn shown(desk: &mut SignInDesk, args: &LoginArgs, address: &str, environment: &BTreeMap<String, String>) -> AuthorityWord {
    let seconds = args.timeout.as_secs();
    if args.no_browser {
        out(&format!("{address}\n"));
        err(&format!("Sign in at this address, on this machine and within {seconds} s; Ctrl-C ends it.\n"));
        return desk.word().await;
    }
    err(&format!("Sign in with the browser that opens now, within {seconds} s; Ctrl-C ends it.\n"));
    let opened = browser::open(address, environment);
    tokio::select! {
        biased;
        word = desk.word() => return word,
        opened = opened => if opened != Ok(true) {
            out(&format!("{address}\n"));
            err("No browser could be opened: sign in at this address, on this machine. BROWSER names another one.\n");
        }
    }
    desk.word().await
}

async fn redeem(
    api: &ApiClient,
    args: &LoginArgs,
    start: &SignInStart,
    (redirect_uri, code, iss): (&str, &Secret, Option<String>),
) -> Result<ApiReply, CommandFailure> {
    let mut body = sent(args);
    body["redirect_uri"] = json!(redirect_uri);
    body["code"] = json!(code.expose());
    body["code_verifier"] = json!(start.code_verifier);
    body["nonce"] = json!(start.nonce);
    body["iss"] = json!(iss);
    api.post("/auth-code", &body).await?.success()
}

/// Says who signed in.
fn welcome(reply: &ApiReply) -> Result<(), CommandFailure> {
    let account = reply.read::<SignedInAnswer>()?.account.ok_or_else(|| {
        CommandFailure::failed(
            "the authority gave a token but does not say whose, so that nobody is signed in",
            "ask for the scope `openid`, or see whether the app may have id tokens",
        )
    })?;
    out(&format!("signed in as {}\n", account.name()));
    Ok(())
}

fn refused(error: &str, description: Option<&str>) -> CommandFailure {
    let what = match description.map(printable).filter(|text| !text.is_empty()) {
        Some(description) => format!("the authority refused the sign-in: {error}: {description}"),
        None => format!("the authority refused the sign-in: {error}"),
    };
    CommandFailure::failed(&what, "run `tokend login` again, and do what the authority asks for")
}

fn too_late(args: &LoginArgs) -> CommandFailure {
    let what = format!("nobody signed in within {} s", args.timeout.as_secs());
    CommandFailure::failed(&what, "run `tokend login` again; --timeout gives more time")
}

fn not_bound(uri: &str, error: &std::io::Error) -> CommandFailure {
    let what = format!("{uri} cannot be listened on: {error}");
    CommandFailure::failed(&what, "name another address by --redirect-uri, one that is registered for the app")
}
