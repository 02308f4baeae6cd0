# exr-inspector as a DataEngine function, and as a command:
#
#   docker build -t exr-inspector .
#   docker run --rm --env-file .env -p 8080:8080 exr-inspector
#   docker run --rm -v "$PWD:/data:ro" exr-inspector inspect /data/file.exr
#
# docs/decisions/0064-container.md says what is left out of the image, why, and what was measured.

# ---- Dependencies: wheels only, compiled, then slimmed. Only the result is copied on. -----------------------------
FROM python:3.12-slim-bookworm AS dependencies
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore PIP_ONLY_BINARY=:all: PIP_CACHE_DIR=/var/cache/pip
RUN apt-get update && apt-get install -y --no-install-recommends binutils && rm -rf /var/lib/apt/lists/*
RUN python -m venv --without-pip /opt/exr-inspector
WORKDIR /build

# constraints.txt is optional: an image's own /opt/exr-inspector/versions.txt, to build with the same versions again.
COPY pyproject.toml constraints.tx[t] ./
RUN touch constraints.txt
RUN python -c "import tomllib; project = tomllib.load(open('pyproject.toml', 'rb'))['project']; \
        extras = [project['optional-dependencies'][name] for name in ('vast', 's3', 'serve')]; \
        print(*project['dependencies'], *sum(extras, []), sep='\n')" > requirements.txt
RUN --mount=type=cache,target=/var/cache/pip \
    pip --python /opt/exr-inspector/bin/python install --no-compile -r requirements.txt -c constraints.txt
# An extra that vastdb asks pyiceberg for: hashes of partitioned tables, which the store refuses. 40 MB.
RUN pip --python /opt/exr-inspector/bin/python uninstall --yes pyiceberg-core \
 && pip --python /opt/exr-inspector/bin/python freeze > /opt/exr-inspector/versions.txt

WORKDIR /opt/exr-inspector/lib/python3.12/site-packages
# What only builds and tests need: headers, Cython and C sources, type stubs, test suites.
RUN find . -depth -type d \( -name tests -o -name include -o -path ./pyarrow/src \) -exec rm -r {} + \
 && find . -type f -regextype egrep -regex '.*\.(h|hpp|c|cc|cpp|pyx|pxd|pxi|pyi|a)' -delete
# Arrow's Flight and its C++ tests; of each shared library the loader asks for libNAME.so.VERSION alone, and two copies
# of it have other names.
RUN cd pyarrow && rm _flight.* flight.py libarrow_flight.* libarrow_python_flight.* _pyarrow_cpp_tests.* \
 && find . -type f -regextype egrep -regex '.*/lib[a-z_]+\.so(\.[0-9]+\.[0-9]+\.[0-9]+)?' -delete
# Drivers of databases that are not here: ibis's (vastdb uses its expressions and SQL types), pyiceberg's Hive client
# (it needs thrift, which is not installed).
RUN find ibis/backends -mindepth 1 -maxdepth 1 -type d ! -name sql -exec rm -r {} + && rm -r hive_metastore
RUN find . -name '*.so*' -type f -exec strip --strip-unneeded {} +
# Byte code that is never compared with its source, also of the standard library: the base image has none, and a user
# who may not write would compile again at every start.
RUN python -m compileall -q -j 0 --invalidation-mode unchecked-hash . && rm -rf /opt/exr-inspector/include
WORKDIR /usr/local/lib/python3.12
RUN python -m compileall -q -j 0 -f --invalidation-mode unchecked-hash \
        -x '/(site-packages|test|idlelib|lib2to3|pydoc_data|tkinter|turtledemo)/' . \
 && mkdir /opt/byte-code \
 && find . -path ./site-packages -prune -o -name '*.pyc' -print0 | tar -c --null -T - | tar -x -C /opt/byte-code

# ---- The program. What is checked here is what runs below. --------------------------------------------------------
FROM dependencies AS program
WORKDIR /build
COPY README.md LICENSE ./
COPY exr_inspector ./exr_inspector
RUN --mount=type=cache,target=/var/cache/pip \
    pip --python /opt/exr-inspector/bin/python install --no-compile --no-deps --prefix /opt/program . \
 && python -m compileall -q --invalidation-mode unchecked-hash /opt/program
RUN cp -a /opt/program/. /opt/exr-inspector/ && pip --python /opt/exr-inspector/bin/python check
RUN cd / && PATH=/opt/exr-inspector/bin:$PATH \
    python -c "import cloudevents, obstore.store, prometheus_client, vastdb, exr_inspector.serve.server" \
 && /opt/exr-inspector/bin/exr-inspector schema > /dev/null

# ---- The image ----------------------------------------------------------------------------------------------------
FROM python:3.12-slim-bookworm
COPY --from=dependencies /opt/byte-code /usr/local/lib/python3.12
COPY --from=dependencies /opt/exr-inspector /opt/exr-inspector
COPY --from=program /opt/program /opt/exr-inspector
ENV PATH=/opt/exr-inspector/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    EXR_INSPECTOR_HOST=0.0.0.0 \
    EXR_INSPECTOR_SECRETS=/secrets \
    PERSIST_FAILURE=retry
WORKDIR /data
# A number, so that a cluster can see that it is not root.
USER 10001:10001
EXPOSE 8080
HEALTHCHECK --interval=30s --timeout=5s --start-period=20s --retries=3 \
    CMD ["python", "-c", "import http.client, os, sys; get = os.environ.get; port = int(get('EXR_INSPECTOR_PORT') or get('PORT') or 8080); at = http.client.HTTPConnection('127.0.0.1', port, timeout=4); at.request('GET', '/liveness'); sys.exit(at.getresponse().status >= 300)"]
ENTRYPOINT ["exr-inspector"]
CMD ["serve"]
