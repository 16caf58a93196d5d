"""Serves exported models over TF Serving's REST and gRPC interfaces: for a laptop, for tests, where Docker is absent.

$ python -m apps.serve --model_base_path saved_models
$ python -m apps.serve --model_base_path saved_models/cifar10 --model_name images --rest_api_port 9000
$ python -m apps.serve --model_config_file models.config

Then http://localhost:8501 is a page to try the models in, and:

$ curl -d '{"instances": [1, 2]}' localhost:8501/v1/models/mnist:predict

The flags of TF Serving's tensorflow_model_server are accepted; one line names those that have no effect here. In
production, run that one (deploy/): it is faster, batches requests, and knows TLS. A SavedModel is a program; serve only
those that you trust. The server has no passwords, so it listens on this machine alone unless --host says otherwise.
"""

import sys

from karpa_tf import cli
from karpa_tf.configs.serving import ServingConfig


def run(config):
    """Serves until a signal comes."""
    from karpa_tf.serving.serve import serve

    serve(config)


def main():
    from karpa_tf.configs import serving_flags

    with cli.handle_errors():
        run(cli.parse(ServingConfig(), __doc__, args=serving_flags.read(sys.argv[1:])))


if __name__ == "__main__":
    main()
