"""TF Serving's messages for programs that only ask: without the seconds that it takes to import TensorFlow."""

import contextlib
import importlib.util
import sys
import types

from karpa_tf.errors import UserError


@contextlib.contextmanager
def without_tensorflow():
    """Lets `tensorflow.core...` and `tensorflow_serving...` be imported while TensorFlow itself is not. Use `with`.

    The messages lie in TensorFlow's package, and the import of any of its modules begins with that of the whole (4 s).
    Meanwhile an empty module of its name stands in its place. Where TensorFlow has been imported, nothing is done.

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
