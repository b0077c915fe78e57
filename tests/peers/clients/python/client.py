"""azure-identity for Python as a client of an authority, and with MSAL as one of a managed identity. What is asked and answered: ../README.md."""

import json
import os
import sys
from urllib.parse import parse_qs, urlencode, urlsplit

for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
    # `requests` prefers them to what a program says.
    os.environ.pop(name, None)

from azure.identity import (  # noqa: E402  (after the environment is in order)
    AuthorizationCodeCredential,
    CertificateCredential,
    ClientAssertionCredential,
    ClientSecretCredential,
    DefaultAzureCredential,
    DeviceCodeCredential,
    ManagedIdentityCredential,
    OnBehalfOfCredential,
    UsernamePasswordCredential,
)
import requests  # noqa: E402
from msal import ManagedIdentityClient, SystemAssignedManagedIdentity, UserAssignedManagedIdentity  # noqa: E402
from msal.authority import Authority  # noqa: E402


def say(line):
    print(json.dumps(line), flush=True)


def code(asked, options):
    # It redeems codes and leaves the way to one to its user.
    query = {
        "client_id": asked["client_id"],
        "response_type": "code",
        "redirect_uri": asked["redirect_uri"],
        "scope": asked["scope"],
    }
    say({"url": f"https://{asked['host']}/{asked['tenant']}/oauth2/v2.0/authorize?{urlencode(query)}"})
    (found,) = parse_qs(urlsplit(sys.stdin.readline().strip()).query)["code"]
    return AuthorizationCodeCredential(
        asked["tenant"], asked["client_id"], found, asked["redirect_uri"], client_secret=asked["secret"], **options
    )


def device(asked, options):
    def prompt(_uri, user_code, _expires):
        say({"user_code": user_code})

    return DeviceCodeCredential(asked["client_id"], tenant_id=asked["tenant"], prompt_callback=prompt, **options)


def password(asked, options):
    # MSAL asks `/common/userrealm/` whether the user is federated, on the authority's host but without its port. A host that has
    # no such page is remembered in this set; ours, on a port of its own, is put there beforehand.
    Authority._domains_without_user_realm_discovery.add(urlsplit(f"https://{asked['host']}").hostname)
    return UsernamePasswordCredential(
        asked["client_id"], asked["username"], asked["password"], tenant_id=asked["tenant"], **options
    )


FLOWS = {
    "secret": lambda asked, options: ClientSecretCredential(asked["tenant"], asked["client_id"], asked["secret"], **options),
    "certificate": lambda asked, options: CertificateCredential(
        asked["tenant"],
        asked["client_id"],
        certificate_data=f"{asked['key_pem']}\n{asked['certificate_pem']}".encode(),
        **options,
    ),
    "federated": lambda asked, options: ClientAssertionCredential(
        asked["tenant"], asked["client_id"], lambda: asked["client_assertion"], **options
    ),
    "obo": lambda asked, options: OnBehalfOfCredential(
        asked["tenant"], asked["client_id"], client_secret=asked["secret"], user_assertion=asked["assertion"], **options
    ),
    "code": code,
    "device": device,
    "password": password,
}


def identity(asked):
    """A managed identity's token: where that is asked for is the environment's to say."""
    named = asked.get("client_id")
    if asked["library"] == "msal-python":
        which = UserAssignedManagedIdentity(client_id=named) if named else SystemAssignedManagedIdentity()
        client = ManagedIdentityClient(which, http_client=requests.Session())
        answer = client.acquire_token_for_client(resource=asked["scope"].removesuffix("/.default"))
        if "access_token" not in answer:
            raise RuntimeError(f"{answer['error']}: {answer.get('error_description')}")
        return answer["access_token"]
    if asked["flow"] == "default":
        credential = DefaultAzureCredential(managed_identity_client_id=named)
    else:
        credential = ManagedIdentityCredential(client_id=named)
    return credential.get_token(asked["scope"]).token


def token(asked):
    if asked["flow"] in ("identity", "default"):
        return identity(asked)
    options = {
        "authority": asked["host"],
        # Ours is not in Microsoft's list of clouds.
        "disable_instance_discovery": True,
        "connection_verify": asked["ca_file"],
    }
    return FLOWS[asked["flow"]](asked, options).get_token(asked["scope"]).token


def main():
    asked = json.loads(sys.argv[1])
    try:
        say({"token": token(asked)})
    except Exception as error:  # The caller is a test and wants every outcome as data.
        say({"error": f"{type(error).__name__}: {error}"})
        sys.exit(1)


if __name__ == "__main__":
    main()
