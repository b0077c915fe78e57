"""MSAL for Python and azure-identity as clients of an authority: the reference that tokend's emulator is held against.

    python client.py '<json>'

In:  {"authority": "https://127.0.0.1:PORT/TENANT",   whatever MSAL takes; "oidc_authority" instead of it for a generic issuer
      "ca_file": "ca.pem",                            what its certificate is verified by: never switched off
      "client_id": "…",
      "secret": "…"  or  "certificate_pem": "key and certificate as PEM text"  or  "assertion_credential": "eyJ…"  or none,
      "thumbprint": true,                             with certificate_pem: the old style, RS256 and x5t
      "capabilities": ["cp1"],                        optional
      "action": "client_credentials", …}              and what the action takes, see below
     or "steps": [{"action": …}, …] instead of "action": several, one after the other, by one application and its cache.
Out: what the library returned, as JSON on stdout (for steps: an array). MSAL gives errors as data too, so its answers have
     `access_token` or `error`. An exception gives {"exception": "Type", "message": "…"} and exit status 1.

action                takes (beside `scopes`, and `claims` as JSON text where MSAL has it)
client_credentials    –
obo                   assertion, requested_token_type?
saml_obo              assertion (XML), version ("1.1" or "2.0")
auth_code_url         redirect_uri, login_hint?, prompt?, state?     → MSAL's flow: auth_uri, state, nonce, code_verifier, …
redeem                flow, response (the redirect's query as an object)
redeem_code           code, redirect_uri, nonce?
refresh_token         refresh_token
silent                username?: the account, else the first         → null when nothing is cached
accounts              –                                              → [account, …]
username_password     username, password
device_code           –      (public client)                         → MSAL's flow: user_code, device_code, verification_uri, …
device_poll           flow   (public client)                         one poll
azure_client          –      azure-identity: ClientSecretCredential or CertificateCredential     → {token, expires_on, refresh_on}
azure_obo             assertion
azure_managed_identity   endpoint, header (IDENTITY_ENDPOINT and IDENTITY_HEADER), resource

For `azure_*` the authority is split into host and tenant. The clients run in a process whose REQUESTS_CA_BUNDLE and
CURL_CA_BUNDLE are cleared, because `requests` prefers them to `verify`.
"""

import json
import os
import sys
from urllib.parse import urlsplit

for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
    os.environ.pop(name, None)
# The peers are on loopback; a proxy of the machine has no part in it.
os.environ["NO_PROXY"] = os.environ["no_proxy"] = "127.0.0.1,localhost"

import msal  # noqa: E402  (after the environment is in order)


def credential(asked):
    if "certificate_pem" in asked:
        pem = asked["certificate_pem"]
        if asked.get("thumbprint"):
            return {"private_key": pem, "thumbprint": sha1_thumbprint(pem)}
        return {"private_key": pem, "public_certificate": pem}
    if "assertion_credential" in asked:
        return {"client_assertion": asked["assertion_credential"]}
    return asked.get("secret")


def sha1_thumbprint(pem):
    from cryptography import x509
    from cryptography.hazmat.primitives.hashes import SHA1

    return x509.load_pem_x509_certificate(pem.encode()).fingerprint(SHA1()).hex()


def application(asked, public):
    options = {
        "authority": asked.get("authority"),
        "oidc_authority": asked.get("oidc_authority"),
        "verify": asked["ca_file"],
        # Our authority is not in Microsoft's list of clouds.
        "instance_discovery": False,
        "client_capabilities": asked.get("capabilities"),
    }
    if public:
        return msal.PublicClientApplication(asked["client_id"], **options)
    return msal.ConfidentialClientApplication(asked["client_id"], client_credential=credential(asked), **options)


def given(step, *names):
    return {name: step[name] for name in names if name in step}


# === MSAL ===


def client_credentials(app, step):
    return app.acquire_token_for_client(step["scopes"], claims_challenge=step.get("claims"))


def obo(app, step):
    # What MSAL has no parameter for goes into the form as it stands.
    return app.acquire_token_on_behalf_of(
        step["assertion"], step["scopes"], claims_challenge=step.get("claims"), data=given(step, "requested_token_type")
    )


def saml_obo(app, step):
    # MSAL has these grants for its own way through WS-Trust, one layer below its methods, and encodes the assertion there.
    grant = f"urn:ietf:params:oauth:grant-type:saml{'2' if step['version'] == '2.0' else '1_1'}-bearer"
    app.client.grant_assertion_encoders.setdefault(grant, app.client.encode_saml_assertion)
    return app.client.obtain_token_by_assertion(
        step["assertion"].encode(), grant, scope=step["scopes"], data={"requested_token_use": "on_behalf_of"}
    )


def auth_code_url(app, step):
    return app.initiate_auth_code_flow(
        step["scopes"],
        claims_challenge=step.get("claims"),
        **given(step, "redirect_uri", "login_hint", "prompt", "state", "domain_hint"),
    )


def redeem(app, step):
    return app.acquire_token_by_auth_code_flow(step["flow"], step["response"], scopes=step.get("scopes"))


def redeem_code(app, step):
    return app.acquire_token_by_authorization_code(
        step["code"], step["scopes"], claims_challenge=step.get("claims"), **given(step, "redirect_uri", "nonce")
    )


def refresh_token(app, step):
    return app.acquire_token_by_refresh_token(step["refresh_token"], step["scopes"])


def silent(app, step):
    accounts = app.get_accounts(step.get("username"))
    if not accounts:
        return None
    return app.acquire_token_silent_with_error(
        step["scopes"], accounts[0], claims_challenge=step.get("claims"), force_refresh=step.get("force_refresh", False)
    )


def accounts(app, _step):
    return app.get_accounts()


def username_password(app, step):
    # MSAL asks `/common/userrealm/` whether the user is federated, on the authority's host but without its port. A host
    # that has no such page is remembered in this set; ours, on a port of its own, is put there beforehand.
    app.authority._domains_without_user_realm_discovery.add(app.authority.instance)
    return app.acquire_token_by_username_password(step["username"], step["password"], step["scopes"])


def device_code(app, step):
    return app.initiate_device_flow(step["scopes"])


def device_poll(app, step):
    # Only one poll: the test decides when the next one is due.
    return app.acquire_token_by_device_flow(step["flow"], exit_condition=lambda flow: True)


# === azure-identity ===


def azure_options(asked):
    parts = urlsplit(asked["authority"])
    options = {
        "authority": parts.netloc,
        "disable_instance_discovery": True,
        "connection_verify": asked["ca_file"],
    }
    return parts.path.strip("/"), options


def azure_answer(token):
    return {"token": token.token, "expires_on": token.expires_on, "refresh_on": token.refresh_on}


def azure_client(asked, step):
    from azure.identity import CertificateCredential, ClientSecretCredential

    tenant, options = azure_options(asked)
    if "certificate_pem" in asked:
        pem = asked["certificate_pem"].encode()
        client = CertificateCredential(tenant, asked["client_id"], certificate_data=pem, **options)
    else:
        client = ClientSecretCredential(tenant, asked["client_id"], asked["secret"], **options)
    return azure_answer(client.get_token_info(*step["scopes"]))


def azure_obo(asked, step):
    from azure.identity import OnBehalfOfCredential

    tenant, options = azure_options(asked)
    if "certificate_pem" in asked:
        options["client_certificate"] = asked["certificate_pem"].encode()
    else:
        options["client_secret"] = asked["secret"]
    client = OnBehalfOfCredential(tenant, asked["client_id"], user_assertion=step["assertion"], **options)
    return azure_answer(client.get_token_info(*step["scopes"]))


def azure_managed_identity(asked, step):
    from azure.identity import ManagedIdentityCredential

    os.environ["IDENTITY_ENDPOINT"] = step["endpoint"]
    os.environ["IDENTITY_HEADER"] = step["header"]
    client = ManagedIdentityCredential(**({"client_id": asked["client_id"]} if "client_id" in asked else {}))
    return azure_answer(client.get_token_info(step["resource"]))


MSAL = {
    step.__name__: step
    for step in (
        client_credentials, obo, saml_obo, auth_code_url, redeem, redeem_code, refresh_token, silent, accounts,
        username_password,
    )
}
PUBLIC = {step.__name__: step for step in (device_code, device_poll)}
AZURE = {step.__name__: step for step in (azure_client, azure_obo, azure_managed_identity)}


def run(asked):
    made = {}
    answers = []
    for step in asked.get("steps", [asked]):
        action = step["action"]
        if action in AZURE:
            answers.append(AZURE[action](asked, step))
            continue
        # An application without a credential is a public one; the device flow asks for it.
        public = action in PUBLIC or credential(asked) is None
        if public not in made:
            made[public] = application(asked, public)
        answers.append({**MSAL, **PUBLIC}[action](made[public], step))
    return answers if "steps" in asked else answers[0]


def main():
    try:
        print(json.dumps(run(json.loads(sys.argv[1]))))
    except Exception as error:  # The caller is a test and wants every outcome as data.
        print(json.dumps({"exception": type(error).__name__, "message": str(error)}))
        sys.exit(1)


if __name__ == "__main__":
    main()
