"""TF Serving's messages for programs that only ask: without the seconds that it takes to import TensorFlow."""

import contextlib
import importlib.util
import sys
import types

from karpa_tf.errors import UserError


@contextlib.contextmanager
def without_tensorflow():
    """Lets `tensorflow.core...` and `tensorflow_serving...` be imported while TensorFlow itself is not. Use `with`.

    The messages are modules of TensorFlow's package, whose import takes 4 s. An empty module replaces the package
    meanwhile. If TensorFlow has been imported already, nothing is done.

    Raises:
        UserError: grpcio or tensorflow-serving-api is not installed.
    """
    found = importlib.util.find_spec("tensorflow") if "tensorflow" not in sys.modules else None
    if found:
        sys.modules["tensorflow"] = types.ModuleType("tensorflow")
        sys.modules["tensorflow"].__path__ = list(found.submodule_search_locations)
    try:
        yield
    except ModuleNotFoundError as error:
        raise UserError(f"gRPC needs the package {error.name}; pip install 'karpa_tf[serve]' brings it.") from error
    finally:
        if found:
            # The messages stay, for they can be defined but once; the packages around them give way to the real ones.
            for name in [name for name in sys.modules if name.split(".")[0] == "tensorflow" and "_pb2" not in name]:
                del sys.modules[name]
