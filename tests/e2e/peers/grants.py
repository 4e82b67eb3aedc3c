"""What an OAuth2 authorization server knows: its clients, the tokens that it gave, and the grants by which it gives them (Authlib).

Refresh tokens rotate strictly (RFC 9700 4.14.2): each is good once. One that comes again ends its whole chain, every access
token of it too, so that a client that loses the newest, or asks twice at a time, is found out."""

import base64
import binascii
import hmac
import threading
import time
import urllib.parse

from authlib.oauth2.rfc6749 import ClientMixin, TokenMixin, grants
from authlib.oauth2.rfc7523 import JWTBearerGrant

from . import evidence
from .serving import age

METHODS = ["client_secret_basic", "client_secret_post", "none"]
JWT_BEARER = JWTBearerGrant.GRANT_TYPE


class Known(ClientMixin):
    """A client. `auth` is the one method by which it may show itself, `public_key` (of joserfc) what its assertions are signed with."""

    def __init__(self, id, key=None, auth="client_secret_basic", scope="read write", public_key=None):
        self.client_id, self.key, self.auth, self.scope, self.public_key = id, key, auth, scope, public_key

    def get_client_id(self):
        return self.client_id

    def get_allowed_scope(self, scope):
        return " ".join(one for one in (scope or self.scope).split() if one in self.scope.split())

    def check_client_secret(self, key):
        return self.key is not None and hmac.compare_digest(self.key.encode(), key.encode())

    def check_endpoint_auth_method(self, method, endpoint):
        return method == self.auth

    def check_grant_type(self, kind):
        return True


class Chain:
    """A refresh token and all that came of it."""

    def __init__(self):
        self.tokens, self.lost = [], False


class Token(TokenMixin):
    """An access token, and the refresh token that came with it, if one did."""

    def __init__(self, client, access, refresh, scope, life, chain):
        self.client, self.access, self.refresh, self.scope, self.life, self.chain = client, access, refresh, scope, life, chain
        self.issued = time.monotonic()
        self.revoked = False
        self.used = False       # the access token was seen
        self.exchanged = False  # the refresh token was
        chain.tokens.append(self)

    def check_client(self, client):
        return self.client is client

    def get_scope(self):
        return self.scope

    def get_expires_in(self):
        return self.life

    def is_expired(self):
        return time.monotonic() - age() >= self.issued + self.life

    def is_revoked(self):
        return self.revoked or self.chain.lost

    def get_user(self):
        return "somebody"

    def get_client(self):
        return self.client


class Store:
    """Clients and tokens. `life` is how long the next access token lives. With `grace`, an exchanged refresh token is taken
    again as long as nothing that it was exchanged for was ever used: its answer may have been lost on the way. Unless it `rotates`
    them, a refresh token is good for ever."""

    def __init__(self, life=3600, grace=False, rotates=True):
        self.lock = threading.RLock()
        self.clients, self.access, self.refresh = {}, {}, {}
        self.life, self.grace, self.rotates = life, grace, rotates

    def add(self, client):
        self.clients[client.client_id] = client
        return client

    def find(self, value):
        """The token with this access token; it is used from now on."""
        with self.lock:
            token = self.access.get(value)
            if token:
                token.used = True
            return token

    def grant(self, client, scope="read write"):
        """A new refresh token, as if its user had just consented."""
        token = Token(client, evidence.secret("at"), evidence.secret("rt"), scope, 0, Chain())
        with self.lock:
            self.refresh[token.refresh] = token
        return token.refresh

    def save(self, answer, request):
        old = getattr(request, "refresh_token", None)
        with self.lock:
            token = Token(request.client, answer["access_token"], answer.get("refresh_token"), answer.get("scope", ""),
                          self.life, old.chain if old else Chain())
            self.access[token.access] = token
            if token.refresh:
                self.refresh[token.refresh] = token

    def exchange(self, value):
        """The token whose refresh token this is, which is good for that no more."""
        with self.lock:
            token = self.refresh.get(value)
            if token is None or token.chain.lost or not self.rotates:
                return token if token and not token.chain.lost else None
            if token.exchanged and not self.forgive(token):
                token.chain.lost = True
                return None
            token.exchanged = True
            return token

    def forgive(self, token):
        """Those that it was exchanged for are void then."""
        later = token.chain.tokens[token.chain.tokens.index(token) + 1 :]
        if not self.grace or any(one.used or one.exchanged for one in later):
            return False
        for one in later:
            one.revoked = one.exchanged = True  # that refresh token, if it comes, comes from a thief
        return True

    def revoke(self, access=None):
        """That access token, or all there are."""
        with self.lock:
            for value, token in self.access.items():
                token.revoked = token.revoked or access in (None, value)


def basic(query_client, request):
    """Basic as RFC 6749 2.3.1 has it: id and key are form-encoded first. Authlib's own undoes %XX but leaves `+`, which is a blank
    in a form (and an encoder that leaves `+` as it is would pass unseen); so both are undone here, and what is not such a form
    is refused."""
    scheme, _, value = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        id, colon, key = base64.b64decode(value, validate=True).decode("ascii").partition(":")
        id, key = (urllib.parse.unquote_plus(part, errors="strict") for part in (id, key))
    except (binascii.Error, UnicodeDecodeError):
        return None
    client = query_client(id)
    return client if colon and client and client.check_client_secret(key) else None


def two_methods(request):
    """RFC 6749 2.3: a client shows itself in one way in each request."""
    return "Authorization" in request.headers and "client_secret" in request.form


class ClientCredentials(grants.ClientCredentialsGrant):
    TOKEN_ENDPOINT_AUTH_METHODS = METHODS


class Refresh(grants.RefreshTokenGrant):
    TOKEN_ENDPOINT_AUTH_METHODS = METHODS
    INCLUDE_NEW_REFRESH_TOKEN = property(lambda self: self.server.store.rotates)

    def authenticate_refresh_token(self, value):
        return self.server.store.exchange(value)

    def authenticate_user(self, token):
        return token.get_user()

    def revoke_old_credential(self, token):
        """Done in exchange(), before there is a new one."""


class JwtBearer(JWTBearerGrant):
    LEEWAY = 0

    def resolve_issuer_client(self, issuer):
        return self.server.store.clients.get(issuer)

    def resolve_client_public_key(self, client):
        return client.public_key

    def authenticate_user(self, subject):
        return subject

    def get_audiences(self):
        return [self.request.uri]

    def has_granted_permission(self, client, user):
        return True
