"""Objects of an S3 store, read by ranged GETs through obstore, which is imported by the first client only.

S3Client(settings)              one for each process, shared between its threads
client.source(bucket, key)      one object as a Source; no request before the first read
client.list(bucket, prefix)     what there is
open_address("s3://…")          an object as a Source, as the environment configures it
"""

from __future__ import annotations

from exr_inspector.s3.client import S3Client, shared_client
from exr_inspector.s3.records import S3Object
from exr_inspector.s3.source import S3Source
from exr_inspector.sources import object_name

__all__ = ["S3Client", "S3Object", "S3Source", "open_address", "shared_client"]


def open_address(address: str) -> S3Source:
    """The object of `s3://bucket/key`, by the client that the environment configures.

    Raises SourceError and SettingsError: no settings, half of them, obstore not installed. What is wrong with the
    address itself is told by the first read.
    """
    return shared_client().source(*object_name(address))
