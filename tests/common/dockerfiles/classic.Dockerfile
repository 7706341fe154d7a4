# Written by mlmesh: the folder has no Dockerfile.
FROM debian:12
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_INPUT=1 PIP_PROGRESS_BAR=off PIP_ROOT_USER_ACTION=ignore
WORKDIR /app
COPY requirements.txt ./
RUN python3 -m pip install --requirement requirements.txt
COPY . .
ENV HOME=/tmp PYTHONUNBUFFERED=1
USER 10001
