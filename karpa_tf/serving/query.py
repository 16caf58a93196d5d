"""The query program: requests to a server or to a loaded SavedModel, from images, texts or seeds."""

import sys
from pathlib import Path

from karpa_tf.errors import UserError
from karpa_tf.serving import answers, questions
from karpa_tf.serving.client import RestClient, Spec
from karpa_tf.system.console import hide_tensorflow_messages, warn


def query(config):
    """Asks and prints the answers.

    Returns:
        A list of dicts of outputs, arrays by name, one for each request; with --load the `Load`.
    """
    _check(config)

    if config.out:
        answers.check_out(config.out)
    items, asked = _items(config)
    client = _client(config)
    spec = Spec(config.model or _only_model(config, client), config.version, config.label)
    signatures = client.signatures(spec)
    name, given, way = questions.choose(signatures, config.signature, asked)
    signature = signatures[name]
    groups = questions.in_requests(items) if asked == questions.IMAGES else questions.in_rows(items)

    results = []
    for group in groups:
        inputs = {given: questions.select_inputs(group, way, signature.inputs[given])}
        if config.load:
            return _measure(config, client, spec, name, signature, inputs, len(group))
        answer = client.ask(spec, name, signature, inputs)
        results.append(answer)
        if config.json:
            print(answer.raw().rstrip())
        else:
            answers.show(group, answer.outputs, config.top)
    outputs = [answer.outputs for answer in results]
    if config.out:
        print(answers.save(config.out, items, outputs, [answer.raw for answer in results]))
    return outputs


def _check(config):
    if sum(address is not None for address in (config.server, config.grpc, config.saved_model)) > 1:
        raise UserError("Name one of --server URL, --grpc HOST:PORT and --saved-model DIR.")
    if (bool(config.images) + (config.text is not None) + (config.seed is not None)) != 1:
        raise UserError("Ask about one of: images, --text TEXT, --seed NUMBER.")
    if config.version is not None and config.label is not None:
        raise UserError("Name one of --version and --label.")
    if config.label is not None and config.saved_model is not None:
        raise UserError("--label is known to servers only; name a --version.")


def _items(config):
    """Returns what is asked about, a list of images, texts or seeds, and which of the three it is."""
    if config.text is not None:
        return [config.text], questions.TEXTS
    if config.seed is not None:
        if not -(2**63) <= config.seed < 2**63 - config.n:
            raise UserError(f"--seed must be an integer of 64 bits; received {config.seed}.")
        return list(range(config.seed, config.seed + config.n)), questions.SEEDS
    images = []
    for file in questions.find_image_files(config.images):
        try:
            images.append(questions.read_image(file))
        except UserError as error:
            warn(str(error))
    if not images:
        raise UserError("None of the images can be read.")
    return images, questions.IMAGES


def _client(config):
    if config.saved_model is not None:
        from karpa_tf.serving.local_client import LocalClient, find_version

        folder = find_version(config.saved_model, config.version)
        hide_tensorflow_messages()
        return LocalClient(folder)
    if config.grpc is not None:
        from karpa_tf.serving.grpc_client import GrpcClient

        return GrpcClient(config.grpc, config.timeout)
    return RestClient(config.server or "http://127.0.0.1:8501", config.timeout)


def _only_model(config, client):
    if config.saved_model is not None:
        return Path(config.saved_model).name
    models = client.models()
    if models is None:
        raise UserError("Name the model with --model; the server does not tell which ones it has.")
    if len(models) != 1:
        raise UserError(f"Name the model with --model; the server has {', '.join(models) or 'none'}.")
    return models[0]


def _measure(config, client, spec, name, signature, inputs, rows):
    from karpa_tf.serving import load

    client.ask(spec, name, signature, inputs)  # What is wrong with the request is said before anything is measured.
    if config.saved_model is not None:
        asked = f"{config.saved_model} in this process"
        measured = load.measure_function(lambda: client.run(name, inputs), config.clients, config.load)
    else:
        kind, asked = ("grpc", config.grpc) if config.grpc is not None else ("rest", client.url)
        path, body = client.request(spec, name, inputs)
        measured = load.measure_server(kind, asked, path, body, config.clients, config.load, config.timeout)
    errors = sum(measured.errors.values())
    print(f"{asked}, {spec.name}, signature {name}, {rows} in a request, {config.clients} clients:")
    print(f"{len(measured.latencies)} requests in {measured.seconds:.1f} s, {errors} errors")
    if measured.latencies:
        times = "  ".join(f"p{p} {1000 * measured.percentile(p / 100):.2f} ms" for p in (50, 90, 99))
        print(f"{measured.per_second:.1f} requests/s  {times}")
    for text, count in sorted(measured.errors.items(), key=lambda entry: -entry[1]):
        print(f"{count} times: {text}", file=sys.stderr)
    return measured
