# rewritten by: python -m pytest --update-golden
# written by rlc emit: rlc in the image of an engine, for target rocm. In a checkout of rlc:
#   docker build --file Dockerfile --tag rlc-rocm CHECKOUT
ARG BASE_IMAGE=lmsysorg/sglang:v0.5.23-rocm720-mi30x
FROM ${BASE_IMAGE}

SHELL ["/bin/bash", "-o", "pipefail", "-c"]
ARG PIP_INDEX_URL
ARG PIP_EXTRA_INDEX_URL
ENV PIP_BREAK_SYSTEM_PACKAGES=1
WORKDIR /srv/rlc
COPY . .
# Every package of the image keeps its version, and constraints/cpu.txt decides those that it lacks.
RUN python3 -m pip list --format=freeze >held.txt \
    && awk -F== '{ name = tolower($1); gsub(/[-_.]+/, "-", name) } /^#/ || name in held { next } { print; held[name] }' \
    held.txt constraints/cpu.txt >constraints.txt
RUN python3 -m pip install --no-cache-dir --constraint constraints.txt \
    . \
    'ray[default]==2.60.0' \
    megatron-core==0.16.1 \
    transformers \
    tokenizers \
    safetensors \
    math-verify \
    httpx2 \
    starlette \
    uvicorn \
    tensorboard \
    pyarrow \
    datasets

RUN groupadd --gid 10001 rlc && useradd --no-log-init --uid 10001 --gid 10001 --create-home --home-dir /srv/home rlc
USER 10001:10001
WORKDIR /srv/home
ENTRYPOINT []
CMD ["rlc", "--help"]
