#!/usr/bin/env bash
# An authorization server of Authlib whose key set has two keys signs each token with one of them by chance, or fails by chance.
#
# Versions: Authlib 1.9.10, joserfc 1.8.0 (PyPI), which are what Authlib signs with; Python 3.11.
#
# Behaviour: Authlib's generator of JWT access tokens (RFC 9068) asks the server for its key set (get_jwks) and signs with it. Where
# the set has several keys for the algorithm, joserfc takes one at random for each token and writes its name (kid). So a rotation as
# it is usually done, the new key first and the old one beside it until its tokens have expired, never ends: about half of the new
# tokens are signed with the old key, and are refused when it goes. Where the old key stands there with its public half only, it is
# chosen as often, and then the request for a token fails. One key in place of a set is no way out either: the token then has no kid,
# so that nobody can tell which of two published keys to verify it with.
#
# What helps: a set of one key for signing, and another set for the address at which keys are published.
#
# Known: authlib/authlib issue 367 (2021) says in a comment that a key of the set is picked at random for ID tokens. That this ends
# no rotation, and the failures beside a public key, we found nowhere.
#
# Output seen:
#   access tokens, both keys private: signed with 2025, signed with 2026
#   access tokens, the old key public: UnsupportedKeyOperationError, signed with 2026
#   access tokens, the new key alone in the set: signed with 2026
#   access tokens, the new key and no set: signed with None
#   ID tokens, both keys private: signed with 2025, signed with 2026
#   joserfc, both keys private: signed with 2025, signed with 2026
#   joserfc, both keys private, kid in the header: signed with 2026
#
# Needs: Python 3.11 or newer with venv. Takes some seconds.
set -euo pipefail

# What is expected is the output above.
expected=$(sed -n '/^# Output seen/,/^#$/s/^#   //p' "$0")

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv python
python/bin/pip install --quiet --disable-pip-version-check Authlib==1.9.10 joserfc==1.8.0
cat >probe.py <<'PROGRAM'
import base64
import json

from authlib.oauth2.rfc9068 import JWTBearerTokenGenerator
from authlib.oidc.core.grants.util import generate_id_token
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet, RSAKey

def key(name):
    return RSAKey.generate_key(2048, {"kid": name, "alg": "RS256", "use": "sig"})

old, new = key("2025"), key("2026")
both = KeySet([new, old])

class Client:
    def get_client_id(self):
        return "a-client"

    def get_allowed_scope(self, scope):
        return scope

def access_token(keys):
    generator = JWTBearerTokenGenerator(issuer="https://auth.example.com")
    generator.get_jwks = lambda: keys
    return generator("client_credentials", Client(), scope="", include_refresh_token=False)["access_token"]

def show(what, make):
    outcomes = set()
    for _ in range(64):
        try:
            header = make().split(".")[0]
            outcomes.add(f"signed with {json.loads(base64.urlsafe_b64decode(header + '==')).get('kid')}")
        except JoseError as error:
            outcomes.add(type(error).__name__)
    print(f"{what}: {', '.join(sorted(outcomes))}")

show("access tokens, both keys private", lambda: access_token(both))
public = KeySet([new, RSAKey.import_key(old.as_dict(private=False))])
show("access tokens, the old key public", lambda: access_token(public))
show("access tokens, the new key alone in the set", lambda: access_token(KeySet([new])))
show("access tokens, the new key and no set", lambda: access_token(new))
show("ID tokens, both keys private", lambda: generate_id_token({}, {"sub": "1"}, both, "https://auth.example.com", ["a-client"]))
show("joserfc, both keys private", lambda: jwt.encode({"alg": "RS256"}, {"sub": "1"}, both))
show("joserfc, both keys private, kid in the header", lambda: jwt.encode({"alg": "RS256", "kid": "2026"}, {"sub": "1"}, both))
PROGRAM
python/bin/python -W ignore probe.py >seen
cat seen

if ! diff <(echo "$expected") seen >changed; then
    echo "Authlib or joserfc behaves otherwise than recorded (< recorded, > now):"
    cat changed
    exit 1
fi
echo "as recorded"
