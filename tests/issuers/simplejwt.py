"""Django REST framework with SimpleJWT, as its documentation sets it up: with one secret, and with an RSA key."""

import atexit
import multiprocessing
import shutil
import tempfile

import requests
from report import Place, claims, report, rsa_pems

FOLDER = tempfile.mkdtemp()
PASSWORD = "correct horse battery staple"

# As `startproject` makes them, with what a shell or a file of settings could stumble over.
SECRET = "django-insecure-%s" % "$a#k(9)&=^-_z@q!5*0w+7m" * 2
# 64 bytes, as RFC 7518 (section 3.2) asks for with HS512.
LONG_SECRET = "0123456789abcdef" * 4


def urls():
    from django.http import JsonResponse
    from django.urls import path
    from rest_framework.views import APIView
    from rest_framework_simplejwt.tokens import SlidingToken
    from rest_framework_simplejwt.views import TokenObtainPairView, TokenObtainSlidingView

    class Me(APIView):
        def get(self, request):
            return JsonResponse({"id": str(request.user.pk)})

    return [
        path("api/token/", TokenObtainPairView.as_view()),
        path("api/sliding/", TokenObtainSlidingView.as_view()),
        path("api/me/", Me.as_view()),
    ]


def issue(name, simple_jwt, case):
    """A Django of its own with these settings of SimpleJWT, as they are read once in a process; its people's tokens."""
    import django
    from django.conf import settings
    from django.core.management import call_command
    from django.core.wsgi import get_wsgi_application

    settings.configure(
        SECRET_KEY=SECRET,
        ALLOWED_HOSTS=["127.0.0.1"],
        USE_TZ=True,
        INSTALLED_APPS=["django.contrib.auth", "django.contrib.contenttypes", "rest_framework"],
        DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": f"{FOLDER}/{name}.sqlite3"}},
        # The default one takes half a second a password.
        PASSWORD_HASHERS=["django.contrib.auth.hashers.MD5PasswordHasher"],
        ROOT_URLCONF=type("Urls", (), {"urlpatterns": []}),
        REST_FRAMEWORK={
            "DEFAULT_AUTHENTICATION_CLASSES": ["rest_framework_simplejwt.authentication.JWTAuthentication"],
            "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated"],
        },
        SIMPLE_JWT={
            "AUTH_TOKEN_CLASSES": (
                "rest_framework_simplejwt.tokens.AccessToken",
                "rest_framework_simplejwt.tokens.SlidingToken",
            ),
            **simple_jwt,
        },
    )
    django.setup()
    settings.ROOT_URLCONF.urlpatterns = urls()
    call_command("migrate", verbosity=0)
    from django.contrib.auth.models import User

    place = Place()
    place.serve(get_wsgi_application())
    people, also, refused = [], [], []
    for who in "alice", "bob":
        User.objects.create_user(who, password=PASSWORD)
        account = {"username": who, "password": PASSWORD}
        pair = requests.post(f"{place.origin}/api/token/", json=account).json()
        sliding = requests.post(f"{place.origin}/api/sliding/", json=account).json()["token"]

        def own(token):
            """What Django itself says to a token."""
            return requests.get(f"{place.origin}/api/me/", headers={"Authorization": f"Bearer {token}"})

        user = own(pair["access"]).json()["id"]
        assert own(pair["refresh"]).status_code == 401
        people.append({"id": user, "token": pair["access"]})
        also.append({"what": "a sliding token", "id": user, "token": sliding})
        refused.append({"what": "the refresh token", "token": pair["refresh"], "code": "token-type"})
    return {"name": name, "section": "SimpleJWT", "people": people, "also": also[:1], "refused": refused[:1], **case}


if __name__ == "__main__":
    atexit.register(shutil.rmtree, FOLDER)
    private, public = rsa_pems()
    with open(f"{FOLDER}/public.pem", "w") as file:
        file.write(public)
    rs256 = {"ALGORITHM": "RS256", "SIGNING_KEY": private, "VERIFYING_KEY": public, "ISSUER": "https://app.example.com", "AUDIENCE": "tasks"}
    variants = [
        ("HS256 and nothing set", {}, {"words": {"SIGNING_KEY": SECRET}}),
        ("HS512", {"ALGORITHM": "HS512", "SIGNING_KEY": LONG_SECRET}, {"words": {"SIGNING_KEY": LONG_SECRET}}),
        ("HS384", {"ALGORITHM": "HS384", "SIGNING_KEY": LONG_SECRET}, {"words": {"SIGNING_KEY": LONG_SECRET}}),
        ("RS256", rs256, {"block": 2, "words": {"/etc/tasks-server/public.pem": f"{FOLDER}/public.pem"}}),
    ]
    with multiprocessing.get_context("spawn").Pool(1, maxtasksperchild=1) as pool:
        cases = pool.starmap(issue, variants, chunksize=1)
    report(["djangorestframework-simplejwt"], cases)
