// The Microsoft 365 Agents SDK for Node.js as a client of Microsoft's sidecar: where that is, SIDECAR_URL says. What is asked: ../README.md.

import hosting from "@microsoft/agents-hosting";

const asked = JSON.parse(process.argv[2]);
const say = (line) => process.stdout.write(`${JSON.stringify(line)}\n`);

const provider = new hosting.SidecarAuthProvider({ serviceName: asked.service, scopes: asked.scopes });
const flows = {
  healthy: async () => String(await provider.isHealthy()),
  // It takes one scope.
  token: () => provider.getAccessToken(asked.scopes?.[0]),
  blueprint: () => provider.getAgenticApplicationToken(asked.tenant, asked.agent),
  agent: () => provider.getAgenticInstanceToken(asked.tenant, asked.agent),
  "agent-user": () => provider.getAgenticUserToken(asked.tenant, asked.agent, asked.user, asked.scopes),
};

try {
  say({ token: await flows[asked.flow]() });
  process.exit(0);
} catch (error) {
  say({ error: `${error.name}: ${error.message}` });
  process.exit(1);
}
