"""Authlib and requests-oauthlib as clients of tokend's token endpoint. What is asked and answered: ../README.md."""

import importlib
import json
import sys


def say(line):
    print(json.dumps(line), flush=True)


def code(tokens, asked):
    url, remembered = tokens.sign_in(asked["scope"])
    say({"url": url})
    return tokens.signed_in(sys.stdin.readline().strip(), remembered)


FLOWS = {
    "app": lambda tokens, asked: tokens.app_token(asked["scope"]),
    "code": code,
    "refresh": lambda tokens, asked: tokens.refreshed(asked["refresh_token"]),
}


def main():
    asked = json.loads(sys.argv[1])
    try:
        tokens = importlib.import_module("with_" + asked["library"].replace("-", "_"))
        say({"answer": FLOWS[asked["flow"]](tokens, asked)})
    except Exception as error:  # The caller is a test and wants every outcome as data.
        say({"error": f"{type(error).__name__}: {error}"})
        sys.exit(1)


if __name__ == "__main__":
    main()
