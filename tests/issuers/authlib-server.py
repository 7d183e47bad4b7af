"""An authorization server of Authlib in Flask, whose access tokens are JSON Web Tokens (RFC 9068)."""

import base64
import hashlib
import os
import secrets
import time
from types import SimpleNamespace
from urllib.parse import parse_qs, urlsplit

os.environ["AUTHLIB_INSECURE_TRANSPORT"] = "1"  # Loopback has no TLS.

import requests
from authlib.integrations.flask_oauth2 import AuthorizationServer
from authlib.oauth2.rfc6749 import AuthorizationCodeMixin, ClientMixin, grants
from authlib.oauth2.rfc7636 import CodeChallenge
from authlib.oauth2.rfc9068 import JWTBearerTokenGenerator
from authlib.oidc.core import UserInfo
from authlib.oidc.core.grants import OpenIDCode
from flask import Flask, jsonify, request
from joserfc.jwk import ECKey, KeySet, RSAKey
from report import Place, report

CALLBACK = "http://127.0.0.1/callback"
SECRET = "0123456789abcdef" * 4


class Client(ClientMixin):
    client_id = "a-client"

    def get_client_id(self):
        return self.client_id

    def get_default_redirect_uri(self):
        return CALLBACK

    def get_allowed_scope(self, scope):
        return scope

    def check_redirect_uri(self, redirect_uri):
        return redirect_uri == CALLBACK

    def check_client_secret(self, client_secret):
        return client_secret == SECRET

    def check_endpoint_auth_method(self, method, endpoint):
        return True

    def check_response_type(self, response_type):
        return response_type == "code"

    def check_grant_type(self, grant_type):
        return True


class Code(AuthorizationCodeMixin, SimpleNamespace):
    def get_redirect_uri(self):
        return self.redirect_uri

    def get_scope(self):
        return self.scope

    def get_nonce(self):
        return None

    def get_auth_time(self):
        return int(time.time())

    def get_acr(self):
        return None

    def get_amr(self):
        return None


class User(SimpleNamespace):
    def get_user_id(self):
        return self.id


def issue(key, algorithm):
    place, client, codes = Place(), Client(), {}
    keys = KeySet([key])

    class CodeGrant(grants.AuthorizationCodeGrant):
        TOKEN_ENDPOINT_AUTH_METHODS = ["client_secret_post"]

        def save_authorization_code(self, code, request):
            codes[code] = Code(
                user_id=request.user.id,
                redirect_uri=request.payload.redirect_uri,
                scope=request.payload.scope,
                code_challenge=request.payload.data["code_challenge"],
                code_challenge_method="S256",
            )

        def query_authorization_code(self, code, client):
            return codes.get(code)

        def delete_authorization_code(self, authorization_code):
            pass

        def authenticate_user(self, authorization_code):
            return User(id=authorization_code.user_id)

    class ClientGrant(grants.ClientCredentialsGrant):
        TOKEN_ENDPOINT_AUTH_METHODS = ["client_secret_post"]

    class IdToken(OpenIDCode):
        def exists_nonce(self, nonce, request):
            return False

        def get_jwt_config(self, grant, client=None):
            return {"key": key.as_dict(private=True), "alg": algorithm, "iss": place.origin, "exp": 3600}

        def get_client_algorithm(self, client):
            return algorithm

        def generate_user_info(self, user, scope):
            return UserInfo(sub=user.id)

    class Generator(JWTBearerTokenGenerator):
        def get_jwks(self):
            return keys

        def get_audiences(self, client, user, scope):
            return ["tasks"]

    app = Flask(__name__)
    server = AuthorizationServer(app, query_client=lambda _: client, save_token=lambda token, request: None)
    server.register_token_generator(
        "default",
        Generator(
            issuer=place.origin,
            alg=algorithm,
            refresh_token_generator=lambda **_: secrets.token_urlsafe(32),
        ),
    )
    server.register_grant(CodeGrant, [CodeChallenge(required=True), IdToken(require_nonce=False)])
    server.register_grant(ClientGrant)

    @app.get("/oauth/authorize")
    def authorize():
        # Who is signed in there is not what is tried here.
        user = User(id=request.args["login_hint"])
        grant = server.get_consent_grant(end_user=user)
        return server.create_authorization_response(grant_user=user, grant=grant)

    @app.post("/oauth/token")
    def token():
        return server.create_token_response()

    @app.get("/.well-known/jwks.json")
    def jwks():
        return jsonify(keys.as_dict(private=False))

    place.serve(app)
    account = {"client_id": client.client_id, "client_secret": SECRET}

    def ask(form):
        answer = requests.post(f"{place.origin}/oauth/token", data=account | form)
        assert answer.ok, answer.text
        return answer.json()

    people = []
    for who in "alice", "12":
        verifier = secrets.token_urlsafe(48)
        challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
        query = {
            "response_type": "code",
            "client_id": client.client_id,
            "redirect_uri": CALLBACK,
            "scope": "openid tasks",
            "code_challenge": challenge,
            "code_challenge_method": "S256",
            "login_hint": who,
        }
        answer = requests.get(f"{place.origin}/oauth/authorize", params=query, allow_redirects=False)
        [code] = parse_qs(urlsplit(answer.headers["Location"]).query)["code"]
        form = {"grant_type": "authorization_code", "code": code, "redirect_uri": CALLBACK, "code_verifier": verifier}
        tokens = ask(form)
        people.append({"id": who, "token": tokens["access_token"]})
    machine = ask({"grant_type": "client_credentials", "scope": "tasks"})["access_token"]
    return {
        "name": algorithm,
        "section": "Authlib",
        "origin": place.origin,
        "people": people,
        "also": [{"what": "a client of its own", "id": client.client_id, "token": machine}],
        "refused": [
            {"what": "the ID token", "token": tokens["id_token"], "code": "token-audience"},
            {"what": "the refresh token", "token": tokens["refresh_token"], "code": "token-opaque"},
        ],
    }


if __name__ == "__main__":
    rsa = RSAKey.generate_key(2048, {"use": "sig", "alg": "RS256"}, auto_kid=True)
    ec = ECKey.generate_key("P-256", {"use": "sig", "alg": "ES256"}, auto_kid=True)
    report(["authlib"], [issue(rsa, "RS256"), issue(ec, "ES256")])
