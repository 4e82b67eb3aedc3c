"""A real OAuth2 authorization server (Authlib's, on Flask), and an API that looks at its tokens, each at a port of its own."""

import os

import flask
from authlib.integrations.flask_oauth2 import AuthorizationServer, ResourceProtector
from authlib.oauth2.rfc6750 import BearerTokenValidator

from . import evidence, grants
from .serving import Serving

os.environ["AUTHLIB_INSECURE_TRANSPORT"] = "1"  # it refuses http:, on loopback too

def access_token(**_):
    return evidence.secret("at")


def refresh_token(**_):
    return evidence.secret("rt")


class TokenServer(Serving):
    """POST /token. What it gave and whom it knows is in `store` (peers.grants), what it was asked in `requests`."""

    def __init__(self, life=3600, grace=False, rotates=True, **where):
        app = flask.Flask("token_server")
        self.store = grants.Store(life, grace, rotates)
        server = AuthorizationServer(app, self.store.clients.get, self.store.save)
        server.store = self.store
        server.register_token_generator("default", self.generator(server))
        server.register_client_auth_method("client_secret_basic", grants.basic)
        for grant in (grants.ClientCredentials, grants.Refresh, grants.JwtBearer):
            server.register_grant(grant)

        @app.post("/token")
        def token():
            if grants.two_methods(flask.request):
                return {"error": "invalid_request", "error_description": "two ways of authentication at a time"}, 400
            return server.create_token_response()

        super().__init__(app, **where)

    def generator(self, server):
        generate = server.create_bearer_token_generator({
            "OAUTH2_ACCESS_TOKEN_GENERATOR": access_token, "OAUTH2_REFRESH_TOKEN_GENERATOR": refresh_token})
        generate.expires_generator = lambda client, kind: self.store.life
        return generate

    @property
    def token_url(self):
        return self.url + "/token"


class Validator(BearerTokenValidator):
    def __init__(self, find):
        super().__init__()
        self.authenticate_token = find


class Api(Serving):
    """Answers every request that shows a token that `find(VALUE)` knows and that is good, else 401 as RFC 6750 3.1 has it. What
    came is in `requests`. The answer is the request's body, or what `answer(ASKED)` gives."""

    def __init__(self, find, **where):
        app = flask.Flask("api")
        self.answer = None
        protect = ResourceProtector()
        protect.register_token_validator(Validator(find))
        methods = ["GET", "POST", "PUT", "DELETE"]

        @app.route("/", defaults={"path": ""}, methods=methods)
        @app.route("/<path:path>", methods=methods)
        @protect()
        def api(path):
            return self.answer(flask.g.asked) if self.answer else flask.g.asked.body or b"ok"

        super().__init__(app, **where)

    @property
    def tokens(self):
        """The bearer token of each request, in order."""
        return [(asked.get("Authorization") or "").removeprefix("Bearer ") for asked in self.requests]
