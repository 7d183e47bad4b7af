"""Flask with flask-jwt-extended, as its documentation sets it up: with one secret, and with an RSA key."""

import atexit
import shutil
import tempfile

from flask import Flask, jsonify, request
from flask_jwt_extended import JWTManager, create_access_token, create_refresh_token, get_jwt_identity, jwt_required
from report import report, rsa_pems

FOLDER = tempfile.mkdtemp()
SECRET = "0123456789abcdef" * 4


def issue(name, config, case):
    """An app with these settings, and its people's tokens."""
    app = Flask(__name__)
    app.config.update(config)
    JWTManager(app)

    @app.post("/login")
    def login():
        user = request.json["user"]
        return jsonify(access=create_access_token(user, fresh=True), refresh=create_refresh_token(user))

    @app.post("/refresh")
    @jwt_required(refresh=True)
    def refresh():
        return jsonify(access=create_access_token(get_jwt_identity(), fresh=False))

    @app.get("/me")
    @jwt_required()
    def me():
        return jsonify(id=get_jwt_identity())

    client = app.test_client()

    def own(token):
        """What Flask itself says to a token."""
        return client.get("/me", headers={"Authorization": f"Bearer {token}"})

    people, again = [], []
    for who in "alice", "bob":
        pair = client.post("/login", json={"user": who}).json
        assert own(pair["access"]).json == {"id": who}
        assert own(pair["refresh"]).status_code == 422
        people.append({"id": who, "token": pair["access"]})
        renewed = client.post("/refresh", headers={"Authorization": f"Bearer {pair['refresh']}"}).json["access"]
        again.append({"what": "a renewed token", "id": who, "token": renewed})
    numbered = client.post("/login", json={"user": 7}).json["access"]
    assert own(numbered).status_code == 422
    refused = [
        {"what": "the refresh token", "token": pair["refresh"], "code": "token-type"},
        {"what": "an identity that is a number", "token": numbered, "code": "token-claims"},
    ]
    return {"name": name, "section": "flask-jwt-extended", "people": people, "also": again, "refused": refused, **case}


if __name__ == "__main__":
    atexit.register(shutil.rmtree, FOLDER)
    private, public = rsa_pems()
    with open(f"{FOLDER}/public.pem", "w") as file:
        file.write(public)
    claims = {"JWT_ENCODE_ISSUER": "https://app.example.com", "JWT_ENCODE_AUDIENCE": "tasks", "JWT_DECODE_AUDIENCE": "tasks"}
    keys = {"JWT_ALGORITHM": "RS256", "JWT_PRIVATE_KEY": private, "JWT_PUBLIC_KEY": public}
    report(
        ["flask-jwt-extended"],
        [
            issue("HS256 and nothing set", {"JWT_SECRET_KEY": SECRET}, {"words": {"JWT_SECRET_KEY": SECRET}}),
            issue("HS512", {"JWT_SECRET_KEY": SECRET, "JWT_ALGORITHM": "HS512"}, {"words": {"JWT_SECRET_KEY": SECRET}}),
            issue("RS256", keys | claims, {"block": 2, "words": {"/etc/tasks-server/public.pem": f"{FOLDER}/public.pem"}}),
        ],
    )
