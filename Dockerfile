# Aerial in a container: one image for both services. Alone it runs the pair; compose.yaml runs one service per container.
#   docker build -t aerial . && docker run -p 8080:8080 -p 8081:8081 -v aerial:/data aerial
FROM python:3.13-slim-bookworm

# ffprobe looks at channels; the rest of the image is Python.
RUN apt-get update \
    && apt-get install -y --no-install-recommends ffmpeg \
    && rm -rf /var/lib/apt/lists/*

# A user without rights; its number is fixed so that a mounted directory can be given to it: chown 10001:10001.
RUN useradd --system --user-group --uid 10001 --home-dir /data --no-create-home --shell /usr/sbin/nologin aerial \
    && install -d -o aerial -g aerial -m 750 /data

WORKDIR /opt/aerial
# Libraries first: they change less often than the programs, and this layer is kept between builds.
COPY requirements.txt constraints.txt ./
RUN pip install --no-cache-dir --disable-pip-version-check --root-user-action=ignore \
        -r requirements.txt -c constraints.txt

COPY tvkit ./tvkit
COPY servicekit ./servicekit
COPY epg_service ./epg_service
COPY stream_service ./stream_service
COPY pair ./pair
COPY config.yaml /etc/aerial/config.yaml
# The programs belong to root and are compiled once: the user cannot change them.
RUN python -m compileall -q tvkit servicekit epg_service stream_service pair

ENV AERIAL_DATA_DIR=/data \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1
USER aerial
VOLUME /data
EXPOSE 8080 8081

# Alive, not ready: a service that waits for its first guide must not be restarted for that. compose.yaml asks one each.
HEALTHCHECK --interval=30s --timeout=12s --start-period=60s --retries=3 \
    CMD ["python", "-m", "pair.alive", "http://127.0.0.1:8080/live", "http://127.0.0.1:8081/live"]

# No tini in front: process 1 is our own supervisor, which passes SIGTERM on, waits for its children and kills what
# does not end. `docker stop` waits 10 s, which is longer than it takes.
STOPSIGNAL SIGTERM
CMD ["python", "-m", "pair", "run", "/etc/aerial/config.yaml"]
