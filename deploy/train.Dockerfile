# An image of the programs, for training on one machine or as the worker of a cluster. From the repository's root:
#
#   docker build -f deploy/train.Dockerfile -t karpa-tf-train:0.1 .
#   docker build -f deploy/train.Dockerfile -t karpa-tf-train:0.1-gpu --build-arg EXTRAS=gpu .
#
# What it needs of the network it needs now, for pip; `docker run --network none` trains.

# The Python that constraints.txt was tested with. Every dependency but one (promise, pure Python) is a wheel, so that
# no compiler is installed.
FROM python:3.11-slim

# Extras of pyproject.toml, separated by commas: nothing for a CPU; gpu brings CUDA's libraries, several gigabytes. The
# driver is the host's: `docker run --gpus all`, or the device plugin of a cluster.
ARG EXTRAS=""

# Lines appear in the log when they are printed. The environment that pip writes to is the image itself.
ENV PYTHONUNBUFFERED=1 PIP_ROOT_USER_ACTION=ignore PIP_DISABLE_PIP_VERSION_CHECK=1

WORKDIR /opt/karpa_tf

# Dependencies first, in the tested versions, with empty packages in place of ours: a changed program then does not
# install TensorFlow again. Of the empty ones nothing may stay: setuptools takes what lies in build/ if it is newer.
COPY pyproject.toml constraints.txt README.md LICENSE ./
RUN mkdir karpa_tf apps && touch karpa_tf/__init__.py apps/__init__.py \
    && pip install --no-cache-dir -c constraints.txt ".${EXTRAS:+[$EXTRAS]}" \
    && pip uninstall --yes karpa_tf \
    && rm -rf karpa_tf apps build *.egg-info

# Then the programs, alone.
COPY karpa_tf karpa_tf
COPY apps apps
RUN pip install --no-cache-dir --no-deps .

# A normal user, by number, since Kubernetes cannot tell from a name that it is not root. The folders are made and given
# to that user first: a new named volume takes its owner from them.
RUN useradd --uid 1000 --create-home karpa \
    && install --directory --owner karpa --group karpa /home/karpa/data /home/karpa/runs /home/karpa/saved_models
USER 1000:1000

# The programs' own defaults, `runs` and `saved_models`, are relative to here.
WORKDIR /home/karpa

# What outlives the container: data in (`--data`, `--data-dir`), runs and SavedModels out.
VOLUME ["/home/karpa/data", "/home/karpa/runs", "/home/karpa/saved_models"]

# The programs take it as "save within a step and end with code 75". It is Docker's default, and stays so here if that
# of a base image changes. Give them time: `docker run --stop-timeout 120`.
STOPSIGNAL SIGTERM

# docker run IMAGE apps.train_gan mnist --data-dir data
ENTRYPOINT ["python", "-m"]
CMD ["apps.train_classifier", "--help"]
