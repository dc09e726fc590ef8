# A small image of one Bento, for the CPU, without torch. The folder it is built from is laid out, and this command
# printed and run, by: python -m deploy.images BUNDLE
#
#   docker build -f deploy/bento.Dockerfile -t dragoman-bento:VERSION dist/images/NAME-VERSION
#
# For a GPU, with torch and the CUDA 13 libraries that PyPI's build of it brings, and cuBLAS 12 for the int8 engine:
#   --build-arg EXTRA_PACKAGES="torch safetensors nvidia-cublas-cu12==12.9.1.4" --build-arg TORCH_INDEX=
# To serve signed bundles only (DRAGOMAN_PUBLIC_KEY): --build-arg EXTRA_PACKAGES="model-signing pyopenssl"
ARG BASE=docker.io/library/python:3.11-slim

FROM ${BASE} AS build
ARG EXTRA_PACKAGES=""
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu
# Read by pip; of this stage alone.
ARG PIP_INDEX_URL
ARG PIP_EXTRA_INDEX_URL
WORKDIR /build
COPY constraints.txt bento/env/python/requirements.txt ./
# Not into the base's own Python: so the environment can be copied whole, and holds no pip.
# hadolint ignore=DL3013,SC2086 -- constraints.txt pins every version; EXTRA_PACKAGES is a list of words
RUN python -m venv --without-pip /opt/venv \
    && python -m pip --python /opt/venv/bin/python install --no-cache-dir --no-compile \
       ${TORCH_INDEX:+--extra-index-url "$TORCH_INDEX"} \
       --constraint constraints.txt --requirement requirements.txt $EXTRA_PACKAGES
COPY bento /opt/bento
# The root file system is read-only at run time, so all bytecode has to be there; never checked against the sources,
# whose times a registry may change. Some packages carry files for other Pythons, which do not compile.
RUN { python -m compileall -qq -j 0 --invalidation-mode unchecked-hash /opt/venv/lib || true; } \
    && python -m compileall -q --invalidation-mode unchecked-hash /opt/bento/src \
    && chmod -R a+rX /opt/venv /opt/bento

# Nothing runs in this stage, so nothing that a build leaves behind can be in it.
FROM ${BASE}
COPY --from=build /opt/venv /opt/venv
COPY --from=build /opt/bento /opt/bento
# Whatever is written goes to /tmp, which is to be a tmpfs.
ENV PATH=/opt/venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    HOME=/tmp \
    BENTOML_HOME=/tmp \
    BENTOML_HOST=0.0.0.0 \
    BENTOML_PORT=3000 \
    BENTOML_DO_NOT_TRACK=true \
    OMP_NUM_THREADS=1 \
    LD_LIBRARY_PATH=/opt/venv/lib/python3.11/site-packages/nvidia/cublas/lib
WORKDIR /opt/bento
USER 10001:10001
EXPOSE 3000
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s \
    CMD ["python", "-c", "import http.client as h, os, sys; c = h.HTTPConnection('127.0.0.1', int(os.environ['BENTOML_PORT']), timeout=4); c.request('GET', '/readyz'); sys.exit(c.getresponse().status != 200)"]
STOPSIGNAL SIGTERM
# One process, which gets the signals itself: it finishes the requests in hand and ends with 0.
ENTRYPOINT ["python", "-m", "bentoml", "serve", "/opt/bento"]
