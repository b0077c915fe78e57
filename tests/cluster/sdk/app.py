"""An application that knows nothing of tokend: azure-identity, unchanged, finds its tokens by the environment.

    app.py SCOPE

Prints one line of JSON, the claims of the token or why there is none, and ends with 1 without one. The token itself is not shown.
"""

import base64
import json
import sys

from azure.identity import DefaultAzureCredential


def claims(token):
    part = token.split(".")[1]
    return json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))


def main():
    credential = DefaultAzureCredential()
    try:
        first, second = (credential.get_token(sys.argv[1]) for _ in range(2))
    except Exception as error:  # The test wants every outcome as data.
        print(json.dumps({"error": f"{type(error).__name__}: {error}"}))
        return 1
    print(json.dumps({"claims": claims(first.token), "expires_on": first.expires_on, "same": first.token == second.token}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
