# Written by mlmesh: the folder has no Dockerfile.
FROM python:3.13-slim
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_INPUT=1 PIP_PROGRESS_BAR=off PIP_ROOT_USER_ACTION=ignore
WORKDIR /app
RUN --mount=type=cache,target=/root/.cache/pip python3 -m pip install 'numpy>=2' httpx
COPY . .
RUN --mount=type=cache,target=/root/.cache/pip python3 -m pip install --no-deps .
ENV HOME=/tmp PYTHONUNBUFFERED=1
USER 10001
