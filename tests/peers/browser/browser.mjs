// A real Chromium for the tests of `tokend login`: headless, on loopback alone. It ends with this process, which ends when its stdin
// does: so neither outlives a test, even one that was killed.
//
//   node browser.mjs '<what is asked, as JSON>'
//
// What is asked; every member but `url` may be left out:
//   url         where the sign-in begins
//   sign_in     who signs in, where the page has to be filled in: {"press":"SELECTOR"}, or
//               {"fill":{"SELECTOR":"text",…},"press":"SELECTOR"}
//   trespass    an address on this machine that a page of another site turns to first, in every way that a page has: with `state`, which
//               no page can know, so that nothing but the way itself is in the way; and with another one, where a page has all of
//               the browser's rights
//               {"callback":"http://localhost:1234/","state":"…"}
//
// It says one line of JSON:
//   {"trespasses":[{"how":"img","method":"GET","status":403},…],"readable":false,
//    "end":{"url":"http://localhost:1234/done","status":200,"text":"…","referrer":"","history":["http://…",…]}}
// or {"error":"…"}.

import { once } from 'node:events';
import { createServer } from 'node:http';
import { existsSync } from 'node:fs';
import { chromium } from 'playwright-core';

const asked = JSON.parse(process.argv[2]);
const PLACES = ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'];
const PATIENCE = 60_000;

/** Everything that a page can have its browser ask for, itself staying where it is. */
function attempts({ callback, right, wrong }) {
  const settled = (element, into = document.body) => new Promise((done) => {
    element.onload = () => done();
    element.onerror = () => done();
    into.append(element);
    // What is refused before it is asked for says nothing.
    setTimeout(done, 3000);
  });
  const made = (tag, members) => Object.assign(document.createElement(tag), members);
  const get = (state) => `${callback}?code=forged&state=${encodeURIComponent(state)}`;
  const framed = async (method) => {
    const frame = made('iframe', { name: `frame-${method}` });
    document.body.append(frame);
    const form = made('form', { method, action: callback, target: frame.name });
    for (const [name, value] of [['code', 'forged'], ['state', right]]) form.append(made('input', { type: 'hidden', name, value }));
    document.body.append(form);
    const loaded = new Promise((done) => { frame.onload = done; setTimeout(done, 3000); });
    form.submit();
    await loaded;
  };
  const read = async (mode) => {
    try {
      return (await (await fetch(get(right), { mode, credentials: 'include' })).text()).length > 0;
    } catch {
      return false;
    }
  };
  return (async () => {
    await settled(made('img', { src: get(right) }));
    await settled(made('script', { src: get(right) }));
    await settled(made('iframe', { src: get(right) }));
    await settled(made('link', { rel: 'stylesheet', href: get(right) }), document.head);
    await settled(made('link', { rel: 'prefetch', href: get(right) }), document.head);
    await settled(made('object', { data: get(right) }));
    await framed('get');
    await framed('post');
    navigator.sendBeacon(get(right));
    const readable = [await read('no-cors'), await read('cors')].some(Boolean);
    // A window of its own is all that a page can open as a person does; what it cannot know is the state.
    window.open(get(wrong));
    window.open(`${callback}?error=access_denied&state=`);
    return readable;
  })();
}

/** A page of another site, which turns to the address. */
async function trespass(context, { callback, state }) {
  const site = createServer((_req, res) => {
    res.setHeader('content-type', 'text/html');
    res.end('<!doctype html><title>elsewhere</title><p>elsewhere</p>');
  });
  site.listen(0, '127.0.0.1');
  await once(site, 'listening');
  const seen = [];
  const { origin } = new URL(callback);
  const note = (request) => {
    if (request.url().startsWith(origin) || request.url().includes('rebound.example')) seen.push(request);
  };
  context.on('request', note);
  const page = await context.newPage();
  await page.goto(`http://evil.localhost:${site.address().port}/`);
  const readable = await page.evaluate(attempts, { callback, right: state, wrong: 'guessed' });
  // Its own name, made to point here by its DNS: then the page is of one origin with what it asks for.
  const rebound = new URL(callback);
  rebound.hostname = 'rebound.example';
  rebound.search = `?code=forged&state=${encodeURIComponent(state)}`;
  await page.goto(rebound.href);
  for (const other of context.pages()) await other.waitForLoadState().catch(() => {});
  context.off('request', note);
  // An answer that the browser itself keeps from the page has no status here.
  const trespasses = await Promise.all(seen.map(async (request) => {
    const response = await request.response().catch(() => null);
    return { how: request.resourceType(), method: request.method(), status: response?.status() ?? null };
  }));
  for (const other of context.pages()) await other.close();
  site.close();
  return { trespasses, readable };
}

/** A person who signs in. */
async function signIn(context, { url, sign_in: person }) {
  const page = await context.newPage();
  const history = [];
  page.on('framenavigated', (frame) => { if (frame === page.mainFrame()) history.push(frame.url()); });
  let last;
  page.on('response', (response) => { if (response.request().isNavigationRequest()) last = response; });
  await page.goto(url);
  for (const [selector, text] of Object.entries(person?.fill ?? {})) await page.fill(selector, text);
  if (person) await page.click(person.press, { noWaitAfter: true });
  await page.waitForURL((at) => /^\/(done|ended)$/.test(at.pathname) && at.search === '');
  const [text, referrer] = await page.evaluate(() => [document.body.innerText, document.referrer]);
  return { url: page.url(), status: last.status(), text, referrer, history };
}

async function run() {
  const executablePath = process.env.CHROMIUM ?? PLACES.find(existsSync);
  if (!executablePath) throw new Error('no Chromium: run tests/setup/peers');
  const browser = await chromium.launch({
    executablePath,
    // Root has no sandbox, and a container little shared memory.
    args: ['--no-sandbox', '--disable-dev-shm-usage', '--host-resolver-rules=MAP rebound.example 127.0.0.1'],
  });
  try {
    // The emulator's CA is made at its start, and no browser knows it.
    const context = await browser.newContext({ ignoreHTTPSErrors: true });
    context.setDefaultTimeout(PATIENCE);
    const first = asked.trespass ? await trespass(context, asked.trespass) : {};
    return { ...first, end: await signIn(context, asked) };
  } finally {
    await browser.close();
  }
}

// The browser ends when the pipe to it closes.
process.stdin.on('end', () => process.exit(1)).on('error', () => process.exit(1)).resume();
const said = await run().catch((error) => ({ error: String(error?.stack ?? error) }));
process.stdout.write(`${JSON.stringify(said)}\n`, () => process.exit(0));
