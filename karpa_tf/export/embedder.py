"""SavedModels that embed a text."""

from karpa_tf.export.versions import Call, Export

FACTORS = "factors"
"""In the details of the model card: those of `metrics.retrieval.fit_factors`, for similarities and BM25."""


def make_embedder_export(model, inputs, texts=None, factors=None, *, task):
    """Returns the `Export` of a model from `make_embedder`.

    Its only signature, serving_default, takes `text`, string (batch,), truncated, and returns `embedding`, float32
    (batch, hidden_dim), of unit length: the product of two of them is their similarity, in [-1, 1].

    Args:
        model: the model.
        inputs: its `TextInputs`.
        texts: examples of real data, a list of strings, or None.
        factors: those of similarities and of BM25 for searching by both, two floats, or None.
        task: name of the task, for the model card.
    """
    functions, from_ids = make_embedder_functions(model, inputs)
    dimensions = model.output_shape[-1]
    return Export(
        task=task,
        form="embedding",
        functions=functions,
        convertible=from_ids,
        files=inputs.files(),
        details=inputs.details(texts) | {"dimensions": dimensions} | ({FACTORS: list(factors)} if factors else {}),
        about=f"This model maps a text to {dimensions} numbers, which are alike for texts that belong together.",
        limits=(
            f"The texts are truncated to {inputs.max_tokens - 2:,} tokens.",
            "Embeddings of different models, or of different versions of this one, cannot be compared.",
            "How well it finds texts unlike those of its data set was not measured.",
        ),
        calls={
            "serving_default": Call(
                "The sum of the products of two rows of `embedding` is their similarity, at most 1.",
                *inputs.format_call(texts),
            )
        },
        **inputs.describe(texts),
    )


def make_embedder_functions(model, inputs):
    """Returns the functions of the signatures by name, and a function of token ids, as for text classifiers."""

    def compute(token_ids, padding_mask):
        return {"embedding": model({"token_ids": token_ids, "padding_mask": padding_mask}, training=False)}

    return {"serving_default": inputs.make_function(compute)}, inputs.make_function_of_ids(compute)
