"""Tokens by requests-oauthlib."""

import os

from oauthlib.oauth2 import BackendApplicationClient, WebApplicationClient
from requests_oauthlib import OAuth2Session

TOKEN_ENDPOINT = os.environ["TOKEND_URL"] + "/oauth2/token"
REDIRECT_URI = os.environ["REDIRECT_URI"]
# The id that the authority knows this application by. The secret is the caller's token, and no secret of the authority's.
CLIENT_ID = os.environ["CLIENT_ID"]
CALLER_TOKEN = os.environ["CALLER_TOKEN"]

if TOKEN_ENDPOINT.startswith("http://127.0.0.1:"):
    # oauthlib refuses plain HTTP even where it does not leave the machine. It will take a callback address without TLS too.
    os.environ["OAUTHLIB_INSECURE_TRANSPORT"] = "1"


def app_token(scope):
    session = OAuth2Session(client=BackendApplicationClient(CLIENT_ID))
    return session.fetch_token(TOKEN_ENDPOINT, client_secret=CALLER_TOKEN, scope=scope)


def sign_in(scope):
    """Returns where the browser goes, and what the user's session remembers until it is back."""
    client = WebApplicationClient(CLIENT_ID)
    session = OAuth2Session(client=client, redirect_uri=REDIRECT_URI, scope=scope)
    # `pkce="S256"` would keep the verifier in the session object, which is gone when the browser comes back.
    verifier = client.create_code_verifier(64)
    challenge = client.create_code_challenge(verifier, "S256")
    url, state = session.authorization_url(
        os.environ["AUTHORIZE_URL"], code_challenge=challenge, code_challenge_method="S256"
    )
    return url, {"state": state, "code_verifier": verifier, "scope": scope}


def signed_in(callback_url, remembered):
    # `state` is compared. The scope is named again: tokend has not seen the address that the browser went to.
    session = OAuth2Session(CLIENT_ID, redirect_uri=REDIRECT_URI, state=remembered["state"])
    return session.fetch_token(
        TOKEN_ENDPOINT,
        authorization_response=callback_url,
        client_secret=CALLER_TOKEN,
        code_verifier=remembered["code_verifier"],
        scope=remembered["scope"],
    )


def refreshed(refresh_token):
    # Without a scope: tokend knows what the handle is for.
    session = OAuth2Session(CLIENT_ID)
    return session.refresh_token(
        TOKEN_ENDPOINT, refresh_token=refresh_token, client_id=CLIENT_ID, client_secret=CALLER_TOKEN
    )
