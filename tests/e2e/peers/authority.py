"""A certificate authority made by openssl for one test run."""

import pathlib
import ssl
import subprocess

KINDS = {
    "ec": ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"),
    "rsa": ("-newkey", "rsa:2048"),
    "ed25519": ("-newkey", "ed25519"),
}
# For `openssl ca`, which, unlike `openssl x509`, may sign what has expired.
SIGNING = "[ca]\ndefault_ca=own\n[own]\ndatabase=index\nnew_certs_dir=.\nrand_serial=yes\ndefault_md=sha256\npolicy=any\n" \
          "unique_subject=no\n[any]\ncommonName=supplied\n"


class Authority:
    def __init__(self, folder, name="Keystile test CA"):
        self.folder = pathlib.Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.ca = self.folder / "ca.pem"
        self.openssl(
            "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
            "-subj", f"/CN={name}", "-keyout", "ca.key", "-out", "ca.pem",
            "-addext", "basicConstraints=critical,CA:TRUE", "-addext", "keyUsage=critical,keyCertSign,cRLSign",
        )

    def openssl(self, *arguments):
        result = subprocess.run(["openssl", *arguments], cwd=self.folder, capture_output=True, text=True)
        assert result.returncode == 0, result.stderr

    def issue(self, label, names, days=2):
        """A certificate and key for `names` (as in a subjectAltName: DNS:a.test, IP:127.0.0.1); returns two paths."""
        cert, key = self.folder / f"{label}.pem", self.folder / f"{label}.key"
        (self.folder / f"{label}.ext").write_text(
            "basicConstraints=CA:FALSE\nkeyUsage=digitalSignature\nextendedKeyUsage=serverAuth\n"
            f"subjectAltName={','.join(names)}\n"
        )
        self.openssl(
            "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", f"/CN={label}",
            "-keyout", f"{label}.key", "-out", f"{label}.csr",
        )
        self.openssl(
            "x509", "-req", "-in", f"{label}.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial",
            "-days", str(days), "-extfile", f"{label}.ext", "-out", f"{label}.pem",
        )
        return cert, key

    def client(self, label, kind="ec", days=("20250101000000Z", "20900101000000Z"), purpose="clientAuth", ca="ca", more=""):
        """A certificate for a client, its subject CN=label, with a key of that kind; signed by what client() called `ca` before, or
        the authority. Returns two paths."""
        (self.folder / "ca.cnf").write_text(SIGNING)
        (self.folder / "index").touch()
        (self.folder / f"{label}.ext").write_text(f"extendedKeyUsage={purpose}\n{more}")
        self.openssl("req", *KINDS[kind], "-nodes", "-subj", f"/CN={label}", "-keyout", f"{label}.key", "-out", f"{label}.csr")
        self.openssl(
            "ca", "-batch", "-notext", "-config", "ca.cnf", "-cert", f"{ca}.pem", "-keyfile", f"{ca}.key", "-startdate", days[0],
            "-enddate", days[1], "-extfile", f"{label}.ext", "-in", f"{label}.csr", "-out", f"{label}.pem",
        )
        return self.folder / f"{label}.pem", self.folder / f"{label}.key"

    def self_signed(self):
        """A server that shows a certificate that nobody but itself signed."""
        self.openssl(
            "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj", "/CN=self",
            "-addext", "subjectAltName=IP:127.0.0.1,DNS:localhost", "-keyout", "self.key", "-out", "self.pem",
        )
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.folder / "self.pem", self.folder / "self.key")
        return context

    def server_context(self, label="loopback", names=("IP:127.0.0.1", "DNS:localhost"), alpn=()):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*self.issue(label, names))
        if alpn:
            context.set_alpn_protocols(list(alpn))
        return context
