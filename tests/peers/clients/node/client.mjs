// @azure/msal-node and @azure/identity as clients of an authority, and of a managed identity. What is asked and answered: ../README.md.
//
// NODE_EXTRA_CA_CERTS has to name the authority's CA: it is what both libraries' HTTP clients go by.

import { createInterface } from "node:readline";
import {
  ConfidentialClientApplication,
  CryptoProvider,
  ManagedIdentityApplication,
  PublicClientApplication,
} from "@azure/msal-node";
import {
  AuthorizationCodeCredential,
  ClientAssertionCredential,
  ClientCertificateCredential,
  ClientSecretCredential,
  DefaultAzureCredential,
  DeviceCodeCredential,
  ManagedIdentityCredential,
  OnBehalfOfCredential,
  UsernamePasswordCredential,
} from "@azure/identity";
import { createHash, X509Certificate } from "node:crypto";

const asked = JSON.parse(process.argv[2]);
const say = (line) => process.stdout.write(`${JSON.stringify(line)}\n`);
const scopes = [asked.scope];
const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();

/** Has the user sign in at this address; returns what came back to the redirect URI. */
async function signIn(url) {
  say({ url });
  return new URL((await lines.next()).value).searchParams;
}

// === @azure/msal-node ===

function msalCertificate() {
  const certificate = new X509Certificate(asked.certificate_pem);
  return {
    privateKey: asked.key_pem,
    thumbprintSha256: createHash("sha256").update(certificate.raw).digest("hex"),
    x5c: asked.certificate_pem,
  };
}

function msalApplication(Kind) {
  const auth = {
    clientId: asked.client_id,
    authority: `https://${asked.host}/${asked.tenant}`,
    // Ours is not in Microsoft's list of clouds.
    knownAuthorities: [asked.host],
  };
  if (Kind === ConfidentialClientApplication) {
    if (asked.secret) auth.clientSecret = asked.secret;
    if (asked.key_pem) auth.clientCertificate = msalCertificate();
    if (asked.client_assertion) auth.clientAssertion = asked.client_assertion;
  }
  return new Kind({ auth });
}

const confidential = () => msalApplication(ConfidentialClientApplication);
const msalOpen = () => msalApplication(PublicClientApplication);

const msalClient = () => confidential().acquireTokenByClientCredential({ scopes });
const msal = {
  secret: msalClient,
  certificate: msalClient,
  federated: msalClient,
  obo: () => confidential().acquireTokenOnBehalfOf({ oboAssertion: asked.assertion, scopes }),
  async code() {
    const app = confidential();
    const { verifier, challenge } = await new CryptoProvider().generatePkceCodes();
    const request = { scopes, redirectUri: asked.redirect_uri };
    const back = await signIn(await app.getAuthCodeUrl({ ...request, codeChallenge: challenge, codeChallengeMethod: "S256" }));
    return app.acquireTokenByCode({ ...request, code: back.get("code"), codeVerifier: verifier });
  },
  // Listens on a port of its own choice.
  interactive: () => msalOpen().acquireTokenInteractive({ scopes, openBrowser: async (url) => say({ url, listens: true }) }),
  device: () =>
    msalOpen().acquireTokenByDeviceCode({ scopes, deviceCodeCallback: (answer) => say({ user_code: answer.userCode }) }),
  password: () =>
    (asked.secret ? confidential() : msalOpen()).acquireTokenByUsernamePassword({ scopes, username: asked.username, password: asked.password }),
  // Where a managed identity's token is asked for is the environment's to say.
  identity() {
    const managedIdentityIdParams = asked.client_id ? { userAssignedClientId: asked.client_id } : undefined;
    return new ManagedIdentityApplication({ managedIdentityIdParams }).acquireToken({ resource: asked.scope.replace("/.default", "") });
  },
};

// === @azure/identity ===

const options = { authorityHost: `https://${asked.host}`, disableInstanceDiscovery: true };
const azure = {
  secret: () => new ClientSecretCredential(asked.tenant, asked.client_id, asked.secret, options),
  certificate: () =>
    new ClientCertificateCredential(asked.tenant, asked.client_id, { certificate: `${asked.key_pem}\n${asked.certificate_pem}` }, options),
  federated: () => new ClientAssertionCredential(asked.tenant, asked.client_id, async () => asked.client_assertion, options),
  obo: () =>
    new OnBehalfOfCredential({
      tenantId: asked.tenant,
      clientId: asked.client_id,
      clientSecret: asked.secret,
      userAssertionToken: asked.assertion,
      ...options,
    }),
  async code() {
    // It redeems codes and leaves the way to one to its user.
    const url = new URL(`https://${asked.host}/${asked.tenant}/oauth2/v2.0/authorize`);
    const members = { client_id: asked.client_id, response_type: "code", redirect_uri: asked.redirect_uri, scope: asked.scope };
    Object.entries(members).forEach(([name, value]) => url.searchParams.set(name, value));
    const code = (await signIn(url.href)).get("code");
    return new AuthorizationCodeCredential(asked.tenant, asked.client_id, asked.secret, code, asked.redirect_uri, options);
  },
  device: () =>
    new DeviceCodeCredential({
      tenantId: asked.tenant,
      clientId: asked.client_id,
      userPromptCallback: (answer) => say({ user_code: answer.userCode }),
      ...options,
    }),
  password: () => new UsernamePasswordCredential(asked.tenant, asked.client_id, asked.username, asked.password, options),
  identity: () => new ManagedIdentityCredential(asked.client_id ? { clientId: asked.client_id } : undefined),
  default: () => new DefaultAzureCredential(asked.client_id ? { managedIdentityClientId: asked.client_id } : undefined),
};

async function token() {
  if (asked.library === "msal-node") return (await msal[asked.flow]()).accessToken;
  return (await (await azure[asked.flow]()).getToken(scopes)).token;
}

try {
  say({ token: await token() });
  process.exit(0);
} catch (error) {
  say({ error: `${error.name}: ${error.message}` });
  process.exit(1);
}
