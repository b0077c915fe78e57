// The npm `oidc-provider` as an authority for tokend's tests: somebody else's reading of OAuth 2.0 and OpenID Connect, so
// that a mistake which tokend and its own emulator share cannot pass unseen.
//
//   node server.mjs '<configuration as JSON>'
//
// It listens on 127.0.0.1, port 0, plain HTTP, or TLS where `tls` is given. When it is ready, exactly one line comes on stdout,
//   {"issuer":"http://127.0.0.1:PORT","pid":PID}
// everything else goes to stderr. It ends on SIGTERM, on SIGINT and when its stdin closes: start it with a pipe as stdin and
// it cannot outlive the test, even one that was killed. Nothing is kept.
//
// The configuration; every member may be left out:
//   clients        as oidc-provider takes them, for instance
//                  {"client_id":"daemon","token_endpoint_auth_method":"private_key_jwt","jwks":{"keys":[…]},
//                   "grant_types":["client_credentials"],"redirect_uris":[],"response_types":[]}
//                  {"client_id":"web","client_secret":"…","grant_types":["authorization_code","refresh_token"],
//                   "redirect_uris":["http://127.0.0.1:9/cb"]}
//                  A device client needs the grant type "urn:ietf:params:oauth:grant-type:device_code".
//   resources      {"https://orders.example":{"scope":"orders.read orders.write","audience":"orders","accessTokenTTL":600}}:
//                  the resource servers. Left out, every absolute URI is one, with the scopes `api.read api.write`.
//   defaultResource  the resource of a request that names none. Left out, such a request has none, and what it gets is an
//                  opaque access token for the userinfo endpoint (client credentials: an opaque token).
//   ttl            seconds, for instance {"AccessToken":5,"ClientCredentials":5,"RefreshToken":60,"DeviceCode":3}
//   refreshAlways  true: a client with the refresh_token grant gets a refresh token without asking for offline_access
//   tls            {"cert":"…","key":"…","ca":"…"}, PEM: it serves TLS, asks clients for a certificate of that CA, and takes it as
//                  the proof of clients with `tls_client_auth`
//   features       merged into oidc-provider's `features`
//   configuration  merged last into the whole configuration: anything that JSON can say
//
// What holds without asking: PKCE (S256) is required, refresh tokens rotate on every use, using an old one revokes the whole
// grant, a client assertion's `jti` works once, access tokens for a resource are RS256 JWTs that verify by the jwks,
// `offline_access` is granted only with `prompt=consent`.
//
// Nobody has to click. The interaction page signs in `login_hint`, or `ana`, and grants all that is asked for; the account
// `denied` refuses. So a code is got by following redirects with a cookie jar, or in one call by the person at the desk:
//   GET /person/authorize?url=<authorization URL, encoded>     → {"redirect":"http://127.0.0.1:9/cb?code=…&state=…"}
//   GET /person/device?user_code=…[&login=…][&answer=deny]     → {"done":true}; the real pages, walked by this process
//   GET /person/logout?url=<end-session URL, encoded>          → {"redirect":"…"}; the real page, agreed to
//   GET /person/log                                            → what the token endpoint was asked:
//       [{"grant_type":"client_credentials","client_id":"daemon","error":null,"error_description":null,"detail":null,"parameters":["grant_type",…]}]
// A path that fails answers 400 and {"error":"…"}.

import { generateKeyPairSync } from 'node:crypto';
import { createServer } from 'node:http';
import { createServer as createTlsServer } from 'node:https';

// The library gives advice on stdout, where the one line belongs to the test.
console.log = console.error;
console.info = () => {};
const { default: Provider, errors, interactionPolicy } = await import('oidc-provider');

const asked = JSON.parse(process.argv[2] ?? '{}');

// === Storage ===

// The library's own memory adapter forgets after a thousand records, and a load test's spent assertions would push out a
// refresh token. This one keeps everything until the process ends; expiry is judged by the library.
const records = new Map();
class Store {
  constructor(model) { this.model = model; }

  key(id) { return `${this.model}:${id}`; }

  async upsert(id, payload) { records.set(this.key(id), payload); }

  async find(id) { return records.get(this.key(id)); }

  async findByUid(uid) { return this.first((payload) => payload.uid === uid); }

  async findByUserCode(code) { return this.first((payload) => payload.userCode === code); }

  async consume(id) { records.get(this.key(id)).consumed = Math.floor(Date.now() / 1000); }

  async destroy(id) { records.delete(this.key(id)); }

  async revokeByGrantId(grantId) {
    for (const [key, payload] of records) {
      if (payload.grantId === grantId) records.delete(key);
    }
  }

  first(wanted) {
    for (const [key, payload] of records) {
      if (key.startsWith(`${this.model}:`) && wanted(payload)) return payload;
    }
    return undefined;
  }
}

// === The provider ===

function signingKeys() {
  const key = (kid, alg, pair) => ({ ...pair.privateKey.export({ format: 'jwk' }), kid, alg, use: 'sig' });
  return {
    keys: [
      key('rsa', 'RS256', generateKeyPairSync('rsa', { modulusLength: 2048 })),
      key('ec', 'ES256', generateKeyPairSync('ec', { namedCurve: 'P-256' })),
    ],
  };
}

function resourceServer(resource) {
  const known = asked.resources?.[resource];
  if (asked.resources && !known) throw new errors.InvalidTarget('no such resource');
  return {
    scope: 'api.read api.write',
    audience: resource,
    accessTokenFormat: 'jwt',
    jwt: { sign: { alg: 'RS256' } },
    ...known,
  };
}

const base = {
  adapter: Store,
  clients: asked.clients ?? [],
  jwks: signingKeys(),
  cookies: { keys: ['only for tests'] },
  // Also the claims that an id token for a signed-in person should have without a call to userinfo.
  conformIdTokenClaims: false,
  claims: { openid: ['sub'], profile: ['name', 'preferred_username'], email: ['email', 'email_verified'] },
  scopes: ['openid', 'offline_access', 'profile', 'email'],
  findAccount: (_ctx, sub) => ({
    accountId: sub,
    claims: () => ({
      sub, name: sub, preferred_username: sub, email: `${sub}@example.com`, email_verified: true,
    }),
  }),
  pkce: { required: () => true },
  rotateRefreshToken: true,
  interactions: { policy: interactionPolicy.base() },
  features: {
    devInteractions: { enabled: false },
    clientCredentials: { enabled: true },
    deviceFlow: { enabled: true },
    introspection: { enabled: true },
    revocation: { enabled: true },
    resourceIndicators: {
      enabled: true,
      defaultResource: (_ctx, _client, oneOf) => oneOf ?? asked.defaultResource,
      getResourceServerInfo: (_ctx, resource) => resourceServer(resource),
      // A code or refresh token redeemed without `resource` is for the one that was granted.
      useGrantedResource: () => true,
    },
  },
};
if (asked.tls) {
  base.clientAuthMethods = ['client_secret_basic', 'client_secret_post', 'private_key_jwt', 'tls_client_auth'];
  base.features.mTLS = {
    enabled: true,
    tlsClientAuth: true,
    certificateBoundAccessTokens: true,
    getCertificate: (ctx) => ctx.socket.getPeerX509Certificate()?.toString(),
    certificateAuthorized: (ctx) => ctx.socket.authorized,
    certificateSubjectMatches: (ctx, property, expected) => {
      if (property !== 'tls_client_auth_san_dns') throw new Error(`${property} is not looked at`);
      return ctx.socket.getPeerX509Certificate().subjectAltName.split(', ').includes(`DNS:${expected}`);
    },
  };
}
if (asked.ttl) base.ttl = asked.ttl;
if (asked.refreshAlways) base.issueRefreshToken = (_ctx, client) => client.grantTypeAllowed('refresh_token');

const isObject = (value) => value !== null && typeof value === 'object' && !Array.isArray(value);
function merge(into, from = {}) {
  for (const [name, value] of Object.entries(from)) {
    into[name] = isObject(value) && isObject(into[name]) ? merge({ ...into[name] }, value) : value;
  }
  return into;
}
merge(base.features, asked.features);
merge(base, asked.configuration);

// The issuer contains the port, so the socket comes first; requests wait in the listen queue until a handler is there.
const server = asked.tls ? createTlsServer({ ...asked.tls, requestCert: true, rejectUnauthorized: false }) : createServer();
await new Promise((ready, failed) => {
  server.once('error', failed);
  server.listen(0, '127.0.0.1', ready);
});
const issuer = `${asked.tls ? 'https' : 'http'}://127.0.0.1:${server.address().port}`;
const provider = new Provider(issuer, base);

// === The log of the token endpoint ===

const log = [];
function remember(ctx, error) {
  log.push({
    grant_type: ctx.oidc?.body?.grant_type ?? null,
    client_id: ctx.oidc?.client?.clientId ?? ctx.oidc?.body?.client_id ?? null,
    error: error?.error ?? null,
    error_description: error?.error_description ?? null,
    // Why, in the library's own words: it does not tell the client.
    detail: error?.error_detail ?? error?.cause?.message ?? null,
    // Names only: what was sent is none of a log's business.
    parameters: Object.keys(ctx.oidc?.body ?? {}),
  });
}
provider.on('grant.success', (ctx) => remember(ctx));
provider.on('grant.error', (ctx, error) => remember(ctx, error));
provider.on('server_error', (_ctx, error) => console.error(error));

// === Interactions, finished without a person ===

async function finishInteraction(req, res) {
  const { prompt, params, session, grantId } = await provider.interactionDetails(req, res);
  if (prompt.name === 'login') {
    // The device flow has no login_hint: there the browser says who sits in front of it.
    const accountId = params.login_hint ?? /(?:^|; )desk=([^;]+)/.exec(req.headers.cookie)?.[1] ?? 'ana';
    const result = accountId === 'denied'
      ? { error: 'access_denied', error_description: 'the person at the desk said no' }
      : { login: { accountId } };
    return provider.interactionFinished(req, res, result, { mergeWithLastSubmission: false });
  }
  const grant = (grantId && await provider.Grant.find(grantId))
    || new provider.Grant({ accountId: session.accountId, clientId: params.client_id });
  const { missingOIDCScope, missingOIDCClaims, missingResourceScopes } = prompt.details;
  if (missingOIDCScope) grant.addOIDCScope(missingOIDCScope.join(' '));
  if (missingOIDCClaims) grant.addOIDCClaims(missingOIDCClaims);
  for (const [resource, scopes] of Object.entries(missingResourceScopes ?? {})) {
    grant.addResourceScope(resource, scopes.join(' '));
  }
  return provider.interactionFinished(
    req,
    res,
    { consent: { grantId: await grant.save() } },
    { mergeWithLastSubmission: true },
  );
}

// === The person at the desk ===

// A browser as far as this authority can tell: follows redirects within it, keeps cookies, reads pages.
class Browser {
  cookies = new Map();

  async open(url, form) {
    for (let hops = 0; hops < 20; hops += 1) {
      const answer = await fetch(url, {
        method: form ? 'POST' : 'GET',
        body: form && new URLSearchParams(form),
        headers: { cookie: [...this.cookies].map(([name, value]) => `${name}=${value}`).join('; ') },
        redirect: 'manual',
      });
      for (const line of answer.headers.getSetCookie()) {
        const [, name, value] = /^([^=]+)=([^;]*)/.exec(line);
        if (value) this.cookies.set(name, value); else this.cookies.delete(name);
      }
      const location = answer.headers.get('location');
      if (!location) return { page: await answer.text(), status: answer.status };
      url = new URL(location, url).href;
      if (!url.startsWith(`${issuer}/`)) return { redirect: url };
      form = undefined;
    }
    throw new Error('redirected in circles');
  }
}

async function authorize(url) {
  if (!url?.startsWith(`${issuer}/`)) throw new Error('url is not an address of this authority');
  const { redirect, page } = await new Browser().open(url);
  if (!redirect) throw new Error(page.replace(/<style>[^]*<\/style>|<[^>]*>/g, ' ').replace(/\s+/g, ' ').trim());
  return { redirect };
}

async function logout(url) {
  if (!url?.startsWith(`${issuer}/`)) throw new Error('url is not an address of this authority');
  const browser = new Browser();
  const { page } = await browser.open(url);
  // A form that asks, or one that a browser sends by itself where nobody is signed in.
  const action = /<form[^>]* action="([^"]+)"/.exec(page)?.[1];
  const hidden = [...page.matchAll(/<input type="hidden" name="([^"]+)" value="([^"]*)" ?\/>/g)];
  if (!action || hidden.length === 0) throw new Error(page.replace(/<style>[^]*<\/style>|<[^>]*>/g, ' ').replace(/\s+/g, ' ').trim());
  const fields = Object.fromEntries(hidden.map(([, name, value]) => [name, value]));
  return { redirect: (await browser.open(action, { ...fields, logout: 'yes' })).redirect };
}

async function approveDevice(query) {
  const browser = new Browser();
  browser.cookies.set('desk', query.get('login') ?? 'ana');
  const userCode = query.get('user_code');
  const fields = (page) => Object.fromEntries(
    [...page.matchAll(/<input type="hidden" name="([^"]+)" value="([^"]*)"\/>/g)].map(([, name, value]) => [name, value]),
  );
  const { page: input } = await browser.open(`${issuer}/device`);
  const { page: confirm } = await browser.open(`${issuer}/device`, { ...fields(input), user_code: userCode });
  if (!confirm.includes('name="confirm"')) throw new Error('the user code was not accepted');
  const decision = query.get('answer') === 'deny' ? { abort: 'yes' } : {};
  const { page } = await browser.open(`${issuer}/device`, { ...fields(confirm), ...decision });
  if (!decision.abort && !page.includes('Sign-in Success')) throw new Error('the device was not approved');
  return { done: true };
}

// === Routes ===

const provide = provider.callback();
async function route(req, res) {
  const url = new URL(req.url, issuer);
  const json = (status, body) => {
    res.writeHead(status, { 'content-type': 'application/json' });
    res.end(JSON.stringify(body));
  };
  if (url.pathname.startsWith('/interaction/')) return finishInteraction(req, res);
  try {
    if (url.pathname === '/person/authorize') return json(200, await authorize(url.searchParams.get('url')));
    if (url.pathname === '/person/logout') return json(200, await logout(url.searchParams.get('url')));
    if (url.pathname === '/person/device') return json(200, await approveDevice(url.searchParams));
    if (url.pathname === '/person/log') return json(200, log);
  } catch (error) {
    return json(400, { error: error.message });
  }
  return provide(req, res);
}
server.on('request', (req, res) => {
  route(req, res).catch((error) => {
    console.error(error);
    if (!res.headersSent) res.writeHead(500);
    res.end();
  });
});

for (const signal of ['SIGTERM', 'SIGINT']) process.on(signal, () => process.exit(0));
process.stdin.on('end', () => process.exit(0)).on('close', () => process.exit(0)).on('error', () => process.exit(0)).resume();

process.stdout.write(`${JSON.stringify({ issuer, pid: process.pid })}\n`);
