"""Tokens by Authlib."""

import os

from authlib.common.security import generate_token
from authlib.integrations.requests_client import OAuth2Session

TOKEN_ENDPOINT = os.environ["TOKEND_URL"] + "/oauth2/token"
REDIRECT_URI = os.environ["REDIRECT_URI"]


def session(**more):
    # The id that the authority knows this application by. The secret is the caller's token, and no secret of the authority's.
    return OAuth2Session(os.environ["CLIENT_ID"], os.environ["CALLER_TOKEN"], **more)


def app_token(scope):
    return session(scope=scope).fetch_token(TOKEN_ENDPOINT, grant_type="client_credentials")


def sign_in(scope):
    """Returns where the browser goes, and what the user's session remembers until it is back."""
    verifier = generate_token(48)
    asking = session(scope=scope, redirect_uri=REDIRECT_URI, code_challenge_method="S256")
    url, state = asking.create_authorization_url(os.environ["AUTHORIZE_URL"], code_verifier=verifier)
    return url, {"state": state, "code_verifier": verifier, "scope": scope}


def signed_in(callback_url, remembered):
    # `state` is compared. The scope is named again: tokend has not seen the address that the browser went to.
    redeeming = session(state=remembered["state"], redirect_uri=REDIRECT_URI)
    return redeeming.fetch_token(
        TOKEN_ENDPOINT,
        authorization_response=callback_url,
        code_verifier=remembered["code_verifier"],
        scope=remembered["scope"],
    )


def refreshed(refresh_token):
    # By a session that has no scope: Authlib would send it, and tokend knows what the handle is for.
    return session().refresh_token(TOKEN_ENDPOINT, refresh_token=refresh_token)
