"""The Microsoft 365 Agents SDK for Python as a client of Microsoft's sidecar: where that is, SIDECAR_URL says. What is asked: ../README.md."""

import asyncio
import json
import sys

from microsoft_agents.authentication.entra_auth_sidecar import SidecarAuth
from microsoft_agents.hosting.core import AgentAuthConfiguration


def say(line):
    print(json.dumps(line), flush=True)


async def token(auth, asked):
    flow = asked["flow"]
    if flow == "healthy":
        return str(await auth.is_healthy())
    if flow == "agent":
        instance, _ = await auth.get_agentic_instance_token(asked["tenant"], asked["agent"])
        return instance
    if flow == "blueprint":
        return await auth.get_agentic_application_token(asked["tenant"], asked["agent"])
    if flow == "agent-user":
        return await auth.get_agentic_user_token(asked["tenant"], asked["agent"], asked["user"], asked["scopes"])
    # Of the resource it makes nothing: the scopes are what it asks for.
    return await auth.get_access_token("", asked["scopes"], asked.get("force_refresh", False))


async def main():
    asked = json.loads(sys.argv[1])
    settings = {"SERVICE_NAME": asked["service"]} if "service" in asked else {}
    auth = SidecarAuth(AgentAuthConfiguration(scopes=asked.get("scopes"), **settings))
    try:
        say({"token": await token(auth, asked)})
    except Exception as error:  # The caller is a test and wants every outcome as data.
        say({"error": f"{type(error).__name__}: {error}"})
        sys.exit(1)
    finally:
        await auth.close()


if __name__ == "__main__":
    asyncio.run(main())
