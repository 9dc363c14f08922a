# Gateway, desk, migrations, back-up, retention: one image. From the project's root:
#   docker build -f deploy/docker/service.Dockerfile -t hotline-service:local .
FROM python:3.11.11-slim-bookworm AS build
RUN pip install --no-cache-dir uv==0.13.9
WORKDIR /opt/hotline
COPY pyproject.toml uv.lock ./
# Exactly the lock file, hashes checked; bytecode now, because the root will be read-only.
RUN UV_LINK_MODE=copy uv sync --frozen --compile-bytecode --only-group service --python /usr/local/bin/python
COPY bot/ bot/
COPY actions/ actions/
COPY alembic.ini hotline ./
COPY deploy/nginx/ deploy/nginx/
# The widget needs Node only here (bot/widget_build.py).
RUN .venv/bin/python -m bot.widget_build \
 && rm -rf bot/widget/node_modules .uv \
 && python -m compileall -q bot actions

FROM python:3.11.11-slim-bookworm
# pg_dump and pg_restore of the server's version (deploy/compose.yml).
RUN apt-get update \
 && apt-get install -y --no-install-recommends postgresql-client-15 \
 && rm -rf /var/lib/apt/lists/* \
 && groupadd --gid 10001 hotline \
 && useradd --uid 10001 --gid 10001 --no-create-home --shell /usr/sbin/nologin hotline \
 && install -d -o hotline -g hotline -m 700 /var/lib/hotline /var/backups/hotline \
 && install -d -o hotline -g hotline -m 755 /etc/hotline-nginx
COPY --from=build /opt/hotline /opt/hotline
WORKDIR /opt/hotline
ENV HOTLINE_HOME=/var/lib/hotline PYTHONUNBUFFERED=1 NICEGUI_STORAGE_PATH=/tmp/nicegui
USER 10001:10001
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=6 \
  CMD ["/opt/hotline/.venv/bin/python", "-c", "import os, urllib.request; urllib.request.urlopen('http://127.0.0.1:' + os.environ['HOTLINE_PORT'] + '/healthz', timeout=4)"]
CMD ["/opt/hotline/.venv/bin/python", "-m", "bot.channels.serve"]
