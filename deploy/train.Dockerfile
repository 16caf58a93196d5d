# Image of the programs, for training on one machine or as a worker of a cluster. From the root of the repository:
#
#   docker build -f deploy/train.Dockerfile -t karpa-tf-train:0.1 .
#   docker build -f deploy/train.Dockerfile -t karpa-tf-train:0.1-gpu --build-arg EXTRAS=gpu .
#
# Only the build needs a network, for pip; `docker run --network none` trains.

# The Python version of constraints.txt. All dependencies but one (promise, pure Python) are wheels: no compiler needed.
FROM python:3.11-slim

# Extras of pyproject.toml, separated by commas: none for CPUs; gpu adds CUDA's libraries, several gigabytes. The driver
# is the host's: `docker run --gpus all`, or the device plugin of a cluster.
ARG EXTRAS=""

# Unbuffered output for logs; pip installs into the image as root.
ENV PYTHONUNBUFFERED=1 PIP_ROOT_USER_ACTION=ignore PIP_DISABLE_PIP_VERSION_CHECK=1

WORKDIR /opt/karpa_tf

# Dependencies first, in the tested versions and with empty packages instead of ours, so that a change of the code does
# not reinstall TensorFlow. The empty packages are removed: setuptools would reuse newer files in build/.
COPY pyproject.toml constraints.txt README.md LICENSE ./
RUN mkdir karpa_tf apps && touch karpa_tf/__init__.py apps/__init__.py \
    && pip install --no-cache-dir -c constraints.txt ".${EXTRAS:+[$EXTRAS]}" \
    && pip uninstall --yes karpa_tf \
    && rm -rf karpa_tf apps build *.egg-info

# Then the code, without dependencies.
COPY karpa_tf karpa_tf
COPY apps apps
RUN pip install --no-cache-dir --no-deps .

# A normal user, by number, since Kubernetes cannot tell from a name that it is not root. The folders are created first
# because a new named volume inherits their owner.
RUN useradd --uid 1000 --create-home karpa \
    && install --directory --owner karpa --group karpa /home/karpa/data /home/karpa/runs /home/karpa/saved_models
USER 1000:1000

# The programs' default folders, `runs` and `saved_models`, are relative to this folder.
WORKDIR /home/karpa

# Persistent folders: data (`--data`, `--data-dir`), runs and SavedModels.
VOLUME ["/home/karpa/data", "/home/karpa/runs", "/home/karpa/saved_models"]

# On SIGTERM the programs save within a step and exit with code 75. Set explicitly in case a base image changes it.
# Allow time for saving: `docker run --stop-timeout 120`.
STOPSIGNAL SIGTERM

# docker run IMAGE apps.train_gan mnist --data-dir data
ENTRYPOINT ["python", "-m"]
CMD ["apps.train_classifier", "--help"]
