"""What the issuers in Python share: a place on loopback, keys, and the report that run.mjs reads."""

import base64
import json
import sys
import threading
from importlib.metadata import version
from socketserver import ThreadingMixIn
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa


class Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True


class Quiet(WSGIRequestHandler):
    def log_message(self, *_):
        pass


class Place:
    """A free port of loopback, known before the application that will answer there."""

    def __init__(self):
        self.server = Server(("127.0.0.1", 0), Quiet)
        self.origin = f"http://127.0.0.1:{self.server.server_port}"

    def serve(self, application):
        self.server.set_app(application)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


def rsa_pems():
    """A new RSA key: the private and the public half as PEM."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    public = key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return private.decode(), public.decode()


def claims(token):
    payload = token.split(".")[1]
    return json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))


def report(packages, cases):
    """Prints the report, and waits until the input ends."""
    found = {"versions": {name: version(name) for name in packages}, "cases": cases}
    print(f"report: {json.dumps(found)}", flush=True)
    sys.stdin.read()
