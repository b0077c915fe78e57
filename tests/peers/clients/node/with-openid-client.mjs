// Tokens by openid-client.

import * as client from "openid-client";

const { TOKEND_URL, APP, CLIENT_ID, CALLER_TOKEN, ISSUER, AUTHORIZE_URL, REDIRECT_URI } = process.env;

// tokend as it describes itself (RFC 8414, `public_url`). The client id is the one that the authority knows this application by; the
// secret is the caller's token, and no secret of the authority's. Plain HTTP is for a tokend on this machine.
const plain = TOKEND_URL.startsWith("http://127.0.0.1:") ? [client.allowInsecureRequests] : [];
const tokend = await client.discovery(new URL(`${TOKEND_URL}/${APP}`), CLIENT_ID, CALLER_TOKEN, undefined, {
  algorithm: "oauth2",
  execute: plain,
});

// Users sign in at the authority: its name and its page, and tokend's token endpoint. By hand, because nobody has a document of both.
const users = new client.Configuration(
  { issuer: ISSUER, authorization_endpoint: AUTHORIZE_URL, token_endpoint: tokend.serverMetadata().token_endpoint },
  CLIENT_ID,
  CALLER_TOKEN,
);
plain.forEach((allow) => allow(users));

export const appToken = (scope) => client.clientCredentialsGrant(tokend, { scope });

/** Returns where the browser goes, and what the user's session remembers until it is back. */
export async function signIn(scope) {
  const remembered = {
    scope,
    state: client.randomState(),
    nonce: client.randomNonce(),
    verifier: client.randomPKCECodeVerifier(),
  };
  const url = client.buildAuthorizationUrl(users, {
    scope,
    redirect_uri: REDIRECT_URI,
    state: remembered.state,
    nonce: remembered.nonce,
    code_challenge: await client.calculatePKCECodeChallenge(remembered.verifier),
    code_challenge_method: "S256",
  });
  return { url, remembered };
}

/** The scope is named again: tokend has not seen the address that the browser went to. */
export const signedIn = (callbackUrl, { scope, state, nonce, verifier }) =>
  client.authorizationCodeGrant(
    users,
    new URL(callbackUrl),
    { expectedState: state, expectedNonce: nonce, pkceCodeVerifier: verifier },
    { scope },
  );

/** Without a scope: tokend knows what the handle is for. */
export const refreshed = (refreshToken) => client.refreshTokenGrant(tokend, refreshToken);

/** Signs the user out of tokend. */
export const signOut = (refreshToken) => client.tokenRevocation(tokend, refreshToken);
