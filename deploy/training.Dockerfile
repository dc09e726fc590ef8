# Two images of the same sources and pinned versions, built from the root of the repository:
#
#   docker build -f deploy/training.Dockerfile --target registry -t dragoman-registry:TAG .
#   docker build -f deploy/training.Dockerfile --target training -t dragoman-training:TAG .
#
# registry, without torch: `docker run dragoman-registry:TAG follow NAME@champion --into /models`, every other command of
# `python -m model_registry`, and `--entrypoint mlflow` for an MLflow server on PostgreSQL and S3.
# training: `docker run dragoman-training:TAG train data=phrasebook`, `… tune search=phrasebook`, `… model_registry …`.
# It has torch for the CPU; with PyPI's torch and its CUDA libraries: --build-arg TORCH_INDEX=
ARG BASE=docker.io/library/python:3.11-slim

FROM ${BASE} AS sources
WORKDIR /app
COPY . .
RUN python -m compileall -q --invalidation-mode unchecked-hash /app \
    && mkdir /models /runs \
    && chmod -R a+rX /app

FROM sources AS registry-packages
# Read by pip; of this stage alone.
ARG PIP_INDEX_URL
ARG PIP_EXTRA_INDEX_URL
# Some packages carry files for other Pythons, which do not compile.
# hadolint ignore=DL3013 -- constraints.txt pins every version
RUN python -m venv --without-pip /opt/venv \
    && python -m pip --python /opt/venv/bin/python install --no-cache-dir --no-compile --constraint constraints.txt \
       '.[registry,s3]' \
    && { python -m compileall -qq -j 0 --invalidation-mode unchecked-hash /opt/venv/lib || true; }

FROM sources AS training-packages
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu
ARG PIP_INDEX_URL
ARG PIP_EXTRA_INDEX_URL
# Of torch, what is for building and testing torch itself stays out.
# hadolint ignore=DL3013 -- constraints.txt pins every version
RUN python -m venv --without-pip /opt/venv \
    && python -m pip --python /opt/venv/bin/python install --no-cache-dir --no-compile --constraint constraints.txt \
       ${TORCH_INDEX:+--extra-index-url "$TORCH_INDEX"} '.[train,tune,registry]' \
    && TORCH=/opt/venv/lib/python3.11/site-packages/torch \
    && rm -rf "$TORCH/test" "$TORCH/include" "$TORCH/share" \
    && find "$TORCH/bin" -type f ! -name torch_shm_manager -delete \
    && { python -m compileall -qq -j 0 --invalidation-mode unchecked-hash /opt/venv/lib || true; }

# Nothing runs in the stages below, so nothing that a build leaves behind can be in them.
FROM ${BASE} AS final
# Whatever is written goes to /tmp, which is to be a tmpfs, or to a volume. Libraries that ask for the user's name look
# at USER, for the number has none.
ENV PATH=/opt/venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    HOME=/tmp \
    USER=dragoman \
    MLFLOW_DISABLE_TELEMETRY=true \
    GIT_PYTHON_REFRESH=quiet
WORKDIR /app
USER 10001:10001
STOPSIGNAL SIGTERM

FROM final AS registry
COPY --from=registry-packages /opt/venv /opt/venv
COPY --from=sources /app /app
# A new volume takes its owner from what is there first.
COPY --from=sources --chown=10001:10001 /models /models
ENTRYPOINT ["python", "-m", "model_registry"]
CMD ["--help"]

FROM final AS training
COPY --from=training-packages /opt/venv /opt/venv
COPY --from=sources /app /app
COPY --from=sources --chown=10001:10001 /runs /app/runs
ENTRYPOINT ["python", "-m"]
CMD ["train", "--help"]
