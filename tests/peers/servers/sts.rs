//! Apache CXF's security token service: WS-Trust in, SAML assertions out, signed with a key of its own by code that is not ours.

use std::process::Command;
use std::time::Duration;

use reqwest::header::CONTENT_TYPE;
use serde_json::Value;
use tokend::clock::Clock;

use super::{java, ready};
use crate::group::Group;
use crate::support::{Client, free_port, output};

pub(crate) const ISSUER: &str = "https://sts.contoso.example/trust";
const PASSWORD: &str = "only-for-tests";
const TRUST: &str = "http://docs.oasis-open.org/ws-sx/ws-trust/200512";
const SECURITY: &str = "http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss";

/// A running STS.
pub(crate) struct Sts {
    /// The certificate of the key that it signs with.
    pub(crate) certificate_pem: String,
    client: Client,
    _group: Group,
    _folder: tempfile::TempDir,
}

// === impl Sts ===

impl Sts {
    /// Starts one that issues assertions for these audiences.
    pub(crate) async fn start(audiences: &[&str]) -> Self {
        let port = free_port();
        let folder = tempfile::tempdir().expect("a folder");
        let store = folder.path().join("sts.p12");
        let keytool = async |arguments: &[&str]| {
            let mut keytool = Command::new("keytool");
            keytool
                .args(arguments)
                .args(["-alias", "sts", "-storetype", "PKCS12", "-storepass", PASSWORD, "-keystore"])
                .arg(&store);
            let output = output(keytool).await;
            assert!(output.status.success(), "keytool: {}", String::from_utf8_lossy(&output.stdout));
            String::from_utf8_lossy(&output.stdout).into_owned()
        };
        keytool(&["-genkeypair", "-keyalg", "RSA", "-keysize", "2048", "-validity", "3650", "-dname", "CN=sts"]).await;
        let certificate_pem = keytool(&["-exportcert", "-rfc"]).await;
        let mut server = java("sts", "Sts");
        server.arg(port.to_string()).arg(&store).args([PASSWORD, ISSUER]).args(audiences);
        let group = Group::spawn("sts", port, &server);
        let base = format!("http://127.0.0.1:{port}");
        for path in ["saml1", "saml2"] {
            ready(&format!("{base}/{path}?wsdl"), &group).await;
        }
        Self { certificate_pem, client: Client::new(&base, None), _group: group, _folder: folder }
    }

    /// An assertion about a user, in the bytes that were signed. `form` is `saml1` or `saml2`.
    pub(crate) async fn issue(&self, form: &str, user: &str, audience: &str) -> String {
        let answer = self.ask(form, user, PASSWORD, audience).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        between(&answer.text, "RequestedSecurityToken").unwrap_or_else(|| panic!("no assertion: {}", answer.text)).to_owned()
    }

    /// What the STS answers to this user and password.
    pub(crate) async fn ask(&self, form: &str, user: &str, password: &str, audience: &str) -> crate::support::Answer {
        let url = format!("{}/{form}", self.client.base);
        let request = self.client.http.post(url.clone()).header(CONTENT_TYPE, "application/soap+xml; charset=utf-8");
        let request = request.header("soapaction", format!("{TRUST}/RST/Issue"));
        Client::send(request.body(envelope(&url, user, password, audience))).await
    }
}

/// Whether an assertion (base64url) is signed by this key of a JWKS, as Java's own XML signatures see it.
pub(crate) async fn is_signed_by(assertion: &str, jwk: &Value) -> bool {
    let mut check = java("sts", "Check");
    check.arg(assertion).args(["n", "e"].map(|name| jwk[name].as_str().expect("a number")));
    let output = output(check).await;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).trim() == "true"
}

/// What stands between the tags of this name, whatever their prefix is.
fn between<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let (before, rest) = text.split_once(&format!("{name}>"))?;
    let prefix = before.rsplit_once('<')?.1;
    rest.split_once(&format!("</{prefix}{name}>")).map(|(inside, _)| inside)
}

/// A request as MSAL sends it (WS-Trust 1.3).
fn envelope(to: &str, user: &str, password: &str, audience: &str) -> String {
    let addressing = "http://www.w3.org/2005/08/addressing";
    let (created, expires) = (iso(0), iso(600));
    format!(
        "<s:Envelope xmlns:s=\"http://www.w3.org/2003/05/soap-envelope\" xmlns:a=\"{addressing}\" \
         xmlns:u=\"{SECURITY}-wssecurity-utility-1.0.xsd\"><s:Header><a:Action s:mustUnderstand=\"1\">{TRUST}/RST/Issue</a:Action>\
         <a:MessageID>urn:uuid:{}</a:MessageID><a:ReplyTo><a:Address>{addressing}/anonymous</a:Address></a:ReplyTo>\
         <a:To s:mustUnderstand=\"1\">{to}</a:To><o:Security s:mustUnderstand=\"1\" \
         xmlns:o=\"{SECURITY}-wssecurity-secext-1.0.xsd\"><u:Timestamp u:Id=\"_0\"><u:Created>{created}</u:Created><u:Expires>\
         {expires}</u:Expires></u:Timestamp><o:UsernameToken u:Id=\"_1\"><o:Username>{user}</o:Username><o:Password \
         Type=\"{SECURITY}-username-token-profile-1.0#PasswordText\">{password}</o:Password></o:UsernameToken>\
         </o:Security></s:Header><s:Body><t:RequestSecurityToken xmlns:t=\"{TRUST}\">\
         <p:AppliesTo xmlns:p=\"http://schemas.xmlsoap.org/ws/2004/09/policy\">\
         <a:EndpointReference><a:Address>{audience}</a:Address></a:EndpointReference></p:AppliesTo><t:KeyType>{TRUST}/Bearer\
         </t:KeyType><t:RequestType>{TRUST}/Issue</t:RequestType></t:RequestSecurityToken></s:Body></s:Envelope>",
        uuid::Uuid::new_v4()
    )
}

/// A time as XML has it, so many seconds from now.
fn iso(seconds: u64) -> String {
    // "Sun, 06 Nov 1994 08:49:37 GMT"
    let date = httpdate::fmt_http_date(Clock::system().wall() + Duration::from_secs(seconds));
    let [_, day, month, year, time, _] = date.split(' ').collect::<Vec<_>>()[..] else { panic!("{date}") };
    let months = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let month = months.iter().position(|name| *name == month).expect("a month") + 1;
    format!("{year}-{month:02}-{day}T{time}Z")
}
