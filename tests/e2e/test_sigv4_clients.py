"""AWS's own SDKs and its command line, unchanged, with only the sourced file of envgen, against a service that looks at signatures."""

import json
import os
import signal
import subprocess
import urllib.request

import boto3
import botocore.config
import pytest

from peers import aws, evidence
from peers.evidence import EVIDENCE
from peers.keystile import clean_environment, free_port, wait_for
from test_clients import NODE, PYTHON, TOOLS, client_environment, run

REGION = "eu-central-1"
POLICY = json.dumps({"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Action": "*", "Resource": "*"}})
TRUST = json.dumps({"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Principal": {"AWS": "*"}, "Action": "sts:AssumeRole"}})


class Moto:
    """S3, DynamoDB, STS and IAM; a key that may do everything, for good and for a session."""

    def __init__(self, folder):
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.log = open(folder / "moto.log", "wb")
        self.process = subprocess.Popen(
            [PYTHON, "-m", "moto.server", "-p", str(self.port)], stdout=self.log, stderr=self.log, stdin=subprocess.DEVNULL,
            env=clean_environment(HOME=str(folder), PYTHONDONTWRITEBYTECODE="1"), cwd=folder)
        wait_for(self.answers, "moto's port", 60)
        iam = self.client("iam", "none", "none")
        iam.create_user(UserName="agent")
        iam.put_user_policy(UserName="agent", PolicyName="all", PolicyDocument=POLICY)
        key = iam.create_access_key(UserName="agent")["AccessKey"]
        self.id, self.key = key["AccessKeyId"], key["SecretAccessKey"]
        role = iam.create_role(RoleName="agent", AssumeRolePolicyDocument=TRUST)["Role"]["Arn"]
        iam.put_role_policy(RoleName="agent", PolicyName="all", PolicyDocument=POLICY)
        self.session = self.client("sts", self.id, self.key).assume_role(RoleArn=role, RoleSessionName="agent")["Credentials"]
        self.client("s3", self.id, self.key).create_bucket(
            Bucket="bucket", CreateBucketConfiguration={"LocationConstraint": REGION})
        from_now_on = urllib.request.Request(f"{self.url}/moto-api/reset-auth", b"0", {"Content-Type": "text/plain"}, method="POST")
        urllib.request.urlopen(from_now_on).read()  # signatures are looked at

    def answers(self):
        assert self.process.poll() is None, "moto ended"
        try:
            return urllib.request.urlopen(f"{self.url}/moto-api/", timeout=5).status == 200
        except OSError:
            return False

    def client(self, service, key_id, key):
        return boto3.client(service, endpoint_url=self.url, region_name=REGION, aws_access_key_id=key_id, aws_secret_access_key=key,
                            config=botocore.config.Config(retries={"max_attempts": 1}, proxies={}))

    def stop(self):
        self.process.send_signal(signal.SIGINT)
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.log.close()


@pytest.fixture(scope="module")
def moto(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:  # for the clients that set it up
        for name in list(os.environ):
            if name.lower().endswith("_proxy"):
                patch.delenv(name)
        one = Moto(tmp_path_factory.mktemp("moto"))
    yield one
    one.stop()


def credential(url, service, variable, session=False):
    more = ", session: vault:session" if session else ""
    return (f"  {service}:\n    upstream: {url}\n    secrets: {{ id: vault:id, key: vault:key{more} }}\n"
            f"    inject: {{ aws_sigv4: {{ region: {REGION}, service: {service} }} }}\n"
            f"    env:\n      base_url: {variable}\n      token: AWS_ACCESS_KEY_ID\n"
            f"      set: {{ AWS_SECRET_ACCESS_KEY: none, AWS_REGION: {REGION}, AWS_DEFAULT_REGION: {REGION} }}\n")


@pytest.fixture
def start(keystile, moto, tmp_path):
    """start(SERVICE, VARIABLE) gives proxyd in front of moto, and the environment of its agent."""

    def make(service, variable, session=False):
        secrets = {"id": moto.id, "key": moto.key}
        if session:
            secrets = {"id": moto.session["AccessKeyId"], "key": moto.session["SecretAccessKey"], "session": moto.session["SessionToken"]}
        config = "credentials:\n" + credential(moto.url, service, variable, session) + f"profiles:\n  agent: {{ credentials: [{service}] }}\n"
        proxy = keystile(config, secrets)
        env = client_environment(proxy, tmp_path, AWS_EC2_METADATA_DISABLED="true")
        assert env[variable] == f"http://127.0.0.1:{proxy.port}/{service}" and env["AWS_ACCESS_KEY_ID"] != moto.id
        return proxy, env, secrets

    return make


def check(proxy, said, secrets):
    """The work was done through proxyd, and no secret came to the client."""
    EVIDENCE.add("client output", said)
    for name in ("key", "session"):
        assert secrets.get(name, "nothing") not in said
    lines = proxy.audit(1, event="end")
    assert lines and all(line["verdict"] == "allow" and line["injected"] for line in lines), lines


S3_PYTHON = """
import boto3, io, sys
s3 = boto3.client("s3")
for size in (0, 1, 5_000_000):
    body = bytes(range(256)) * (size // 256) + b"x" * (size % 256)
    s3.put_object(Bucket="bucket", Key=f"a b/{size}+ü.bin", Body=body, Metadata={"kind": "a  b"}, ContentType="text/x-test")
    got = s3.get_object(Bucket="bucket", Key=f"a b/{size}+ü.bin")
    assert got["Body"].read() == body and got["Metadata"] == {"kind": "a  b"}
assert s3.get_object(Bucket="bucket", Key="a b/5000000+ü.bin", Range="bytes=1-3")["Body"].read() == b"\\1\\2\\3"
big = bytes(7) * 2_000_000
s3.upload_fileobj(io.BytesIO(big), "bucket", "big")
out = io.BytesIO()
s3.download_fileobj("bucket", "big", out)
assert out.getvalue() == big
print(sorted(item["Key"] for item in s3.list_objects_v2(Bucket="bucket", Prefix="a b/")["Contents"]))
import urllib.request
url = s3.generate_presigned_url("get_object", Params={"Bucket": "bucket", "Key": "a b/1+ü.bin"})
assert urllib.request.urlopen(url).read() == b"x"
url = s3.generate_presigned_url("put_object", Params={"Bucket": "bucket", "Key": "presigned"})
urllib.request.urlopen(urllib.request.Request(url, b"presigned body", {"Content-Type": "text/plain"}, method="PUT")).read()
assert s3.get_object(Bucket="bucket", Key="presigned")["Body"].read() == b"presigned body"
s3.delete_objects(Bucket="bucket", Delete={"Objects": [{"Key": "big"}, {"Key": "presigned"}]})
try:
    s3.get_object(Bucket="bucket", Key="big")
except s3.exceptions.NoSuchKey:
    print("done")
"""


@pytest.mark.parametrize("session", [False, True], ids=["key", "session"])
def test_boto3_s3(start, tmp_path, session):
    proxy, env, secrets = start("s3", "AWS_ENDPOINT_URL_S3", session)
    said = run([PYTHON, "-c", S3_PYTHON], env, tmp_path).stdout
    assert said.splitlines() == ["['a b/0+ü.bin', 'a b/1+ü.bin', 'a b/5000000+ü.bin']", "done"]
    check(proxy, said, secrets)


DYNAMODB_PYTHON = """
import boto3
table = boto3.resource("dynamodb").create_table(
    TableName="t", BillingMode="PAY_PER_REQUEST", KeySchema=[{"AttributeName": "k", "KeyType": "HASH"}],
    AttributeDefinitions=[{"AttributeName": "k", "AttributeType": "S"}])
table.put_item(Item={"k": "a", "v": "ü" * 100_000})
print(len(table.get_item(Key={"k": "a"})["Item"]["v"]), table.scan()["Count"])
table.delete()
"""
STS_PYTHON = """
import boto3
print(boto3.client("sts").get_caller_identity()["Arn"])
"""


@pytest.mark.parametrize("service, text", [("s3", S3_PYTHON), ("dynamodb", DYNAMODB_PYTHON), ("sts", STS_PYTHON)],
                         ids=["s3", "dynamodb", "sts"])
def test_the_service_looks_at_signatures(start, tmp_path, service, text):
    """Is it a judge? With another key all of them fail."""
    proxy, env, _ = start(service, f"AWS_ENDPOINT_URL_{service.upper()}")
    proxy.creds("set", "key", input="another-key")
    proxy.stop()
    proxy.start()
    done = run([PYTHON, "-c", text], env, tmp_path, check=False)
    assert done.returncode == 1 and "SignatureDoesNotMatch" in done.stderr, done.stderr


def test_boto3_dynamodb(start, tmp_path):
    proxy, env, secrets = start("dynamodb", "AWS_ENDPOINT_URL_DYNAMODB")
    said = run([PYTHON, "-c", DYNAMODB_PYTHON], env, tmp_path).stdout
    assert said == "100000 1\n"
    check(proxy, said, secrets)


@pytest.mark.parametrize("session", [False, True], ids=["key", "session"])
def test_boto3_sts(start, tmp_path, session):
    proxy, env, secrets = start("sts", "AWS_ENDPOINT_URL_STS", session)
    said = run([PYTHON, "-c", STS_PYTHON], env, tmp_path).stdout
    assert said.strip().endswith("assumed-role/agent/agent" if session else "user/agent")
    check(proxy, said, secrets)


def test_the_command_line(start, tmp_path):
    proxy, env, secrets = start("s3", "AWS_ENDPOINT_URL_S3")
    aws = [PYTHON, TOOLS / "python/bin/aws"]
    (tmp_path / "file").write_bytes(os.urandom(20_000_000))  # in several parts
    run([*aws, "s3", "cp", "file", "s3://bucket/cli/file"], env, tmp_path)
    run([*aws, "s3", "cp", "-", "s3://bucket/cli/small"], env, tmp_path, stdin="from standard input")
    run([*aws, "s3", "cp", "s3://bucket/cli/file", "back"], env, tmp_path)
    assert (tmp_path / "back").read_bytes() == (tmp_path / "file").read_bytes()
    assert run([*aws, "s3", "cp", "s3://bucket/cli/small", "-"], env, tmp_path).stdout == "from standard input"
    listed = run([*aws, "s3", "ls", "s3://bucket/cli/"], env, tmp_path).stdout
    assert listed.split()[3::4] == ["file", "small"]
    run([*aws, "s3", "rm", "--recursive", "s3://bucket/cli/"], env, tmp_path)
    check(proxy, listed, secrets)


S3_NODE = """
const { S3Client, PutObjectCommand, GetObjectCommand, ListObjectsV2Command } = require("@aws-sdk/client-s3");
const { Readable } = require("stream");
(async () => {
  const s3 = new S3Client({});
  for (const size of [0, 1, 5000000]) {
    const Key = `js b/${size}+ü!*'().bin`, Body = Buffer.alloc(size, "js");
    await s3.send(new PutObjectCommand({ Bucket: "bucket", Key, Body }));
    const got = await s3.send(new GetObjectCommand({ Bucket: "bucket", Key }));
    if (!Body.equals(Buffer.from(await got.Body.transformToByteArray()))) throw new Error(`${size} bytes differ`);
  }
  const parts = Array.from({ length: 20 }, () => Buffer.alloc(100000, "s"));
  await s3.send(new PutObjectCommand({ Bucket: "bucket", Key: "js b/stream", Body: Readable.from(parts), ContentLength: 2000000 }));
  const listed = await s3.send(new ListObjectsV2Command({ Bucket: "bucket", Prefix: "js b/" }));
  console.log(listed.Contents.map((item) => item.Size).sort().join());
})();
"""
OTHERS_NODE = """
const { DynamoDBClient, ListTablesCommand } = require("@aws-sdk/client-dynamodb");
const { STSClient, GetCallerIdentityCommand } = require("@aws-sdk/client-sts");
(async () => {
  if (process.argv[2] === "dynamodb") console.log((await new DynamoDBClient({}).send(new ListTablesCommand({}))).TableNames);
  else console.log((await new STSClient({}).send(new GetCallerIdentityCommand({}))).Arn);
})();
"""


def node(text, env, tmp_path, *arguments):
    return run([NODE, "-e", text, "run", *arguments], {**env, "NODE_PATH": str(TOOLS / "node/node_modules")}, tmp_path).stdout


@pytest.mark.parametrize("session", [False, True], ids=["key", "session"])
def test_node_s3(start, tmp_path, session):
    proxy, env, secrets = start("s3", "AWS_ENDPOINT_URL_S3", session)
    said = node(S3_NODE, env, tmp_path)
    assert said == "0,1,2000000,5000000\n"
    check(proxy, said, secrets)


@pytest.mark.parametrize("service, said", [("dynamodb", "[]"), ("sts", "user/agent")])
def test_node_others(start, tmp_path, service, said):
    proxy, env, secrets = start(service, f"AWS_ENDPOINT_URL_{service.upper()}")
    out = node(OTHERS_NODE, env, tmp_path, service)
    assert out.strip().endswith(said)
    check(proxy, out, secrets)


def shelf(secret, seen):
    """S3 for objects that are put and got, which looks at each chunk's signature too. What each PUT says of its body goes into `seen`."""
    objects = {}
    tail = ("ETag: \"0\"", "Last-Modified: Mon, 02 Nov 2026 00:00:00 GMT", "Content-Type: text/plain")

    def script(connection):
        while True:
            message = connection.request()
            signed = aws.Signed(message, secret, "s3")
            signed.check()
            if message.method == "PUT":
                seen.append(message.get("X-Amz-Content-Sha256"))
                assert len(signed.data) == int(message.get("X-Amz-Decoded-Content-Length", len(signed.data)))
                objects[message.target] = signed.data
            connection.answer("200 OK", objects[message.target] if message.method == "GET" else b"", *tail)

    return script


@pytest.mark.skipif(not (TOOLS / "versions/go/client").exists(), reason="the Go clients are built for amd64 alone")
@pytest.mark.parametrize("form", ["chunks", "trailers"])
def test_go_signs_chunks(keystile, origin, tmp_path, form):
    secrets, seen = {"id": aws.ID, "key": evidence.secret("key")}, []
    server = origin(shelf(secrets["key"], seen))
    config = credential(f"http://127.0.0.1:{server.port}", "s3", "AWS_ENDPOINT_URL_S3") + "profiles:\n  agent: { credentials: [s3] }\n"
    proxy = keystile("credentials:\n" + config, secrets)
    said = run([TOOLS / "versions/go/client", "s3", form], client_environment(proxy, tmp_path), tmp_path).stdout
    assert said == "0 true\n1 true\n65536 true\n5000000 true\n"
    suffix = "-TRAILER" if form == "trailers" else ""
    assert "STREAMING-AWS4-HMAC-SHA256-PAYLOAD" + suffix in seen, seen
    check(proxy, said, secrets)
