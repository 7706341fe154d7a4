#!/bin/sh
# `up`: secrets in .env (once), the image, official or stand-in images of the servers, then the mesh, until it is healthy.
# `down`: stops it; the data stays in its volumes. `socket`: prints the path of the engine's socket.
set -eu
cd "$(dirname "$0")/.."

fail() { printf 'compose: %s\n' "$*" >&2; exit 1; }

compose() {
    if docker compose version >/dev/null 2>&1; then docker compose "$@"
    else docker-compose "$@"; fi
}

random() { python3 -c 'import secrets; print(secrets.token_urlsafe(32))'; }

# The engine's socket on this host; the worker's container gets it.
engine_socket() {
    address=${DOCKER_HOST:-$(docker context inspect --format '{{.Endpoints.docker.Host}}' 2>/dev/null || true)}
    socket=${DOCKER_SOCKET:-${address#unix://}}
    socket=${socket:-/var/run/docker.sock}
    [ -S "$socket" ] || fail "the worker needs the Docker Engine's socket on this host, and $socket is none; name it: DOCKER_SOCKET=/path"
    echo "$socket"
}

write_env() {
    umask 077
    cat >.env <<END
MLMESH_ADMIN_TOKEN=$(random)
MLMESH_INTERNAL_TOKEN=$(random)
MLMESH_SECRET_KEY=$(random)
POSTGRES_PASSWORD=$(random)
RABBITMQ_PASSWORD=$(random)
MINIO_PASSWORD=$(random)
DOCKER_SOCKET=$1
DOCKER_GID=$(stat -L -c %g "$1")
END
}

# Set in the environment or in .env.
chosen() { eval "[ -n \"\${$1:-}\" ]" || grep -q "^$1=." .env; }

present() { docker image inspect "$1" >/dev/null 2>&1; }

# Certificates that this machine trusts in addition are trusted in the build, too.
trust_host() {
    bundle=${PIP_CERT:-${SSL_CERT_FILE:-}}
    if [ -n "$bundle" ]; then cp "$bundle" deploy/ca/host.crt; fi
}

build() {
    trust_host
    docker build --quiet --file deploy/Dockerfile --tag "$1" --build-arg PYTHON_IMAGE="${PYTHON_IMAGE:-python:3.12-slim}" \
        ${PIP_INDEX_URL:+--build-arg PIP_INDEX_URL} ${PIP_EXTRA_INDEX_URL:+--build-arg PIP_EXTRA_INDEX_URL} \
        ${PIP_TRUSTED_HOST:+--build-arg PIP_TRUSTED_HOST} . >/dev/null
}

pull_or_stand_in() {
    if compose pull --quiet --policy missing postgres rabbitmq minio 2>/dev/null; then return; fi
    echo "compose: no image registry can be reached; building stand-ins from Debian's packages" >&2
    exports=$(.venv/bin/python -m tests.servers images)
    eval "$exports"
}

up() {
    docker version >/dev/null 2>&1 || fail "no Docker Engine answers; is it running, and may you use it?"
    docker compose version >/dev/null 2>&1 || command -v docker-compose >/dev/null \
        || fail "the Compose plugin is missing; please install docker-compose-plugin (or put docker-compose on PATH)"
    socket=$(engine_socket)
    [ -f .env ] || write_env "$socket"
    chosen DOCKER_SOCKET || export DOCKER_SOCKET="$socket"
    chosen DOCKER_GID || export DOCKER_GID="$(stat -L -c %g "$socket")"
    pull_or_stand_in
    if [ -z "${MLMESH_IMAGE:-}" ] && ! present mlmesh; then
        echo "compose: building the image mlmesh" >&2
        build mlmesh
    fi
    compose up --detach --wait --wait-timeout 300
    echo "ready http://$(compose port gateway 8000) (the admin token is in .env)"
}

case "${1:-}" in
    up) up ;;
    down) compose down ;;
    build) build "${2:-mlmesh}" ;;
    socket) engine_socket ;;
    *) fail "usage: deploy/compose.sh up|down|build [NAME]|socket" ;;
esac
