# Libraries of Python: python3 probe.py LIBRARY version, or python3 probe.py LIBRARY get URL...
import importlib
import sys


def ask_urllib(url):
    import urllib.request
    urllib.request.urlopen(url, timeout=5).read()


def ask_requests(url):
    import requests
    requests.get(url, timeout=5)


def ask_httpx(url):
    import httpx
    httpx.get(url, timeout=5)


def ask_aiohttp(url):
    import asyncio
    import aiohttp

    async def ask():
        async with aiohttp.ClientSession(trust_env=True, timeout=aiohttp.ClientTimeout(total=5)) as session:
            await session.get(url)

    asyncio.run(ask())


def ask_botocore(url):
    from botocore.awsrequest import AWSRequest
    from botocore.httpsession import URLLib3Session
    from botocore.utils import get_environ_proxies
    session = URLLib3Session(proxies=get_environ_proxies(url), timeout=5)
    session.send(AWSRequest(method="GET", url=url).prepare())


def version(library):
    if library == "urllib":
        return sys.version.split()[0]
    return importlib.import_module(library).__version__


def get(library, urls):
    ask = globals()["ask_" + library]
    for url in urls:
        try:
            ask(url)
        except Exception:
            pass  # a refusal is an answer: what counts is where it came from


library, what = sys.argv[1:3]
if what == "version":
    print(version(library))
else:
    get(library, sys.argv[3:])
