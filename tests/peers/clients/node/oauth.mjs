// openid-client as a client of tokend's token endpoint. What is asked and answered: ../README.md.

import { createInterface } from "node:readline";

const asked = JSON.parse(process.argv[2]);
const say = (line) => process.stdout.write(`${JSON.stringify(line)}\n`);

const flows = {
  app: (tokens) => tokens.appToken(asked.scope),
  async code(tokens) {
    const { url, remembered } = await tokens.signIn(asked.scope);
    say({ url });
    const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
    const answer = await tokens.signedIn((await lines.next()).value, remembered);
    return { ...answer, id_token_claims: answer.claims() };
  },
  refresh: (tokens) => tokens.refreshed(asked.refresh_token),
  async revoke(tokens) {
    await tokens.signOut(asked.refresh_token);
    return {};
  },
};

try {
  say({ answer: await flows[asked.flow](await import("./with-openid-client.mjs")) });
  process.exit(0);
} catch (error) {
  // What the server said stands beside the message.
  const said = [error.error, error.error_description].filter(Boolean).join(": ");
  say({ error: `${error.name}: ${error.message} ${said}` });
  process.exit(1);
}
