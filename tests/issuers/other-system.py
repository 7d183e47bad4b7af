"""A system that this document does not know: whatever algorithm it signs with, and whichever name of Ed25519 it writes."""

import json
import secrets
import time

from joserfc import jwt
from joserfc.jwk import ECKey, OKPKey, RSAKey
from report import Place, report

ALGORITHMS = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA", "Ed25519"]
CURVES = {"ES256": "P-256", "ES384": "P-384", "ES512": "P-521"}


def key(algorithm):
    parameters = {"use": "sig", "kid": secrets.token_hex(8)}
    if algorithm in CURVES:
        return ECKey.generate_key(CURVES[algorithm], parameters)
    if algorithm in ("EdDSA", "Ed25519"):
        return OKPKey.generate_key("Ed25519", parameters)
    return RSAKey.generate_key(2048, parameters)


def sign(place, algorithm, key, who, **more):
    now = int(time.time())
    header = {"alg": algorithm, "kid": key.kid, **({"typ": "at+jwt"} if who == "alice" else {})}
    payload = {"iss": place.origin, "aud": "tasks", "sub": who, "iat": now, "exp": now + 600, **more}
    return jwt.encode(header, payload, key, algorithms=[algorithm])


def serve(place, keys):
    body = json.dumps({"keys": keys}).encode()

    def application(_, start):
        start("200 OK", [("Content-Type", "application/jwk-set+json")])
        return [body]

    place.serve(application)


def case(name, place, keys):
    """Of the first key people, of all others one more token each; a key is there with what signs and what is said of it."""
    (algorithm, first, _, _), *others = keys
    serve(place, [key.as_dict(private=False, **said) for _, key, said, _ in keys])
    return {
        "name": name,
        "section": "Another system",
        "origin": place.origin,
        "people": [{"id": who, "token": sign(place, algorithm, first, who)} for who in ("alice", "bob")],
        "also": [{"what": what, "id": "bob", "token": sign(place, algorithm, key, "bob")} for algorithm, key, _, what in others],
        "refused": [
            {"what": "an ID token", "token": sign(place, algorithm, first, "bob", aud="a-client"), "code": "token-audience"},
            {"what": "another issuer's", "token": sign(place, algorithm, first, "bob", iss="https://elsewhere"), "code": "token-issuer"},
        ],
    }


if __name__ == "__main__":
    # The six mixtures: what the header says, and what the key says, if anything.
    mixed = [
        (header, key(header), {"alg": said} if said else {}, f"{header} with a key of {said or 'no alg'}")
        for header in ("EdDSA", "Ed25519")
        for said in ("EdDSA", "Ed25519", None)
    ]
    each = [(algorithm, key(algorithm), {"alg": algorithm}, algorithm) for algorithm in ALGORITHMS]
    report(["joserfc"], [case("EdDSA with a key of EdDSA", Place(), mixed), case("RS256", Place(), each)])
