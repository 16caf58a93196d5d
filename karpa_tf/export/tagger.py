"""SavedModels that mark spans of texts, with a signature for text."""

import tensorflow as tf

from karpa_tf.data.text.tags import find_spans
from karpa_tf.data.text.vocabulary import PAD
from karpa_tf.export.compatibility import LABELS, format_lines
from karpa_tf.export.versions import Call, Export


def make_tagger_export(model, inputs, classes, texts=None, *, task):
    """Returns the `Export` of a tagger.

    Its only signature, serving_default, takes `text`, string (batch,), truncated, and returns the spans of each text in
    order, (batch, spans): `starts` and `ends`, int32, indices of characters (code points; bytes that are not UTF-8
    count as one each), `byte_starts` and `byte_ends`, int32, indices of bytes, `types`, string, and `scores`, float32,
    the mean probability of the tags of the words. Texts with fewer spans than others are padded with -1, "" and 0.

    Args:
        model: model from `make_tagger`.
        inputs: its `TextInputs`.
        classes: names of the types of spans in the order of the tags.
        texts: examples of real data, or None.
        task: name of the task, for the model card.
    """
    functions, from_ids = make_tagger_functions(model, inputs, classes)
    described = inputs.describe(texts)
    rows = described["examples"]["serving_default"][0]["text"]
    token_ids, _, positions, _, _ = inputs.tokenizer.pack_words(tf.constant(rows), inputs.max_tokens)
    request = {"token_ids": token_ids.numpy(), "word_positions": positions.to_tensor().numpy()}
    described["convertible_examples"] = [request, {name: array[:1] for name, array in request.items()}]
    return Export(
        task=task,
        form="spans",
        functions=functions,
        convertible=from_ids,
        files={LABELS: format_lines(classes)} | inputs.files(),
        details={"classes": list(classes)} | inputs.details(texts),
        about=f"This model marks spans of {len(classes)} types in texts: {', '.join(classes[:12])}.",
        limits=(
            f"It knows its {len(classes)} types only, and spans of whole words that do not overlap.",
            f"Texts are truncated to {inputs.max_tokens - 2:,} tokens.",
            "How many spans it finds in texts unlike those of its data set was not measured.",
        ),
        calls={
            "serving_default": Call(
                "The spans of each text in order: `starts` and `ends` count characters, `byte_starts` and `byte_ends` "
                'bytes; texts with fewer spans than others are padded with -1, "" and 0. `scores` are mean '
                "probabilities of the tags of words.",
                *inputs.format_call(texts),
            )
        },
        **described,
    )


def make_tagger_functions(model, inputs, classes):
    """Returns the functions of the signatures by name, and a function of token ids.

    For the signatures see `make_tagger_export`. The function of token ids is for formats without strings: it maps
    `token_ids`, int32 (batch, length), 0 is padding, and `word_positions`, int32 (batch, words), the index of the first
    token of every word, to `scores`, float32 (batch, words, tags), the probabilities of each tag by itself.
    """
    tokenizer = inputs.tokenizer
    names = tf.constant(list(classes))

    def compute_logits(token_ids, word_positions):
        padding_mask = token_ids != tokenizer.special[PAD]
        inputs = {"token_ids": token_ids, "padding_mask": padding_mask, "word_positions": word_positions}
        return tf.cast(model(inputs, training=False), tf.float32)

    @tf.function(autograph=False, input_signature=[tf.TensorSpec((None,), tf.string, name="text")])
    def from_text(text):
        token_ids, _, positions, word_starts, word_ends = tokenizer.pack_words(text, inputs.max_tokens)
        logits = compute_logits(token_ids, positions.to_tensor())
        starts, ends, types, scores = find_spans(logits, word_starts, word_ends)
        _, offsets = tf.strings.unicode_decode_with_offsets(text, "UTF-8", replace_control_characters=False)
        sizes = tf.expand_dims(tf.strings.length(text), 1)
        offsets = tf.concat([tf.cast(offsets, tf.int32), sizes], axis=1)  # bytes before each character
        outputs = {
            "starts": starts,
            "ends": ends,
            "byte_starts": tf.gather(offsets, starts, batch_dims=1),
            "byte_ends": tf.gather(offsets, ends, batch_dims=1),
            "types": tf.ragged.map_flat_values(lambda index: tf.gather(names, index), types),
            "scores": scores,
        }
        return {name: value.to_tensor(_PADDING.get(name, -1)) for name, value in outputs.items()}

    @tf.function(
        autograph=False,
        input_signature=[
            tf.TensorSpec((None, None), tf.int32, name="token_ids"),
            tf.TensorSpec((None, None), tf.int32, name="word_positions"),
        ],
    )
    def from_ids(token_ids, word_positions):
        return {"scores": tf.nn.softmax(compute_logits(token_ids, word_positions))}

    return {"serving_default": from_text}, from_ids


_PADDING = {"types": "", "scores": 0.0}
