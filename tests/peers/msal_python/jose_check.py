"""Verifies a client assertion with a JOSE library that has nothing to do with tokend (joserfc, on OpenSSL).

    python jose_check.py '<json>'

In:  {"jwt": "eyJ…",                 the assertion
      "certificate_pem": "-----BEGIN CERTIFICATE-----…",   more than one is fine, the first is the signer's
      "algorithms": ["PS256"],       optional; default PS256 and RS256
      "audience": "…",               optional; `aud` must be this one string
      "client_id": "…"}              optional; `iss` and `sub` must be this
Out: {"header": {…}, "claims": {…}, "x5t": "…", "x5t#S256": "…"} on stdout, the thumbprints being the certificate's, and
     exit status 0; or {"error": "…"} and exit status 1.

Checked: the signature by the certificate's key; the thumbprint in the header (`x5t#S256`, `x5t`, whichever is there, at
least one) against the certificate's; `x5c`, if there, begins with that certificate; `exp`, `nbf` and `iat` against the clock.
"""

import base64
import hashlib
import json
import sys
import time

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from joserfc import jws
from joserfc.jwk import ECKey, RSAKey


class Refused(Exception):
    """What is wrong with the assertion."""


def thumbprint(der, digest):
    return base64.urlsafe_b64encode(digest(der).digest()).rstrip(b"=").decode()


def same_thumbprint(found, expected):
    # Padded or not, URL-safe or standard alphabet: clients differ, and authorities take them all.
    return found.rstrip("=").translate(str.maketrans("+/", "-_")) == expected


def check(asked):
    certificate = x509.load_pem_x509_certificates(asked["certificate_pem"].encode())[0]
    der = certificate.public_bytes(Encoding.DER)
    public = certificate.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    prints = {"x5t": thumbprint(der, hashlib.sha1), "x5t#S256": thumbprint(der, hashlib.sha256)}

    algorithms = asked.get("algorithms", ["PS256", "RS256"])
    key = (ECKey if algorithms[0].startswith("ES") else RSAKey).import_key(public)
    # Headers that RFC 7515 does not make critical are for the checks below, so the registry must not refuse them.
    registry = jws.JWSRegistry(algorithms=algorithms, strict_check_header=False)
    # The library allows 512 bytes, a chain in `x5c` takes thousands.
    registry.max_header_length = 64 * 1024
    token = jws.deserialize_compact(asked["jwt"], key, registry=registry)
    header = token.protected
    claims = json.loads(token.payload)

    named = [name for name in prints if name in header]
    if not named:
        raise Refused("the header names no certificate: neither x5t nor x5t#S256")
    for name in named:
        if not same_thumbprint(header[name], prints[name]):
            raise Refused(f"{name} is not this certificate's")
    if "x5c" in header:
        chain = header["x5c"] if isinstance(header["x5c"], list) else [header["x5c"]]
        if base64.b64decode(chain[0]) != der:
            raise Refused("x5c does not begin with this certificate")

    # No leeway for `exp`; two seconds for clocks that were read before and after a second's turn.
    now = time.time()
    if not claims["exp"] > now:
        raise Refused("expired")
    for name in ("nbf", "iat"):
        if name in claims and not claims[name] <= now + 2:
            raise Refused(f"{name} lies in the future")
    if "audience" in asked and claims.get("aud") != asked["audience"]:
        raise Refused(f"aud is {claims.get('aud')!r}")
    if "client_id" in asked and not claims.get("iss") == claims.get("sub") == asked["client_id"]:
        raise Refused("iss and sub are not the client")
    return {"header": header, "claims": claims, **prints}


def main():
    try:
        print(json.dumps(check(json.loads(sys.argv[1]))))
    except Exception as error:  # The caller is a test and wants every refusal as data.
        print(json.dumps({"error": f"{type(error).__name__}: {error}"}))
        sys.exit(1)


if __name__ == "__main__":
    main()
