"""Configurations that several tests use."""

BEARER = '{ header: Authorization, value: "Bearer {secret}" }'


def one_api(upstream, inject=BEARER, hosts="[]", **more):
    """One credential `api` with the secret vault:api, in one profile `agent`."""
    lines = "".join(f"    {key}: {value}\n" for key, value in more.items())
    return (
        "credentials:\n  api:\n"
        f"    upstream: {upstream}\n    secret: vault:api\n    inject: {inject}\n"
        "    env: { base_url: API_URL, token: API_TOKEN }\n"
        f"{lines}profiles:\n  agent:\n    hosts: {hosts}\n    credentials: [api]\n"
    )


def get(target, token, *fields, host="127.0.0.1", method="GET"):
    """A request head with the token as Bearer."""
    lines = [f"{method} {target} HTTP/1.1", f"Host: {host}", *fields]
    if token:
        lines.append(f"Authorization: Bearer {token}")
    return "\r\n".join(lines) + "\r\n\r\n"


def basic(user, password):
    import base64

    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


def problem(response, status):
    """Checks that it is Keystile's own error and returns its members."""
    import json

    assert response.status == status, response
    assert response.get("Content-Type") == "application/problem+json", response
    assert "keystile" in response.get("Proxy-Status", "").lower() or response.get("Proxy-Status"), response
    told = json.loads(response.body)
    assert told["status"] == status and told["title"] and told["detail"], told
    return told
