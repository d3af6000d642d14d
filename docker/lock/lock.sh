#!/bin/sh
# Resolve what the images install again, at the versions of .lock (needs uv): docker/lock/lock.sh
set -eu
cd "$(dirname "$0")/../.."
compile() {
    uv pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
        --no-emit-find-links --no-header --quiet --constraint .lock/dev.txt "$@"
}
compile pyproject.toml --extra server --extra otel --extra onnxruntime --extra openvino \
    --constraint .lock/extras.txt --output-file docker/lock/cpu.txt
compile pyproject.toml --extra server --extra otel --extra gpu --output-file docker/lock/cuda.txt
sed -n '/^requires = /{s/.*\[//;s/\].*//;s/", *"/\n/g;s/"//g;p}' pyproject.toml \
    | compile - --output-file docker/lock/build.txt
