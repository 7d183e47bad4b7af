"""FastAPI Users with its JWT strategy, as its documentation sets it up: with one secret, and with an RSA key."""

import asyncio
import atexit
import shutil
import tempfile
import threading
import time
import uuid
from types import SimpleNamespace

import requests
import uvicorn
from fastapi import Depends, FastAPI
from fastapi_users import BaseUserManager, FastAPIUsers, UUIDIDMixin, schemas
from fastapi_users.authentication import AuthenticationBackend, BearerTransport, JWTStrategy
from fastapi_users.db import BaseUserDatabase
from report import report, rsa_pems

FOLDER = tempfile.mkdtemp()
SECRET = "0123456789abcdef" * 4
PASSWORD = "correct horse battery staple"


class Accounts(BaseUserDatabase):
    """Accounts in memory."""

    def __init__(self):
        self.all = {}

    async def get(self, id):
        return self.all.get(id)

    async def get_by_email(self, email):
        return next((user for user in self.all.values() if user.email == email), None)

    async def create(self, create_dict):
        defaults = {"id": uuid.uuid4(), "is_active": True, "is_superuser": False, "is_verified": False}
        user = SimpleNamespace(**{**defaults, **create_dict})
        self.all[user.id] = user
        return user

    async def update(self, user, update_dict):
        vars(user).update(update_dict)
        return user


def issue(name, strategy, case):
    """An app whose tokens are this strategy's, its people's tokens, and those that it sends by mail."""
    accounts, mails = Accounts(), {}

    class Manager(UUIDIDMixin, BaseUserManager):
        reset_password_token_secret = SECRET
        verification_token_secret = SECRET

        async def on_after_forgot_password(self, user, token, request=None):
            mails["reset"] = token

        async def on_after_request_verify(self, user, token, request=None):
            mails["verify"] = token

    backend = AuthenticationBackend("jwt", BearerTransport("auth/jwt/login"), lambda: strategy)
    users = FastAPIUsers(lambda: Manager(accounts), [backend])
    User = schemas.BaseUser[uuid.UUID]
    app = FastAPI()
    app.include_router(users.get_auth_router(backend), prefix="/auth/jwt")
    app.include_router(users.get_register_router(User, schemas.BaseUserCreate), prefix="/auth")
    app.include_router(users.get_reset_password_router(), prefix="/auth")
    app.include_router(users.get_verify_router(User), prefix="/auth")

    @app.get("/me")
    async def me(user=Depends(users.current_user())):
        return {"id": str(user.id)}

    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="error"))
    threading.Thread(target=server.run, daemon=True).start()
    while not server.started:
        time.sleep(0.01)
    origin = "http://127.0.0.1:%d" % server.servers[0].sockets[0].getsockname()[1]

    def own(token):
        """What FastAPI itself says to a token."""
        return requests.get(f"{origin}/me", headers={"Authorization": f"Bearer {token}"})

    people = []
    for who in "alice@example.com", "bob@example.com":
        user = requests.post(f"{origin}/auth/register", json={"email": who, "password": PASSWORD}).json()["id"]
        login = requests.post(f"{origin}/auth/jwt/login", data={"username": who, "password": PASSWORD})
        token = login.json()["access_token"]
        assert own(token).json() == {"id": user}
        people.append({"id": user, "token": token})
    requests.post(f"{origin}/auth/forgot-password", json={"email": who})
    requests.post(f"{origin}/auth/request-verify-token", json={"email": who})
    assert own(mails["reset"]).status_code == own(mails["verify"]).status_code == 401
    # Signed with the secret; where the strategy has a key, that is another one.
    code = "token-audience" if strategy.algorithm == "HS256" else "token-algorithm"
    refused = [
        {"what": "the token that resets a password", "token": mails["reset"], "code": code},
        {"what": "the token that verifies an address", "token": mails["verify"], "code": code},
    ]
    if strategy.algorithm == "HS256":
        endless = asyncio.run(JWTStrategy(SECRET, lifetime_seconds=None).write_token(SimpleNamespace(id=user)))
        refused.append({"what": "a token that never ends", "token": endless, "code": "token-claims"})
    server.should_exit = True
    return {"name": name, "section": "fastapi-users", "people": people, "refused": refused, **case}


if __name__ == "__main__":
    atexit.register(shutil.rmtree, FOLDER)
    private, public = rsa_pems()
    with open(f"{FOLDER}/public.pem", "w") as file:
        file.write(public)
    with_secret = JWTStrategy(SECRET, lifetime_seconds=3600)
    with_key = JWTStrategy(private, lifetime_seconds=3600, algorithm="RS256", public_key=public)
    report(
        ["fastapi-users"],
        [
            issue("HS256", with_secret, {"words": {"SECRET": SECRET}}),
            issue("RS256", with_key, {"block": 2, "words": {"/etc/tasks-server/public.pem": f"{FOLDER}/public.pem"}}),
        ],
    )
