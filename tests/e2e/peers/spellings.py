"""Spellings of a credential host, as data: what stands behind CONNECT, or as the host of an absolute-form target, and what
must come of it.

The credentials are https://api.cred.test, http://odd.cred.test:8080, https://*.wild.test, https://bücher.test,
https://198.51.100.70 and https://[2001:db8::1]. In `written` a \\u escape stands for its UTF-8, \\x80 to \\xff for bytes."""

import dataclasses

ENDPOINT = "endpoint"  # 403; for a profile with the credential the body names the way out
WILDCARD = "wildcard"  # 403; there is no endpoint to name
REFUSED = "refused"    # 403 like any other host, for every profile
MALFORMED = "malformed"  # 400


@dataclasses.dataclass(frozen=True)
class Spelling:
    id: str
    written: str
    outcome: str
    credential: str = ""
    word: str = ""  # stands in what is told

    @property
    def bytes(self):
        """UTF-8, but for what the row has as single bytes."""
        return b"".join(c.encode("latin-1" if "\x80" <= c <= "\x9f" else "utf-8") for c in self.written)


def endpoint(id, written, credential="api"):
    return Spelling(id, written, ENDPOINT, credential)


def wildcard(id, written):
    return Spelling(id, written, WILDCARD, "wild")


def refused(id, written):
    return Spelling(id, written, REFUSED)


def malformed(id, written, word=""):
    return Spelling(id, written, MALFORMED, word=word)


NAMES = [
    endpoint("as it is", "api.cred.test:443"),
    endpoint("port 80 of an upstream at 443", "api.cred.test:80"),
    endpoint("capitals", "API.CRED.TEST:443"),
    endpoint("mixed case", "aPi.cReD.TeSt:80"),
    endpoint("trailing dot", "api.cred.test.:443"),
    endpoint("trailing dot, capitals, port 80", "Api.Cred.Test.:80"),
    endpoint("a port of its own", "odd.cred.test:8080", "odd"),
    endpoint("a port of its own, spelled otherwise", "ODD.cred.test.:8080", "odd"),
    refused("another port", "api.cred.test:8443"),
    refused("another port, trailing dot", "api.cred.test.:22"),
    refused("port 443 of one at 8080", "odd.cred.test:22"),
    wildcard("below a wildcard", "a.wild.test:443"),
    wildcard("far below a wildcard", "a.b.C.wild.TEST.:80"),
    wildcard("underscore below a wildcard", "_a_b.wild.test:443"),
    malformed("two trailing dots", "api.cred.test..:443"),
    malformed("leading dot", ".api.cred.test:443"),
    malformed("two dots within", "api..cred.test:443"),
    malformed("userinfo", "user@api.cred.test:443"),
    malformed("userinfo with a password", "user:pass@api.cred.test:443"),
    malformed("empty userinfo", "@api.cred.test:443"),
    malformed("allowed host as userinfo", "free.test:443@api.cred.test:443"),
    malformed("allowed host behind userinfo", "api.cred.test:443@free.test:443"),
    malformed("escaped dot", "api%2Ecred.test:443"),
    malformed("escaped letter", "%61pi.cred.test:443"),
    malformed("escaped twice", "%2561pi.cred.test:443"),
    malformed("escaped NUL", "api.cred.test%00.free.test:443"),
    malformed("escaped colon", "api.cred.test%3A443"),
    malformed("brackets", "[api.cred.test]:443"),
    malformed("opening bracket", "[api.cred.test:443"),
    malformed("asterisk", "*.cred.test:443"),
    malformed("comma", "free.test,api.cred.test:443"),
    malformed("semicolon", "free.test;api.cred.test:443"),
    malformed("label of 64 bytes below a wildcard", "a" * 64 + ".wild.test:443"),
    malformed("name of 260 bytes below a wildcard", "a." * 125 + "wild.test:443"),
]

PORTS = [
    malformed("no port", "api.cred.test", "port"),
    malformed("no port, trailing dot", "api.cred.test.", "port"),
    malformed("empty port", "api.cred.test:", "port"),
    malformed("port 0", "api.cred.test:0", "port"),
    malformed("port 65536", "api.cred.test:65536", "port"),
    malformed("port 443 and 2^16", "api.cred.test:65979", "port"),
    malformed("port 443 and 2^32", "api.cred.test:4294967739", "port"),
    malformed("port of 30 digits", "api.cred.test:" + "9" * 30, "port"),
    malformed("port with a leading zero", "api.cred.test:0443", "port"),
    malformed("port with many zeros", "api.cred.test:0000000443", "port"),
    malformed("port with a plus", "api.cred.test:+443", "port"),
    malformed("port with a minus", "api.cred.test:-443", "port"),
    malformed("hexadecimal port", "api.cred.test:0x1bb", "port"),
    malformed("port by name", "api.cred.test:https", "port"),
    malformed("port and letters", "api.cred.test:443x", "port"),
    malformed("full-width port", "api.cred.test:\uff14\uff14\uff13"),
    malformed("two ports", "api.cred.test:80:443"),
    malformed("two colons", "api.cred.test::443"),
    malformed("listed ports", "api.cred.test:80,443", "port"),
    malformed("no host", ":443"),
    malformed("nothing but a colon", ":"),
    malformed("nothing but a dot", ".:443"),
]

TARGETS = [
    malformed("absolute-form", "https://api.cred.test:443/"),
    malformed("absolute-form, http", "http://api.cred.test/"),
    malformed("scheme without a host's slashes", "https:api.cred.test:443"),
    malformed("two slashes", "//api.cred.test:443"),
    malformed("slash behind", "api.cred.test:443/"),
    malformed("path behind", "api.cred.test:443/v1/x"),
    malformed("query behind", "api.cred.test:443?x"),
    malformed("fragment behind", "api.cred.test:443#x"),
    malformed("backslash", "api.cred.test:443\\@free.test:443"),
    malformed("origin-form", "/api.cred.test:443"),
    malformed("asterisk-form", "*"),
    malformed("blank in front", " api.cred.test:443"),
    malformed("blank within", "api.cred .test:443"),
    malformed("blank before the port", "api.cred.test :443"),
    malformed("blank behind", "api.cred.test:443 "),
    malformed("tab in front", "\tapi.cred.test:443"),
    malformed("tab within", "api.cred\t.test:443"),
    malformed("tab behind", "api.cred.test:443\t"),
    malformed("vertical tab", "api.cred.test\x0b:443"),
    malformed("two targets", "free.test:443 api.cred.test:443"),
    malformed("NUL behind the host", "api.cred.test\0:443"),
    malformed("NUL and an allowed host", "api.cred.test\0.free.test:443"),
    malformed("NUL behind an allowed host", "free.test\0.api.cred.test:443"),
    malformed("control character", "api\x01.cred.test:443"),
    malformed("DEL", "api.cred.test\x7f:443"),
    malformed("bare CR", "free.test:443\rCONNECT api.cred.test:443"),
    malformed("a byte that is no UTF-8", "api\x80.cred.test:443"),
    malformed("overlong dot", "api\x80\x8ecred.test:443"),
]

INTERNATIONAL = [
    endpoint("A-label", "xn--bcher-kva.test:443", "idn"),
    endpoint("A-label in capitals", "XN--BCHER-KVA.TEST.:80", "idn"),
    endpoint("U-label", "bücher.test:443", "idn"),
    endpoint("U-label in capitals", "BÜCHER.test:443", "idn"),
    endpoint("U-label, decomposed", "bu\u0308cher.test:443", "idn"),
    endpoint("U-label, trailing dot", "bücher.test.:443", "idn"),
    endpoint("full-width letters", "\uff41\uff50\uff49.cred.test:443"),
    endpoint("full-width dots", "api\uff0ecred\uff0etest:443"),
    endpoint("ideographic dots", "api\u3002cred\u3002test:443"),
    endpoint("half-width ideographic dots", "api\uff61cred\uff61test:443"),
    endpoint("ideographic dot behind", "api.cred.test\u3002:443"),
    endpoint("soft hyphen", "a\u00adpi.cred.test:443"),
    endpoint("word joiner", "a\u2060pi.cred.test:443"),
    endpoint("zero width space", "api\u200b.cred.test:443"),
    endpoint("byte-order mark", "\ufeffapi.cred.test:443"),
    endpoint("variation selector", "api\ufe0f.cred.test:443"),
    endpoint("long s", "api.cred.te\u017ft:443"),
    endpoint("mathematical letters", "\U0001d41a\U0001d429\U0001d422.cred.test:443"),
    wildcard("circled digit below a wildcard", "\u2461.wild.test:443"),
    malformed("zero width joiner", "a\u200dpi.cred.test:443"),
    malformed("one dot leader", "api\u2024cred.test:443"),
    malformed("ideographic blank", "api.cred.test\u3000:443"),
    malformed("no-break space", "api.cred.test\u00a0:443"),
    malformed("right-to-left override", "\u202eapi.cred.test:443"),
    malformed("full-width colon", "api.cred.test\uff1a443"),
    malformed("full-width at sign", "free.test\uff20api.cred.test:443"),
    malformed("full-width slash", "api.cred.test\uff0f.free.test:443"),
]

ADDRESSES = [
    endpoint("address", "198.51.100.70:443", "addr"),
    endpoint("address, port 80", "198.51.100.70:80", "addr"),
    endpoint("mapped", "[::ffff:198.51.100.70]:443", "addr"),
    endpoint("mapped, in hexadecimal", "[::ffff:c633:6446]:443", "addr"),
    endpoint("mapped, in full", "[0000:0000:0000:0000:0000:FFFF:C633:6446]:80", "addr"),
    endpoint("full-width digits", "\uff11\uff19\uff18.51.100.70:443", "addr"),
    malformed("decimal", "3325256774:443"),
    malformed("decimal, trailing dot", "3325256774.:443"),
    malformed("hexadecimal", "0xc6336446:443"),
    malformed("hexadecimal, in capitals", "0XC6336446:443"),
    malformed("hexadecimal parts", "0xc6.0x33.0x64.0x46:443"),
    malformed("octal", "030614662106:443"),
    malformed("octal parts", "0306.063.0144.0106:443"),
    malformed("leading zeros", "198.051.100.070:443"),
    malformed("mixed parts", "0xc6.51.0144.70:443"),
    malformed("three parts", "198.51.25670:443"),
    malformed("two parts", "198.3367.25670:443"),
    malformed("two parts, the last one large", "198.3367990:443"),
    malformed("part over 255", "198.51.100.326:443"),
    malformed("five parts", "198.51.100.70.0:443"),
    malformed("address in brackets", "[198.51.100.70]:443"),
    malformed("address with an escape", "198.51.100.%370:443"),
    malformed("mapped, octal", "[::ffff:0306.063.0144.0106]:443"),
    malformed("address without a port", "198.51.100.70", "port"),
    endpoint("IPv6", "[2001:db8::1]:443", "six"),
    endpoint("IPv6, port 80", "[2001:db8::1]:80", "six"),
    endpoint("IPv6 in full", "[2001:0db8:0000:0000:0000:0000:0000:0001]:443", "six"),
    endpoint("IPv6 in capitals", "[2001:DB8:0:0::1]:443", "six"),
    endpoint("IPv6 with a dotted end", "[2001:db8::0.0.0.1]:443", "six"),
    malformed("IPv6 with a zone", "[2001:db8::1%lo]:443"),
    malformed("IPv6 with an escaped zone", "[2001:db8::1%25lo]:443"),
    malformed("IPv6 with an empty zone", "[2001:db8::1%]:443"),
    malformed("bare IPv6", "2001:db8::1"),
    malformed("bare IPv6 with a port", "2001:db8::1:443"),
    malformed("IPv6 without a port", "[2001:db8::1]", "port"),
    malformed("IPv6 with an empty port", "[2001:db8::1]:", "port"),
    malformed("port right behind the bracket", "[2001:db8::1]443"),
    malformed("two opening brackets", "[[2001:db8::1]:443"),
    malformed("two closing brackets", "[2001:db8::1]]:443"),
    malformed("blank in the brackets", "[ 2001:db8::1]:443"),
    malformed("future address", "[v1.2001:db8::1]:443"),
    malformed("leading zeros of five digits", "[02001:db8::1]:443"),
    malformed("two gaps", "[2001::db8::1]:443"),
    malformed("empty brackets", "[]:443"),
]

ROWS = NAMES + PORTS + TARGETS + INTERNATIONAL + ADDRESSES

# In absolute-form a host needs no port
ABSOLUTE = [row for row in NAMES + PORTS + INTERNATIONAL + ADDRESSES
            if not row.id.startswith(("no port", "empty port")) and not row.id.endswith(("without a port", "an empty port"))]
