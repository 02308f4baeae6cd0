"""Errors as the VAST DataBase wire tells them: an HTTP status and an S3 error document."""

from __future__ import annotations

from xml.sax.saxutils import escape

# Error code -> HTTP status. The SDK decides by the status alone, but for "SlowDown" (retried) and
# "TabularUnsupportedColumnType" (NotSupportedSchema). Codes marked "assumed" are not seen in the SDK.
STATUS_OF_CODE = {
    "AccessDenied": 403,
    "InvalidAccessKeyId": 403,
    "SignatureDoesNotMatch": 403,
    "InvalidArgument": 400,
    "EntityTooLarge": 400,
    "InvalidRequest": 400,
    "TabularUnsupportedColumnType": 400,
    "TabularInvalidColumnTypeParam": 400,
    "TabularMismatchColumnType": 400,
    "TabularNoSuchColumn": 404,  # assumed
    "TabularNoSuchRow": 400,  # assumed
    "TabularNoSuchTransaction": 404,  # assumed
    "NoSuchBucket": 404,
    "NoSuchSchema": 404,  # assumed
    "NoSuchTable": 404,  # assumed
    "NoSuchKey": 404,
    "NoSuchVersion": 404,
    "KeyTooLongError": 400,
    "MethodNotAllowed": 405,
    "Conflict": 409,
    "PreconditionFailed": 412,
    "InvalidRange": 416,
    "InternalError": 500,
    "NotImplemented": 501,
    "BadGateway": 502,
    "SlowDown": 503,
    "ServiceUnavailable": 503,
}


class ApiError(Exception):
    """A request that the server refuses; `code` is one of STATUS_OF_CODE."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
        self.status = STATUS_OF_CODE[code]

    def document(self) -> bytes:
        """Return the S3 error document."""
        code, message = escape(self.code), escape(self.message)
        text = f"<Error><Code>{code}</Code><Message>{message}</Message></Error>"
        return f'<?xml version="1.0" encoding="UTF-8"?>{text}'.encode()


def conflict(message: str) -> ApiError:
    """Return the error that the SDK raises as `vastdb.errors.Conflict`."""
    return ApiError("Conflict", message)
