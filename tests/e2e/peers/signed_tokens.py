"""Keys for JWTs, and servers that look at what is signed with them as GitHub and Google do, by PyJWT. Their clocks can be moved."""

import datetime
import json
import re
import time

import flask
import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from . import evidence
from .serving import Serving, age

KINDS = {
    "RS256": lambda: rsa.generate_private_key(public_exponent=65537, key_size=2048),
    "ES256": lambda: ec.generate_private_key(ec.SECP256R1()),
    "EdDSA": ed25519.Ed25519PrivateKey.generate,
}
# The names that openssl and cloud consoles give the same key.
FORMATS = {"PKCS#8": serialization.PrivateFormat.PKCS8, "traditional": serialization.PrivateFormat.TraditionalOpenSSL}


class Pair:
    """A key for `alg`: `secret` is what goes into the vault, `public` what verifies."""

    def __init__(self, alg, form="PKCS#8"):
        self.alg = alg
        if alg == "HS256":
            self.secret = self.public = evidence.secret("hmac-key-of-more-than-32-bytes")
            return
        self.private = KINDS[alg]()
        self.secret = self.private.private_bytes(serialization.Encoding.PEM, FORMATS[form], serialization.NoEncryption()).decode()
        self.public = self.private.public_key()

    def lines(self):
        """What must be seen nowhere: the key's lines, without its marks."""
        return [self.secret] if self.alg == "HS256" else [line for line in self.secret.split("\n") if len(line) > 30 and line[0] != "-"]


class Refused(Exception):
    pass


def verified(text, key, alg, now, most, required=("iat", "exp")):
    """The claims of a JWT that is good at `now` and lives at most `most` seconds from then; without leeway."""
    try:
        claims = jwt.decode(text, key, algorithms=[alg], options={
            "require": list(required), "verify_exp": False, "verify_iat": False, "verify_aud": False})
    except jwt.PyJWTError as why:
        raise Refused(f"{type(why).__name__}: {why}") from None
    if not all(type(claims[name]) is int for name in ("iat", "exp")):
        raise Refused("'iat' and 'exp' must be integers")
    if claims["iat"] > now:
        raise Refused("'Issued at' claim ('iat') must be an Integer representing the time that the assertion was issued")
    if claims["exp"] <= now:
        raise Refused("'Expiration time' claim ('exp') must be a numeric value representing the future time")
    if claims["exp"] > now + most:
        raise Refused("'Expiration time' claim ('exp') is too far in the future")
    return claims


def bearer():
    return flask.request.headers.get("Authorization", "").removeprefix("Bearer ")


class Verifying(Serving):
    """Answers 200 where the request's Bearer is a JWT that `pair` verifies; else 401. Claims are in `claims`, refusals in `refused`."""

    def __init__(self, pair, most=86400, **where):
        app = flask.Flask("verifying")
        self.claims, self.refused, self.headers = [], [], []

        @app.route("/<path:path>", methods=["GET", "POST"])
        def api(path):
            try:
                claims = verified(bearer(), pair.public, pair.alg, time.time() - age(), most)
            except Refused as why:
                self.refused.append(str(why))
                return {"error": "invalid_token"}, 401, {"WWW-Authenticate": 'Bearer error="invalid_token"'}
            self.claims.append(claims)
            self.headers.append(jwt.get_unverified_header(bearer()))
            return "ok"

        super().__init__(app, **where)


class GitHub(Serving):
    """api.github.com as a GitHub App meets it, `clock` seconds ahead of ours. Below `prefix`, as GitHub Enterprise has it."""

    def __init__(self, app_id, public, installation, clock=0, life=3600, prefix="", **where):
        app = flask.Flask("github")
        self.app_id, self.public, self.clock, self.life = str(app_id), public, clock, life
        self.given, self.used, self.refused = {}, set(), []

        @app.before_request
        def known_agent():
            if not flask.request.headers.get("User-Agent"):
                return self.refuse(403, "Request forbidden by administrative rules. Please make sure your request has a User-Agent header")
            return None

        @app.post(f"{prefix}/app/installations/<int:number>/access_tokens")
        def access_tokens(number):
            if not self.is_app():
                return self.refuse(401, self.why)
            if number != installation:
                return self.refuse(404, "Not Found")
            token, until = evidence.secret("ghs_"), int(time.time() + self.clock + self.life)
            self.given[token] = until
            expires = datetime.datetime.fromtimestamp(until, datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
            return {"token": token, "expires_at": expires, "permissions": {}, "repository_selection": "all"}, 201

        @app.get(f"{prefix}/app")
        def about():
            return {"id": self.app_id} if self.is_app() else self.refuse(401, self.why)

        @app.route(f"{prefix}/repos/<path:path>", methods=["GET", "POST"])
        def repos(path):
            until = self.given.get(bearer(), 0)
            self.used.add(bearer())
            return {"path": path} if until > time.time() - age() + self.clock else self.refuse(401, "Bad credentials")

        super().__init__(app, **where)

    def refuse(self, status, why):
        self.refused.append(why)
        return {"message": why, "documentation_url": "https://docs.github.com/rest"}, status

    def is_app(self):
        """Does the request show a JWT of the App? GitHub takes one that ends at most ten minutes from now, by its clock."""
        try:
            claims = verified(bearer(), self.public, "RS256", time.time() + self.clock, 600, ("iat", "exp", "iss"))
        except Refused as why:
            self.why = str(why)
            return False
        self.why = f"no such App: {claims['iss']}"
        return str(claims["iss"]) == self.app_id


class Google(Serving):
    """oauth2.googleapis.com as a service account meets it, and its API at any other path; `clock` seconds ahead of ours."""

    TOKEN_URI = "https://oauth2.googleapis.com/token"

    def __init__(self, pair, scopes, clock=0, life=3599, **where):
        app = flask.Flask("google")
        self.pair, self.scopes, self.clock, self.life = pair, set(scopes.split()), clock, life
        self.given, self.refused = {}, []

        @app.post("/token")
        def token():
            try:
                self.look_at(flask.request.form)
            except Refused as why:
                self.refused.append(str(why))
                return {"error": "invalid_grant", "error_description": str(why)}, 400
            value = evidence.secret("ya29.")
            self.given[value] = time.monotonic() + self.life
            return {"access_token": value, "expires_in": self.life, "token_type": "Bearer"}

        @app.route("/<path:path>", methods=["GET", "POST"])
        def api(path):
            good = self.given.get(bearer(), 0) > time.monotonic() - age()
            return ("ok", 200) if good else ({"error": {"code": 401, "status": "UNAUTHENTICATED"}}, 401)

        super().__init__(app, **where)

    def account(self, **more):
        """The JSON file of a service account, as the console gives it."""
        return json.dumps({
            "type": "service_account", "project_id": "test", "private_key_id": "kid-1", "private_key": self.pair.secret,
            "client_email": "me@test.iam.gserviceaccount.com", "client_id": "1", "auth_uri": "https://accounts.google.com/o/oauth2/auth",
            "token_uri": self.TOKEN_URI, "universe_domain": "googleapis.com", **more}, indent=2)

    def look_at(self, form):
        if form.get("grant_type") != "urn:ietf:params:oauth:grant-type:jwt-bearer":
            raise Refused(f"Unsupported grant_type: {form.get('grant_type')}")
        text, now = form.get("assertion", ""), time.time() + self.clock
        if not re.fullmatch(r"[\w-]+\.[\w-]+\.[\w-]+", text) or jwt.get_unverified_header(text).get("kid") != "kid-1":
            raise Refused("Invalid JWT: no such kid")
        claims = verified(text, self.pair.public, "RS256", now, 3600, ("iat", "exp", "iss", "aud", "scope"))
        if claims["exp"] - claims["iat"] > 3600:
            raise Refused("Invalid JWT: Token must be a short-lived token (60 minutes)")
        if claims["iss"] != "me@test.iam.gserviceaccount.com" or claims["aud"] != self.TOKEN_URI:
            raise Refused(f"Invalid JWT: {claims['iss']}, {claims['aud']}")
        if set(claims["scope"].split()) != self.scopes:
            raise Refused(f"Invalid OAuth scope: {claims['scope']}")
