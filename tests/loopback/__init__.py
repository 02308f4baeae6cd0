"""Loopback servers: real wire protocols on 127.0.0.1, for the tests and the benches."""
