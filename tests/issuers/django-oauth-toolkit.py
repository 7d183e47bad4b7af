"""Django OAuth Toolkit as an OpenID Connect provider: people sign in by the authorization code flow with PKCE."""

import atexit
import base64
import hashlib
import secrets
import shutil
import tempfile
from urllib.parse import parse_qs, urlsplit

import django
import requests
from django.conf import settings
from report import Place, report, rsa_pems

FOLDER = tempfile.mkdtemp()
PASSWORD = "correct horse battery staple"
CALLBACK = "http://127.0.0.1/callback"
SECRET = "0123456789abcdef" * 4


def configure(place):
    private, _ = rsa_pems()
    settings.configure(
        SECRET_KEY=SECRET[::-1],
        ALLOWED_HOSTS=["127.0.0.1"],
        USE_TZ=True,
        DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
        INSTALLED_APPS=[
            "django.contrib.auth",
            "django.contrib.contenttypes",
            "django.contrib.sessions",
            "oauth2_provider",
        ],
        MIDDLEWARE=[
            "django.contrib.sessions.middleware.SessionMiddleware",
            "django.contrib.auth.middleware.AuthenticationMiddleware",
        ],
        DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": f"{FOLDER}/db.sqlite3"}},
        # The default one takes half a second a password.
        PASSWORD_HASHERS=["django.contrib.auth.hashers.MD5PasswordHasher"],
        ROOT_URLCONF=type("Urls", (), {"urlpatterns": []}),
        OAUTH2_PROVIDER={
            "OIDC_ENABLED": True,
            "OIDC_RSA_PRIVATE_KEY": private,
            "SCOPES": {"openid": "who you are"},
        },
    )
    django.setup()
    from django.contrib.auth import authenticate, login
    from django.core.management import call_command
    from django.core.wsgi import get_wsgi_application
    from django.http import HttpResponse
    from django.urls import include, path

    def sign_in(request):
        login(request, authenticate(request, username=request.POST["username"], password=PASSWORD))
        return HttpResponse()

    settings.ROOT_URLCONF.urlpatterns = [
        path("o/", include("oauth2_provider.urls", namespace="oauth2_provider")),
        path("login", sign_in),
    ]
    call_command("migrate", verbosity=0)
    place.serve(get_wsgi_application())


def sign_in(place, who, client):
    """The token answer for one person."""
    browser = requests.Session()
    browser.post(f"{place.origin}/login", data={"username": who}).raise_for_status()
    verifier = secrets.token_urlsafe(48)
    challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
    query = {
        "response_type": "code",
        "client_id": client.client_id,
        "redirect_uri": CALLBACK,
        "scope": "openid",
        "code_challenge": challenge,
        "code_challenge_method": "S256",
    }
    answer = browser.get(f"{place.origin}/o/authorize/", params=query, allow_redirects=False)
    [code] = parse_qs(urlsplit(answer.headers["Location"]).query)["code"]
    form = {
        "grant_type": "authorization_code",
        "code": code,
        "redirect_uri": CALLBACK,
        "code_verifier": verifier,
        "client_id": client.client_id,
        "client_secret": SECRET,
    }
    tokens = requests.post(f"{place.origin}/o/token/", data=form)
    tokens.raise_for_status()
    return tokens.json()


def issue(place, algorithm, block, words):
    from django.contrib.auth.models import User
    from oauth2_provider.models import Application

    client = Application.objects.create(
        name=algorithm,
        client_type="confidential",
        client_secret=SECRET,
        hash_client_secret=False,
        authorization_grant_type="authorization-code",
        redirect_uris=CALLBACK,
        algorithm=algorithm,
        skip_authorization=True,
    )
    people = []
    for who in "alice", "bob":
        user, _ = User.objects.get_or_create(username=who)
        user.set_password(PASSWORD)
        user.save()
        tokens = sign_in(place, who, client)
        people.append({"id": str(user.pk), "token": tokens["id_token"]})
    refused = [
        {"what": "the access token", "token": tokens["access_token"], "code": "token-opaque"},
        {"what": "the refresh token", "token": tokens["refresh_token"], "code": "token-opaque"},
    ]
    return {
        "name": algorithm,
        "section": "django-oauth-toolkit",
        "block": block,
        "words": {"CLIENT_ID": client.client_id, **words},
        "origin": place.origin,
        "people": people,
        "refused": refused,
    }


if __name__ == "__main__":
    atexit.register(shutil.rmtree, FOLDER)
    place = Place()
    configure(place)
    report(
        ["django-oauth-toolkit"],
        [issue(place, "RS256", 1, {}), issue(place, "HS256", 2, {"CLIENT_SECRET": SECRET})],
    )
