# One image for every role. It brings its own packages from the hash-pinned locks, and runs as an ordinary user.
FROM python:3.11-slim AS build
WORKDIR /build
RUN python -m venv /opt/ledger
COPY requirements/build.lock requirements/runtime.lock requirements/
RUN /opt/ledger/bin/pip install --no-cache-dir --require-hashes --no-deps -r requirements/build.lock \
    && /opt/ledger/bin/pip install --no-cache-dir --require-hashes --no-deps --no-build-isolation -r requirements/runtime.lock
COPY pyproject.toml README.md LICENSE ./
COPY domain domain
COPY projections projections
COPY infrastructure infrastructure
RUN /opt/ledger/bin/pip install --no-cache-dir --no-deps --no-build-isolation .

FROM python:3.11-slim
RUN useradd --system --uid 10001 --create-home ledger && install -d -o ledger -g ledger -m 0755 /data /node /node-1 /node-2 /witness
COPY --from=build /opt/ledger /opt/ledger
ENV PATH=/opt/ledger/bin:$PATH PYTHONUNBUFFERED=1 LEDGER_DATA_DIR=/data
USER ledger
WORKDIR /home/ledger
VOLUME ["/data"]
STOPSIGNAL SIGTERM
ENTRYPOINT ["enclave-ledger"]
CMD ["serve"]
