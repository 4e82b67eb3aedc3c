"""Pieces of keystile.yaml, one a line, by where they go: what is good, what is not, and what no schema can know."""

GOOD = {
    "top": """
{ listen: "127.0.0.1:8180" }
{ listen: "[::1]:8180" }
{ listen: unix:/run/keystile/proxy.sock }
{ listen: ["127.0.0.1:8180", "unix:proxy.sock", { transparent: "0.0.0.0:18000", profile: agent }] }
{ listen: "0.0.0.0:8180", advertise: "keystile:8180" }
{ advertise: "[fd00::1]:8180" }
{ admin: "127.0.0.1:8181" }
{ admin: "unix:admin.sock" }
{ admin: { listen: "127.0.0.1:8181", hosts: [keystile.pod] } }
{ workers: auto }
{ workers: 4 }
{ vault: { file: secrets.vault, key: passphrase } }
{ vault: { file: secrets.vault, key: "passphrase:file:pass" } }
{ vault: { file: secrets.vault, key: "systemd:vault.key" } }
{ session: { key: "file:session.key" } }
{ session: none }
{ session: none, listen: ["unix:proxy.sock", "[::1]:8180"] }
{ credentials: {}, profiles: {} }
{ credentials: null, profiles: null }
{ tls: { ca_cert: ca.pem, ca_key: ca.key, ca_out: out.pem, bundle_out: bundle.pem, advertise_ca: /etc/keystile } }
{ tls: {} }
{ parent: { proxy: "http://proxy.corp:3128", auth: "env:PROXY_AUTH", except: ["*.corp", 10.0.0.0/8] } }
{ parent: { proxy: "socks5h://proxy.corp:1080" } }
{ audit: { file: stdout } }
{ audit: { file: audit.jsonl, required: true } }
{ state: /var/lib/keystile }
""",
    "credential": """
{ secret: "file:/vault/secrets/github" }
{ secret: "env:API_KEY" }
{ secret: "systemd:api" }
{ secret: "exec:pass show 'an api'", ttl: 300s }
{ secret: null, secrets: { secret: "vault:a" } }
{ secret: null, secrets: { id: "vault:a", key: "exec:get key" }, inject: { header: X, value: "{id}:{key}" }, ttl: 1h }
{ upstream: "HTTPS://api.test:8443/v1/" }
{ upstream: "http://127.0.0.1:8080" }
{ upstream: "https://*.api.test" }
{ preset: openai, upstream: null, inject: null }
{ preset: github, upstream: "https://github.corp/api/v3" }
{ rules: ["deny * /v1/fine_tuning/**", "allow GET,POST /v1/**", "allow PROPFIND *"] }
{ rules: [] }
{ pass: [Authorization, X-Trace] }
{ rotation: overlap }
{ rotation: strict }
{ ca: ca.pem }
{ client: { cert: client.pem, key: "file:client.key" } }
{ client: { cert: client.pem, key: "vault:client" } }
{ client: { cert: client.pem, key: "exec:get key" }, ttl: 1h }
{ inject: { jwt: { google: drive } }, ttl: 5m }
{ inject: { jwt: { alg: ES256 } }, ttl: 5m }
{ inject: { jwt: { github_app: 1 } }, ttl: 5m }
{ intercept: true }
{ http2: on }
{ http2: off }
{ rate: 600/m }
{ scrub: off }
{ scrub: on }
{ encoded_slash: true }
{ response_idle: 30m, body: 10MiB }
{ body: none }
{ body: 1048576 }
""",
    "inject": """
{ header: Authorization, value: "Bearer {secret}" }
[{ header: X-Key, value: "{secret}" }, { header: X-Version, value: "2" }]
{ basic: x-access-token }
{ basic: "" }
{ query: key }
{ path: "/bot{secret}" }
{ path: ["/bot{secret}", "/file/bot{secret}"] }
{ cookie: session }
{ jwt: { github_app: 12345, installation: 67 } }
{ jwt: { google: "https://www.googleapis.com/auth/drive" } }
{ jwt: { alg: RS256, claims: { iss: me, level: 3 }, token_url: "https://auth.test/token" } }
{ jwt: { alg: RS256, token_url: "https://auth.test/t/?p=B2C_1&x=/?" } }
{ jwt: { alg: ES256 } }
{ jwt: { alg: EdDSA } }
{ jwt: { alg: HS256 } }
""",
    "env": """
{ base_url: API_URL, path: /v1, token: API_KEY, token_prefix: sk- }
{ base_url: [API_URL, API_BASE], token: [A, B] }
{ token: A, token_prefix: "123:" }
{ set: { ALL: "{base_url} {token}@{address}", JSON: '{"a": 1}', NUMBER: 1, YES: true } }
{ git: ["https://github.com/", "git@github.com:"] }
{ git: "https://github.com/" }
{}
""",
    "limits": """
{ head: 24KiB, fields: 100, head_time: 10s, connections: 4096, profile_connections: 1024, idle: 60s, body_idle: 300s }
{ response_idle: 600s, connect: 10s, handshake: 10s, tunnel_idle: 3600s, streams: 100, body: none, signed_body: 4MiB }
{ head: 65536 }
{ fields: "100" }
{ body: 5GB }
{ idle: 1d }
{ streams: 1000 }
""",
    "profile": """
{ hosts: [] }
{ hosts: [pypi.org, "*.pythonhosted.org", "nats.internal:4222"] }
{ hosts: [10.0.0.0/8, "10.0.0.0/8:9000", 192.0.2.1, "192.0.2.1:80"] }
{ hosts: ["2001:db8::1", "[2001:db8::1]:443", "2001:db8::/32", "[2001:db8::]/32:443", "!evil.test", "!*.evil.test"] }
{ hosts: ["b\\u00fccher.example", "localhost.", "_dmarc.test"] }
{ credentials: [] }
{ credentials: null }
{ extends: [] }
{ token_version: 7 }
{ direct: false }
{ rate: 5000/h }
""",
    "host": """
{ host: "*.example.com", intercept: true, rules: ["allow GET /docs/**"] }
{ host: example.com, intercept: true, http2: tunnel }
{ host: example.com, intercept: true, http2: tunnel, rules: [] }
{ host: example.com, http2: off, encoded_slash: true }
{ host: example.com, http2: on }
{ host: "!example.com" }
""",
}

BAD = {
    "top": """
{ version: null }
{ version: 2 }
{ version: "1" }
{ versions: 1 }
{ listen: "127.0.0.1" }
{ listen: "localhost:8180" }
{ listen: "http://127.0.0.1:8180" }
{ listen: "127.0.0.1:70000" }
{ listen: 8180 }
{ listen: [] }
{ listen: "unix:" }
{ listen: { transparent: "0.0.0.0:18000" } }
{ listen: { profile: agent } }
{ listen: { transparent: "0.0.0.0:18000", profile: agent, hosts: [] } }
{ listen: "0.0.0.0:8180" }
{ advertise: keystile }
{ advertise: "0.0.0.0:8180" }
{ advertise: "http://keystile:8180" }
{ admin: 8181 }
{ admin: { hosts: [] } }
{ admin: { listen: "127.0.0.1:8181", host: a } }
{ admin: { listen: "127.0.0.1:8181", hosts: a } }
{ workers: 0 }
{ workers: 257 }
{ workers: "4" }
{ workers: many }
{ vault: secrets.vault }
{ vault: { file: secrets.vault } }
{ vault: { key: "file:vault.key" } }
{ vault: { file: secrets.vault, key: vault.key } }
{ vault: { file: secrets.vault, key: "env:KEY" } }
{ vault: { file: secrets.vault, key: "file:vault.key", kdf: 1 } }
{ session: off }
{ session: {} }
{ session: { key: passphrase } }
{ session: { key: "passphrase:file:x" } }
{ session: { key: "file:a", none: true } }
{ session: none, listen: "192.0.2.1:8180" }
{ session: none, profiles: {} }
{ session: none, profiles: { a: {}, b: {} } }
{ credentials: [] }
{ credentials: { API: { preset: openai, secret: "vault:a" } } }
{ credentials: { api: openai } }
{ profiles: [] }
{ profiles: { "a b": {} } }
{ profiles: { agent: [] } }
{ limits: [] }
{ tls: { ca_cert: ca.pem } }
{ tls: { ca_key: ca.key } }
{ tls: { ca: ca.pem } }
{ tls: { ca_out: "" } }
{ parent: {} }
{ parent: "http://proxy.corp:3128" }
{ parent: { proxy: "https://proxy.corp:3128" } }
{ parent: { proxy: "socks5://proxy.corp:1080" } }
{ parent: { proxy: "socks5h://proxy.corp" } }
{ parent: { proxy: "proxy.corp:3128" } }
{ parent: { proxy: "http://proxy.corp:3128/path" } }
{ parent: { proxy: "http://proxy.corp:3128", auth: "user:pass" } }
{ parent: { proxy: "http://proxy.corp:3128", except: ["!a"] } }
{ parent: { proxy: "http://proxy.corp:3128", except: a } }
{ parent: { proxy: "http://proxy.corp:3128", port: 1 } }
{ audit: audit.jsonl }
{ audit: { required: true } }
{ audit: { file: stdout, required: yes } }
{ audit: { file: stdout, format: json } }
{ state: "" }
{ state: [] }
""",
    "credential": """
{ secret: null }
{ secret: sk-1234 }
{ secret: "vault:" }
{ secret: "vault:.hidden" }
{ secret: "vault:a b" }
{ secret: "file:" }
{ secret: "file:~/key" }
{ secret: "env:1A" }
{ secret: "systemd:a/b" }
{ secret: "systemd:.." }
{ secret: "exec: " }
{ secret: passphrase }
{ secret: ["vault:a"] }
{ secret: "file:a\\nb" }
{ secrets: { secret: "vault:a" } }
{ secret: null, secrets: {} }
{ secret: null, secrets: { "a-b": "vault:a" } }
{ secret: null, secrets: { secret: nowhere } }
{ upstream: null }
{ inject: null }
{ upstream: api.test }
{ upstream: "ftp://api.test" }
{ upstream: "https://api.test/?a=b" }
{ upstream: "https://api.test#a" }
{ upstream: "https://user@api.test" }
{ upstream: "https://a*.test" }
{ upstream: "https://" }
{ preset: openia }
{ preset: [openai] }
{ rules: "allow * /**" }
{ rules: ["GET /"] }
{ rules: ["permit * /"] }
{ rules: ["allow GET"] }
{ rules: ["allow GET v1/models"] }
{ rules: ["allow GET /a /b"] }
{ rules: ["allow GET /a?b=c"] }
{ rules: [{ allow: "GET /" }] }
{ pass: Authorization }
{ pass: ["a b"] }
{ ttl: 300s }
{ secret: "exec:x", ttl: 300 }
{ secret: "exec:x", ttl: 0s }
{ rotation: off }
{ ca: "" }
{ client: { cert: a } }
{ client: { key: "file:a" } }
{ client: { cert: a, key: b } }
{ client: { cert: a, key: "file:b", ca: c } }
{ intercept: "true" }
{ intercept: yes }
{ intercept: 1 }
{ http2: tunnel }
{ http2: true }
{ rate: 600 }
{ rate: 600/d }
{ rate: 0/s }
{ scrub: none }
{ scrub: false }
{ encoded_slash: on }
{ response_idle: 30 }
{ response_idle: 30min }
{ body: 0 }
{ body: 10M }
{ body: many }
{ upstreams: a }
""",
    "inject": """
[]
{}
Authorization
{ header: Authorization }
{ value: "{secret}" }
{ header: "a b", value: "{secret}" }
{ header: X, value: "" }
{ header: X, value: " {secret}" }
{ header: X, value: "{secret" }
{ header: X, value: "secret}" }
{ header: X, value: "{}" }
{ header: X, value: "\\u00fc {secret}" }
{ header: X, value: ["{secret}"] }
{ header: X, value: "{secret}", basic: user }
{ basic: user, value: "{secret}" }
{ basic: "a:b" }
{ query: "" }
{ query: [a] }
{ path: "/bot" }
{ path: "bot{secret}" }
{ path: "/bot{secret}/" }
{ path: "/a//b{secret}" }
{ path: "/../{secret}" }
{ path: "/{secret}?a" }
{ path: [] }
{ cookie: "a=b" }
{ cookies: a }
{ aws_sigv4: { region: eu-central-1 } }
{ aws_sigv4: { region: eu-central-1, service: s3, key: a } }
{ oauth2: { scope: a } }
{ oauth2: { token_url: "auth.test" } }
{ oauth2: { token_url: "https://auth.test", auth: post } }
{ oauth2: { token_url: "https://auth.test", grant: x } }
{ jwt: {} }
{ jwt: { alg: none } }
{ jwt: { alg: RS256, github_app: 1 } }
{ jwt: { google: a, github_app: 1 } }
{ jwt: { installation: 1 } }
{ jwt: { alg: RS256, installation: 1 } }
{ jwt: { github_app: 1, installation: many } }
{ jwt: { alg: RS256, claims: [] } }
{ jwt: { alg: RS256, claims: { a: [] } } }
{ jwt: { alg: RS256, claims: { iss: me, exp: "1" } } }
{ jwt: { alg: RS256, claims: { jti: a } } }
{ jwt: { alg: RS256, token_url: "https://auth.test/t#x" } }
{ jwt: { alg: RS256, token_url: "https://auth.test/t?a b" } }
{ jwt: { alg: RS256, token_url: "https://u@auth.test/t" } }
{ jwt: { alg: RS256, kid: a } }
""",
    "env": """
{ base_url: "1A" }
{ base_url: [A-B] }
{ base_url: { a: b } }
{ token: HTTPS_PROXY }
{ token: KEYSTILE_X }
{ token: GIT_CONFIG_KEY_0 }
{ path: v1 }
{ path: /a//b }
{ token_prefix: "a b" }
{ token_prefix: "a/b" }
{ set: [] }
{ set: { "A B": a } }
{ set: { A: "{nme}" } }
{ set: { A: [] } }
{ set: { no_proxy: a } }
{ git: github.com }
{ git: [""] }
{ urls: a }
""",
    "limits": """
{ head: many }
{ head: 24K }
{ head: none }
{ fields: 9 }
{ fields: 1001 }
{ fields: 1.5 }
{ connections: 0 }
{ connections: 1000001 }
{ profile_connections: none }
{ streams: 1001 }
{ idle: 60 }
{ idle: none }
{ body: 0 }
{ bodies: 1 }
""",
    "profile": """
{ hosts: pypi.org }
{ hosts: ["https://pypi.org"] }
{ hosts: ["pypi.org/simple"] }
{ hosts: ["a*.test"] }
{ hosts: ["*"] }
{ hosts: ["pypi.org:0"] }
{ hosts: ["pypi.org:http"] }
{ hosts: ["user@pypi.org"] }
{ hosts: [""] }
{ hosts: ["!"] }
{ hosts: [[a]] }
{ credentials: api }
{ credentials: [API] }
{ credentials: [[api]] }
{ extends: [[agent]] }
{ extends: Agent }
{ token_version: 0 }
{ token_version: "2" }
{ token_version: 4294967296 }
{ direct: no }
{ rate: fast }
{ host: [] }
""",
    "host": """
{}
{ rules: [] }
{ host: example.com, methods: [GET] }
{ host: example.com, http2: tunnel }
{ host: example.com, intercept: true, http2: tunnel, rules: ["allow * /**"] }
{ host: "!example.com", intercept: true }
{ host: [example.com] }
{ host: example.com, intercept: "true" }
{ host: example.com, http2: h2 }
""",
}

# What a schema cannot know, with the reason.
BEYOND = [
    ("a name that is not defined", "profile", "{ credentials: [missing] }"),
    ("a name that is not defined", "profile", "{ extends: missing }"),
    ("a cycle", "profile", "{ extends: agent }"),
    ("vault: without a vault", "top", "{ vault: null }"),
    ("a secret's name in a template", "inject", '{ header: X, value: "{other}" }'),
    ("a template without a secret", "inject", '{ header: X, value: constant }'),
    ("a place that is injected twice", "inject", "[{ basic: a }, { basic: b }]"),
    ("a certificate without TLS", "credential", '{ upstream: "http://api.test", client: { cert: c, key: "file:k" } }'),
    ("what is injected cannot be passed", "credential", "{ pass: [X-Key] }"),
    ("one variable with two values", "env", "{ base_url: A, token: A }"),
    ("two listeners on one address", "top", '{ listen: ["127.0.0.1:8180", "127.0.0.1:8180"] }'),
    ("a limit's bounds in its unit", "limits", "{ head: 1MiB }"),
    ("an address in disguise", "profile", '{ hosts: ["0x7f000001"] }'),
    ("bits behind a network's prefix", "profile", "{ hosts: [10.0.0.1/8] }"),
    ("methods in lower case", "credential", '{ rules: ["allow get /"] }'),
    ("an open quote", "credential", """{ secret: "exec:a 'b" }"""),
]
