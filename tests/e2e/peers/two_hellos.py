"""A TLS client that asks for one name, and for another one where it has to say hello again (RFC 8446 §4.1.4). GnuTLS by ctypes: no
other library lets its user speak between the two."""

import ctypes

CLIENT, KEY_SHARE_TOP, CERTIFICATE, NAME_DNS, HELLO_RETRY_REQUEST, POST, AGAIN = 2, 1 << 11, 1, 1, 1025, 1, -28
# It shows a key of the first group only, which no server of ours takes: so it is asked again.
PRIORITY = b"NORMAL:-VERS-ALL:+VERS-TLS1.3:-GROUP-ALL:+GROUP-FFDHE2048:+GROUP-X25519"
HOOK = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_uint, ctypes.c_uint, ctypes.c_uint, ctypes.c_void_p)


class TwoHellos:
    """`second` may be the name of the first once more. Certificates are not looked at."""

    def __init__(self, sock, first, second):
        self.library = ctypes.CDLL("libgnutls.so.30")
        self.session, self.credentials = ctypes.c_void_p(), ctypes.c_void_p()
        self.asked_again = False
        self.hook = HOOK(lambda *_: self.say(second, again=True))
        self.must("init", ctypes.byref(self.session), CLIENT | KEY_SHARE_TOP)
        self.must("certificate_allocate_credentials", ctypes.byref(self.credentials))
        self.must("credentials_set", self.session, CERTIFICATE, self.credentials)
        self.must("priority_set_direct", self.session, PRIORITY, None)
        self.say(first)
        self.library.gnutls_handshake_set_hook_function(self.session, HELLO_RETRY_REQUEST, POST, self.hook)
        sock.setblocking(True)
        self.library.gnutls_transport_set_int2(self.session, sock.fileno(), sock.fileno())

    def must(self, name, *arguments):
        code = getattr(self.library, "gnutls_" + name)(*arguments)
        assert code == 0, f"gnutls_{name}: {code}"

    def say(self, name, again=False):
        self.asked_again = again
        return self.library.gnutls_server_name_set(self.session, NAME_DNS, name.encode(), ctypes.c_size_t(len(name)))

    def shake_hands(self):
        """GnuTLS's code; 0 where hands are shaken."""
        return self.library.gnutls_handshake(self.session)

    def ask(self, data):
        """What comes to a request, at once; b"" where the connection has ended."""
        self.library.gnutls_record_send(self.session, data, ctypes.c_size_t(len(data)))
        answer = ctypes.create_string_buffer(16384)
        count = AGAIN
        while count == AGAIN:  # a ticket came
            count = self.library.gnutls_record_recv(self.session, answer, ctypes.c_size_t(len(answer)))
        return answer.raw[:max(count, 0)]

    def close(self):
        self.library.gnutls_deinit(self.session)
        self.library.gnutls_certificate_free_credentials(self.credentials)
