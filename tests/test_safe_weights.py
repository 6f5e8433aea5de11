"""Old weights of towers: converted once, read without running anything, refused where they are more than tensors."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch

from auricle.errors import ConfigError
from auricle.safe_weights import safe_folder
from auricle.text import towers
from auricle.text.towers import embed_reports, load_tower

transformers = pytest.importorskip("transformers")
WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "sinus", "rhythm", "atrial", "fibrillation", "normal"]
TEXTS = ["sinus rhythm", "atrial fibrillation normal", "normal"]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache"


def write_tower(folder: Path, old: bool, prefix: str = "") -> Path:
    """A tower of one layer, whose weights are the same whichever way they lie."""
    folder.mkdir()
    (folder / "vocab.txt").write_text("\n".join(WORDS) + "\n")
    tokenizer = {"tokenizer_class": "BertTokenizer", "do_lower_case": True}
    (folder / "tokenizer_config.json").write_text(json.dumps(tokenizer))
    torch.manual_seed(0)
    config = transformers.BertConfig(
        vocab_size=len(WORDS), hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16
    )
    model = transformers.BertModel(config)
    if old:
        config.save_pretrained(folder)
        torch.save({prefix + key: tensor for key, tensor in model.state_dict().items()}, folder / "pytorch_model.bin")
    else:
        model.save_pretrained(folder)
    return folder


@pytest.mark.parametrize("prefix", ["", "bert."])
def test_old_weights_give_the_vectors_of_new_ones_and_are_converted_once(
    prefix: str, tmp_path: Path, cache: Path
) -> None:
    new = load_tower(str(write_tower(tmp_path / "new", old=False)))
    old_folder = write_tower(tmp_path / "old", old=True, prefix=prefix)
    old = load_tower(str(old_folder))
    np.testing.assert_allclose(old.embed(TEXTS), new.embed(TEXTS), atol=1e-6)
    (copy,) = (cache / "auricle" / "towers").iterdir()
    written = (copy / "model.safetensors").stat().st_mtime_ns
    np.testing.assert_array_equal(load_tower(str(old_folder)).embed(TEXTS), old.embed(TEXTS))
    assert (copy / "model.safetensors").stat().st_mtime_ns == written
    assert not list(old_folder.glob("*.safetensors")), "nothing is written beside somebody's weights"


def test_a_folder_with_safetensors_is_read_as_it_is(tmp_path: Path, cache: Path) -> None:
    folder = write_tower(tmp_path / "new", old=False)
    (folder / "pytorch_model.bin").write_bytes(b"never read")
    assert safe_folder(folder, "new") == folder
    assert not cache.exists()


class Runs:
    """Whoever unpickles this runs a command."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return (exec, ("raise SystemExit('it ran')",))


def test_more_than_tensors_is_refused_and_not_run(tmp_path: Path) -> None:
    folder = write_tower(tmp_path / "old", old=True)
    with (folder / "pytorch_model.bin").open("wb") as file:
        pickle.dump({"weight": Runs()}, file, protocol=2)
    with pytest.raises(ConfigError, match="holds more than tensors, or is damaged"):
        load_tower(str(folder))
    (folder / "pytorch_model.bin").write_bytes(b"PK\x03\x04 cut off")
    with pytest.raises(ConfigError, match="holds more than tensors, or is damaged"):
        load_tower(str(folder))


def test_weights_of_another_configuration_are_refused(tmp_path: Path) -> None:
    folder = write_tower(tmp_path / "old", old=True)
    tensors = torch.load(folder / "pytorch_model.bin", weights_only=True)
    tensors.pop("encoder.layer.0.output.dense.weight")
    torch.save(tensors, folder / "pytorch_model.bin")
    with pytest.raises(ConfigError, match="1 tensors missing"):
        load_tower(str(folder))


def test_a_cache_is_kept_while_reports_are_embedded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(towers, "_KEEP_S", -1.0)
    monkeypatch.setattr(towers, "_AT_A_TIME", 4)
    texts = [f"report number {number}" for number in range(10)]

    class Dies:
        name, width, left = "dies", 384, 2

        def embed(self, texts: list[str]) -> np.ndarray:
            if not self.left:
                raise KeyboardInterrupt
            self.left -= 1
            return load_tower("ngrams").embed(texts)

    with pytest.raises(KeyboardInterrupt):
        embed_reports(texts, Dies(), tmp_path / "text")
    asked: list[str] = []

    class GoesOn(Dies):
        left = 100

        def embed(self, texts: list[str]) -> np.ndarray:
            asked.extend(texts)
            return super().embed(texts)

    got = embed_reports(texts, GoesOn(), tmp_path / "text")
    assert len(asked) == 2, "the eight that were made are not made again"
    np.testing.assert_array_equal(got, load_tower("ngrams").embed(texts))
