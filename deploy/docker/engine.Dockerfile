# The engine with its trained model: code and model are one image, so that they always fit. From the project's root:
#   docker build -f deploy/docker/engine.Dockerfile -t hotline-engine:local .
FROM python:3.10.16-slim-bookworm AS build
RUN apt-get update && apt-get install -y --no-install-recommends build-essential && pip install --no-cache-dir uv==0.13.9
WORKDIR /opt/hotline
COPY pyproject.toml uv.lock ./
RUN UV_PROJECT_ENVIRONMENT=.venv-engine UV_LINK_MODE=copy \
    uv sync --frozen --compile-bytecode --only-group engine --python /usr/local/bin/python
COPY config.yml endpoints.yml credentials.yml ./
COPY bot/__init__.py bot/__init__.py
COPY bot/engine/ bot/engine/
COPY bot/domain/ bot/domain/
COPY nlu_data/ nlu_data/
RUN ln -s bot/domain domain.yml && ln -s nlu_data data && python -m compileall -q bot \
 && RASA_TELEMETRY_ENABLED=false TF_CPP_MIN_LOG_LEVEL=3 CUDA_VISIBLE_DEVICES= HOTLINE_ENGINE_TOKEN=- HOTLINE_ACTIONS_URL=- \
    .venv-engine/bin/rasa train --skip-validation --out models --fixed-model-name current

FROM python:3.10.16-slim-bookworm
RUN apt-get update \
 && apt-get install -y --no-install-recommends libgomp1 \
 && rm -rf /var/lib/apt/lists/* \
 && groupadd --gid 10002 hotline-engine \
 && useradd --uid 10002 --gid 10002 --no-create-home --shell /usr/sbin/nologin hotline-engine
COPY --from=build /opt/hotline /opt/hotline
WORKDIR /opt/hotline
ENV RASA_TELEMETRY_ENABLED=false TF_CPP_MIN_LOG_LEVEL=3 SQLALCHEMY_SILENCE_UBER_WARNING=1 PYTHONWARNINGS=ignore \
    CUDA_VISIBLE_DEVICES= OMP_NUM_THREADS=1 TF_NUM_INTRAOP_THREADS=1 TF_NUM_INTEROP_THREADS=1 PYTHONUNBUFFERED=1
USER 10002:10002
CMD ["/opt/hotline/.venv-engine/bin/python", "-m", "bot.engine.serve", "run", "--model", "/opt/hotline/models/current.tar.gz", "--interface", "127.0.0.1", "--port", "5005", "--endpoints", "bot/engine/server/endpoints.yml", "--credentials", "bot/engine/server/credentials.yml"]
