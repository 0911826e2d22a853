"""S3: SeaweedFS as one process, with credentials of its own."""

from __future__ import annotations

import json
from contextlib import closing
from typing import TYPE_CHECKING, ClassVar

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from deployments.local import binaries, ports
from deployments.local.certificates import ensure_certificate
from deployments.local.private_files import write_private
from deployments.local.server import Server

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mypy_boto3_s3 import S3Client

    from deployments.local.credentials import Credentials
    from deployments.local.home import Home

_VOLUME_MEGABYTES = 1024
_MEMORY_LIMIT = "256MiB"  # soft (runtime/debug.SetMemoryLimit): without it Go grows by 100 MB a minute
READY_KEY = ".darkroom-ready"
"""The key of an object that a start puts and removes, to see that S3 takes writes."""
_JWT_KEYS = ("JWT_SIGNING_KEY", "JWT_SIGNING_READ_KEY", "JWT_FILER_SIGNING_KEY", "JWT_FILER_SIGNING_READ_KEY")
_GRPC_PARTS = ("MASTER", "VOLUME", "FILER", "S3", "CLIENT")


class SeaweedFS(Server):
    """Master, volume server, filer and S3 gateway. Only the S3 API is open, and it asks for a key."""

    name = "seaweedfs"
    port = ports.S3
    listens_on = (ports.S3, ports.SEAWEEDFS_FILER, ports.SEAWEEDFS_VOLUME, ports.SEAWEEDFS_MASTER)
    stop_grace_seconds: ClassVar[float] = 2
    """SeaweedFS flushes at once. Then it only waits for connections among its own parts: 15 s, or for ever."""
    failures: ClassVar[tuple[type[Exception], ...]] = (BotoCoreError, ClientError)

    def __init__(self, home: Home, numbers: Mapping[str, int], *, credentials: Credentials, bucket: str) -> None:
        super().__init__(home, numbers)
        self._credentials = credentials
        self._bucket = bucket

    @property
    def url(self) -> str:
        """The server's address, as `DARKROOM_S3_ENDPOINT_URL`."""
        return f"http://{self.host}:{self.ports[ports.S3.name]}"

    def prepare(self) -> None:
        """Write the one identity that may use S3, and the certificate of its own parts."""
        ensure_certificate(self.home.seaweedfs_certificate_file, self.home.seaweedfs_key_file)
        identity = {
            "name": "darkroom",
            "credentials": [
                {"accessKey": self._credentials.s3_access_key, "secretKey": self._credentials.s3_secret_key}
            ],
            "actions": ["Admin", "Read", "Write", "List", "Tagging"],
        }
        write_private(self.home.s3_identities_file, json.dumps({"identities": [identity]}, indent=2))

    def environment(self) -> dict[str, str]:
        """Return the keys and the certificate of its own parts, and the memory limit.

        Without them, every user of this machine could read and delete the objects past the S3 API. HTTP asks for a
        token that a key has signed, and gRPC for the certificate.
        """
        keys = {f"WEED_{name}": self._credentials.seaweedfs_key for name in _JWT_KEYS}
        certificate, key = str(self.home.seaweedfs_certificate_file), str(self.home.seaweedfs_key_file)
        for part in _GRPC_PARTS:
            keys |= {f"WEED_GRPC_{part}_CERT": certificate, f"WEED_GRPC_{part}_KEY": key}
        return {"GOMEMLIMIT": _MEMORY_LIMIT, "WEED_GRPC_CA": certificate, **keys}

    def command(self) -> list[str]:
        """Return the command of one process with all parts. Without peers, the master awaits no election."""
        sockets = self.home.short_path() / "data" / "seaweedfs"
        return [
            str(binaries.weed()),
            "-logtostderr",  # by default it logs to /tmp, too
            "server",
            f"-dir={self.home.seaweedfs}",
            f"-ip={self.host}",
            f"-ip.bind={self.host}",
            "-disableHttp",  # of the master and the filer: nothing uses it, and the master's asks for nothing
            *self._listen("master", ports.SEAWEEDFS_MASTER),
            "-master.peers=none",
            "-master.telemetry=false",
            f"-master.volumeSizeLimitMB={_VOLUME_MEGABYTES}",
            *self._listen("volume", ports.SEAWEEDFS_VOLUME),
            "-volume.max=0",
            "-volume.preStopSeconds=0",
            "-filer",
            *self._listen("filer", ports.SEAWEEDFS_FILER),
            f"-filer.localSocket={sockets / 'filer.sock'}",
            "-s3",
            *self._listen("s3", ports.S3),
            f"-s3.localSocket={sockets / 's3.sock'}",
            f"-s3.config={self.home.s3_identities_file}",
            "-s3.iam=false",
            "-s3.port.iceberg=0",
            "-s3.port.lance=0",
        ]

    def check(self) -> None:
        """Make the bucket when it is missing. Return when an object can be written to it."""
        with closing(self._client()) as s3:
            if self._bucket not in {bucket.get("Name") for bucket in s3.list_buckets()["Buckets"]}:
                s3.create_bucket(Bucket=self._bucket)
            s3.put_object(Bucket=self._bucket, Key=READY_KEY, Body=b"ready")
            s3.delete_object(Bucket=self._bucket, Key=READY_KEY)

    def _listen(self, part: str, port: ports.Port) -> tuple[str, str]:
        number = self.ports[port.name]
        return f"-{part}.port={number}", f"-{part}.port.grpc={number + ports.GRPC_OFFSET}"

    def _client(self) -> S3Client:
        return boto3.client(
            "s3",
            endpoint_url=self.url,
            region_name="us-east-1",
            aws_access_key_id=self._credentials.s3_access_key,
            aws_secret_access_key=self._credentials.s3_secret_key,
            config=Config(
                connect_timeout=self.check_timeout_seconds,
                read_timeout=self.check_timeout_seconds,
                retries={"total_max_attempts": 1},
                proxies={},
                s3={"addressing_style": "path"},
            ),
        )
