"""What bench/soak is played in: its configuration, its web servers, and the clock of proxyd."""
import glob
import os

import faults
import good
import guests
from peers.keystile import free_port
from peers.nginx import Nginx
from rude import HEAD_TIME

TTL = 5  # s, of what a command prints
LIMITS = f'{{{{ head_time: {HEAD_TIME}s, idle: 5s, body_idle: 5s, response_idle: 8s, connect: 5s, handshake: 5s }}}}'
HEADER = 'inject: { header: Authorization, value: "Bearer {secret}" }'
WILD = ('honest', 'wild', 'tlshonest', 'tlswild')
OWN = ('good', 'rated', 'commanded', 'events', 'socket', 'minted', 'secure', *WILD)
MANY = 'keepalive_requests 100000;'


def credential(name, upstream, secret, *more):
    lines = [f'upstream: {upstream}', secret, f'env: {{ token: TOKEN_{name.upper()} }}', *more]
    return f'  {name}:\n' + ''.join(f'    {line}\n' for line in lines)


def configuration(folder, plain, ports, faulty, secure, ca):
    """keystile.yaml, but for its head."""
    here = 'http://127.0.0.1'
    text = 'credentials:\n'
    text += credential('good', f'{here}:{plain.port}', f'secret: file:{folder}/secret', HEADER)
    text += credential('rated', f'{here}:{plain.port}', f'secret: file:{folder}/secret', HEADER, f'rate: {good.RATE}/s')
    text += credential('commanded', f'{here}:{plain.port}', f'secret: "exec:/bin/sh {folder}/print"', f'ttl: {TTL}s', HEADER)
    text += credential('events', f'{here}:{ports["events"]}', 'secret: vault:events', HEADER)
    text += credential('socket', f'{here}:{ports["socket"]}', 'secret: vault:socket', 'inject: { header: X-Key, value: "{secret}" }')
    text += credential('minted', f'{here}:{ports["api"]}', 'secrets: { id: vault:id, key: vault:key }',
                       f'inject: {{ oauth2: {{ token_url: "{here}:{ports["tokens"]}/token" }} }}')
    text += credential('secure', f'https://{good.SECURE_HOST}:{secure.port}', 'secret: vault:secure', HEADER, f'ca: {ca}',
                       'intercept: true')
    for name in WILD:
        scheme, more = ('https', [f'ca: {faulty["ca"]}']) if name.startswith('tls') else ('http', [])
        text += credential(name, f'{scheme}://localhost:{faulty[name]}', f'secret: vault:{name}', HEADER, *more)
    hosts = f'["127.0.0.1:{plain.more_port}", "{faults.FLAKY}:{plain.more_port}"]'
    text += f'profiles:\n  agent:\n    hosts: {hosts}\n    credentials: [{", ".join(OWN)}]\n'
    return text + guests.profile(f'127.0.0.1:{ports["echo"]}')


def start_nginx(folder, canary, certificate=None):
    """Two sizes of answers, for who shows a secret; and at another port, for anybody. Those of a secret are logged, with the time."""
    port = free_port()
    more = (f'set $bare 0; if ($http_authorization !~ "{canary}") {{ set $bare 1; }} if ($bare) {{ return 403; }}\n\t\t{MANY}\n'
            f'\t}}\n\tserver {{ listen 127.0.0.1:{port}; root {folder}/www; access_log off; {MANY}')
    server = Nginx(folder, more, certificate)
    server.more_port = port
    for name, size in (('small', good.SMALL), ('big', good.BIG)):
        (folder / 'www' / name).write_bytes(b's' * size)
    return server


def faketime():
    """libfaketime, by which the clock of one process can be set; None where it is not installed."""
    found = [os.environ.get('KEYSTILE_FAKETIME', '')] + glob.glob('/usr/lib/*/faketime/libfaketimeMT.so.1')
    return next((one for one in found if one and os.path.exists(one)), None)


def clock_environment(library, clock_file):
    """What has `library` set the clock by what `clock_file` says, within a second. Only the date: no program can set the other clocks."""
    if not library:
        return {}
    clock_file.write_text('+0\n')
    return {'LD_PRELOAD': library, 'FAKETIME_TIMESTAMP_FILE': str(clock_file), 'FAKETIME_DONT_FAKE_MONOTONIC': '1',
            'FAKETIME_CACHE_DURATION': '1', 'FAKETIME_DONT_RESET': '1', 'NO_FAKE_STAT': '1'}
