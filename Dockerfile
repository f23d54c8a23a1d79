# The pipeline alone: API, worker, dashboard and the one-shot that makes topics and indexes. The harness stays outside.
FROM python:3.13.9-slim-bookworm AS packages
COPY requirements/pipeline.txt ./
# Wheels only: no compiler, and nothing runs while it is installed. The lock's hashes are checked.
RUN python -m venv --without-pip /venv \
    && pip --python /venv/bin/python install --no-cache-dir --require-hashes --only-binary :all: -r pipeline.txt
# Of plotly the dashboard serves plotly.min.js; nothing imports the rest: 60 MB.
RUN cd /venv/lib/python3.13/site-packages \
    && rm -rf narwhals ../../../share/jupyter && cd plotly \
    && rm -rf express figure_factory graph_objs labextension matplotlylib validators \
    && rm -rf package_data/datasets package_data/widgetbundle.js

FROM python:3.13.9-slim-bookworm
RUN useradd --system --uid 10001 --no-create-home --home-dir /nonexistent tidemark
COPY --from=packages /venv /venv
WORKDIR /app
COPY pipeline pipeline
ENV PATH=/venv/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    PIPELINE_API_HOST=0.0.0.0
USER 10001
EXPOSE 8000 8010
# One image, several roles: what every role needs is that Kafka and MongoDB answer.
HEALTHCHECK --interval=30s --timeout=20s --start-period=30s --retries=3 CMD ["python", "-m", "pipeline", "check", "--no-api"]
ENTRYPOINT ["python", "-m", "pipeline"]
CMD ["api"]
