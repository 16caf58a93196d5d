"""Pretrained language models of other programs: presets of KerasHub, and folders that are refused."""

import json
from pathlib import Path

import keras_hub
import numpy as np
import pytest
import tensorflow as tf
from published_texts import TEXTS, TOKENS
from safetensors.numpy import save_file

from apps import finetune_text, train_mlm
from karpa_tf import cli
from karpa_tf.errors import UserError
from karpa_tf.models.bert import extract_encoder
from karpa_tf.tasks import masked_lm
from karpa_tf.training.pretrained_text import open_published

SIZES = {"num_layers": 2, "num_heads": 2, "hidden_dim": 8, "intermediate_dim": 12, "max_sequence_length": 16}
KINDS = {
    "bert": (keras_hub.models.BertBackbone, keras_hub.models.BertTokenizer, keras_hub.models.BertMaskedLM),
    "distilbert": (
        keras_hub.models.DistilBertBackbone,
        keras_hub.models.DistilBertTokenizer,
        keras_hub.models.DistilBertMaskedLM,
    ),
}


def save_preset(kind, folder, has_head=True):
    """Saves a preset with random weights, and returns the model and the tokenizer."""
    make_encoder, make_tokenizer, make_masked_lm = KINDS[kind]
    encoder = make_encoder(vocabulary_size=len(TOKENS), **SIZES)
    tokenizer = make_tokenizer(vocabulary=list(TOKENS), lowercase=True)
    model = make_masked_lm(backbone=encoder, preprocessor=None)
    rng = np.random.default_rng(0)
    for weight in model.weights:
        weight.assign(weight + 0.1 * rng.normal(size=weight.shape))
    (model if has_head else encoder).save_to_preset(folder)
    tokenizer.save_to_preset(folder)
    return model, tokenizer


@pytest.mark.parametrize(("kind", "has_head"), [("bert", True), ("bert", False), ("distilbert", True)])
def test_logits_and_tokens_are_those_of_keras_hub(kind, has_head, tmp_path):
    theirs, tokenizer = save_preset(kind, tmp_path / "preset", has_head)
    pretrained = open_published(str(tmp_path / "preset"))
    ours, is_complete = pretrained.load()
    assert is_complete == has_head
    encodings = pretrained.vocabulary.make_tokenizer().encode_batch(TEXTS[:3])
    assert [encoding.tokens for encoding in encodings] == [
        [tokenizer.id_to_token(i) for i in tokenizer(text)] for text in TEXTS[:3]
    ]
    rng = np.random.default_rng(1)
    tokens = rng.choice(pretrained.vocabulary.tokens, (3, 7))
    mask = np.arange(7) < np.array([[7], [4], [1]])
    ids = np.vectorize(pretrained.vocabulary.tokens.index)(tokens)
    batch = {"token_ids": ids, "padding_mask": mask, "mask_positions": np.tile(np.arange(7), (3, 1))}
    their_batch = batch | {"token_ids": np.vectorize(TOKENS.index)(tokens), "padding_mask": mask.astype(int)}
    if kind == "bert":
        batch["segment_ids"] = their_batch["segment_ids"] = np.zeros_like(ids)
    if has_head:
        rows = [TOKENS.index(token) for token in pretrained.vocabulary.tokens]
        result, expected = ours(batch), np.array(theirs(their_batch))[..., rows]
    else:
        batch.pop("mask_positions"), their_batch.pop("mask_positions")
        result, expected = extract_encoder(ours)(batch), np.array(theirs.backbone(their_batch)["sequence_output"])
    # KerasHub approximates GELU by a tanh.
    np.testing.assert_allclose(np.array(result)[mask], expected[mask], atol=3e-3)


@pytest.mark.slow
def test_a_preset_is_pretrained_further_fine_tuned_and_exported(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    save_preset("bert", "preset", has_head=False)
    Path("texts.tsv").write_text("".join(f"the {word} is on\t{word}\n" for word in ("cat", "mat") * 20))
    Path("text.txt").write_text("the black cat sits on the good mat.\n\n" * 60)

    def start(app, init, data, run):
        flags = ["--init", init, "--data", data, "--run", run, "--batch-size", "4", "--epochs", "1"]
        preset = ["adapt"] if app is train_mlm else []
        return app.run(cli.parse(app.PRESETS, "", args=[*preset, *flags, "--export-dir", "models"]))

    start(train_mlm, "preset", "text.txt", "adapted")
    said = capsys.readouterr()
    assert "no weights for mlm_head_dense, mlm_head_layer_norm, logits: these are new." in said.err
    assert "Sizes of --init preset: 2 layers of 8, learned positions, up to 16 tokens" in said.out
    for init in ("preset", "adapted"):
        run = start(finetune_text, init, "texts.tsv", f"tuned_{init}")
        serve = tf.saved_model.load(run.metadata()["saved_model"]).signatures["serving_default"]
        assert serve(text=tf.constant(["the cat is on"]))["scores"].shape == (1, 2)
        assert run.read_config()["model"]["num_segments"] == 2 and len(masked_lm.load_vocabulary(run)) == len(TOKENS)
    # It is found again elsewhere: the fingerprint is that of the file.
    Path("preset").rename("moved")
    start(finetune_text, "moved", "texts.tsv", "tuned_preset")
    assert "resumed after epoch 1" in capsys.readouterr().out


CONFIG = {
    "model_type": "bert",
    "hidden_size": 8,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 8,
    "type_vocab_size": 2,
    "max_position_embeddings": 16,
}


WORD_PIECE = {
    "model": {"type": "WordPiece", "vocab": {token: index for index, token in enumerate(TOKENS)}},
    "normalizer": {"type": "BertNormalizer", "lowercase": True, "strip_accents": None},
    "pre_tokenizer": {"type": "BertPreTokenizer"},
    "added_tokens": [{"content": "[MASK]"}],
}


def tokenizer(part=None, **changes):
    """Returns the text of a tokenizer.json in which a part, or the whole, has other entries."""
    return json.dumps(WORD_PIECE | ({part: WORD_PIECE[part] | changes} if part else changes))


@pytest.mark.parametrize(
    ("config", "files", "message"),
    [
        (None, {}, "holds no run, with config.yaml, and no model of Hugging Face or KerasHub, with config.json."),
        ([], {}, "and no model of Hugging Face or KerasHub, with config.json."),
        ({"model_type": "roberta"}, {}, "is of the kind roberta; expected bert or distilbert."),
        (
            {"model_type": "bert"},
            {"model.safetensors": ""},
            "config.json lacks sizes, or has wrong ones: KeyError('hid",
        ),
        (CONFIG | {"hidden_act": "relu"}, {}, "hidden_act is relu in config.json; expected gelu."),
        (
            CONFIG,
            {"pytorch_model.bin": ""},
            "has no model.safetensors; of a model in another format, save it anew with",
        ),
        (CONFIG, {}, "there is neither tokenizer.json nor vocab.txt."),
        (CONFIG, {"tokenizer.json": "{"}, "its tokenizer cannot be read: "),
        (CONFIG, {"tokenizer.json": "[]"}, "its tokenizer cannot be read: "),
        (
            CONFIG,
            {"tokenizer.json": '{"model": {"type": "BPE"}}'},
            "model.type is BPE in tokenizer.json; expected WordPiece",
        ),
        (
            CONFIG,
            {"tokenizer.json": tokenizer("model", vocab={"[PAD]": 0, "a": 2})},
            "the ids in tokenizer.json have gaps.",
        ),
        (
            CONFIG,
            {"tokenizer.json": tokenizer("normalizer", handle_chinese_chars=False)},
            "handle_chinese_chars is False in",
        ),
        (
            CONFIG,
            {"tokenizer.json": tokenizer("model", unk_token="<unk>")},
            "model.unk_token is <unk> in tokenizer.json",
        ),
        (
            CONFIG,
            {"tokenizer.json": tokenizer(added_tokens=[{"content": "covid"}])},
            "tokens that were added to the vocabulary, covid",
        ),
        (CONFIG, {"tokenizer.json": tokenizer(pre_tokenizer=None)}, "pre_tokenizer.type is None in tokenizer.json"),
        (CONFIG, {"vocab.txt": "[PAD]\na\n"}, "has no [UNK]"),
        (CONFIG, {"vocab.txt": "a", "tokenizer_config.json": '{"tokenize_chinese_chars": false}'}, "is not supported."),
    ],
)
def test_a_folder_that_is_no_bert_is_refused_with_the_reason(config, files, message, tmp_path):
    if config is not None:
        files = files | {"config.json": json.dumps(config)}
    if config == CONFIG and "pytorch_model.bin" not in files:
        files = files | {"model.safetensors": ""}
    for name, content in files.items():
        (tmp_path / name).write_text(content)
    with pytest.raises(UserError) as error:
        open_published(tmp_path)
    assert message in str(error.value) and str(tmp_path) in str(error.value)


def test_a_vocabulary_that_is_not_utf8_is_named(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps(CONFIG))
    (tmp_path / "model.safetensors").touch()
    (tmp_path / "vocab.txt").write_bytes(b"[PAD]\n\xe9\n")
    with pytest.raises(UserError, match="its tokenizer cannot be read: UnicodeDecodeError"):
        open_published(tmp_path)


def test_weights_that_are_missing_or_damaged_are_named(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps(CONFIG))
    (tmp_path / "vocab.txt").write_text("\n".join(TOKENS))
    (tmp_path / "model.safetensors").write_bytes(b"\0" * 20)
    with pytest.raises(UserError, match=r"model.safetensors cannot be read"):
        open_published(tmp_path).load()
    save_file(
        {"bert.embeddings.word_embeddings.weight": np.zeros((len(TOKENS), 8), np.float32)},
        tmp_path / "model.safetensors",
    )
    with pytest.raises(UserError, match=r"model.safetensors has no weights for position_embedding/embeddings"):
        open_published(tmp_path).load()
    embeddings = {"bert.embeddings.word_embeddings.weight": np.zeros((9, 8), np.float32)}
    save_file(embeddings, tmp_path / "model.safetensors")
    with pytest.raises(UserError, match=rf"model.safetensors has 9 tokens, and the vocabulary {len(TOKENS)}"):
        open_published(tmp_path).load()
    wide = {"bert.embeddings.word_embeddings.weight": np.zeros((len(TOKENS), 9), np.float32)}
    save_file(wide, tmp_path / "model.safetensors")
    with pytest.raises(UserError, match=r"has \(\d+, 9\) weights for token_embedding/embeddings; expected \(\d+, 8\)"):
        open_published(tmp_path).load()


def test_a_damaged_preset_is_an_error_and_its_head_is_part_of_what_identifies_it(tmp_path):
    save_preset("bert", tmp_path / "preset")
    folder = str(tmp_path / "preset")
    metadata = open_published(folder).metadata()
    head = tmp_path / "preset" / "task.weights.h5"
    head.write_bytes(head.read_bytes() + b"0")
    assert open_published(folder).metadata() != metadata
    weights = tmp_path / "preset" / "model.weights.h5"
    weights.write_bytes(weights.read_bytes()[:500])
    with pytest.raises(UserError, match="preset cannot be loaded: "):
        open_published(folder).load()


def test_a_name_without_a_network_says_what_to_download(monkeypatch):
    def fail(*args, **kwargs):
        raise ConnectionError("no route\nto the host")

    monkeypatch.setattr(keras_hub.models.Backbone, "from_preset", fail)
    with pytest.raises(
        UserError, match=r"bert_tiny_en_uncased cannot be loaded: no route to the host. Where there is a"
    ):
        open_published("bert_tiny_en_uncased")
    with pytest.raises(
        UserError, match=r"did you mean bert_tiny_en_uncased\? A model of Hugging Face must be in a folder"
    ):
        open_published("bert_tiny_uncased")
    with pytest.raises(UserError, match="hf download google-bert/bert-base-uncased --local-dir DIR"):
        open_published("google-bert/bert-base-uncased")
