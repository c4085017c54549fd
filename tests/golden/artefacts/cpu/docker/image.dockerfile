# rewritten by: python -m pytest --update-golden
# written by rlc emit: rlc with what target cpu needs. In a checkout of rlc:
#   docker build --file Dockerfile --tag rlc-cpu CHECKOUT
# An index with torch for processors alone makes it smaller: --build-arg PIP_EXTRA_INDEX_URL=...
ARG BASE_IMAGE=python:3.11.14-slim-bookworm
FROM ${BASE_IMAGE}

ARG PIP_INDEX_URL
ARG PIP_EXTRA_INDEX_URL
WORKDIR /srv/rlc
COPY . .
RUN python -m pip install --no-cache-dir --constraint constraints/cpu.txt '.[cpu]'

RUN groupadd --gid 10001 rlc && useradd --no-log-init --uid 10001 --gid 10001 --create-home --home-dir /srv/home rlc
USER 10001:10001
WORKDIR /srv/home
ENTRYPOINT []
CMD ["rlc", "--help"]
