"""The arithmetic of the benchmarks whose numbers stand in the documents."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch

from auricle.methods import create_method
from auricle.methods.cg_dmer import CgDmer
from auricle.simulate import cohort


def benchmark(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, Path(__file__).parents[2] / "benchmarks" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


class TestLabelsSaved:
    """Scratch reaches 60, 80 and 90 with 1, 10 and 100 % of the labels."""

    SHARES, SCRATCH = (0.01, 0.1, 1.0), (60.0, 80.0, 90.0)

    def saved(self, share: float, reached: float) -> str:
        return str(benchmark("label_efficiency").labels_saved(self.SHARES, self.SCRATCH, share, reached))

    def test_the_curve_is_read_on_a_logarithmic_axis(self) -> None:
        assert self.saved(0.01, 70.0) == f"{10**0.5:.1f} x fewer labels"
        assert self.saved(0.01, 80.0) == "10.0 x fewer labels"
        assert self.saved(0.1, 85.0) == f"{10**0.5:.1f} x fewer labels"

    def test_beyond_the_curve_there_is_a_bound(self) -> None:
        assert self.saved(0.1, 95.0).startswith("more than 10.0 x")
        assert self.saved(1.0, 95.0) == "scratch does not get there with as many"
        assert "less than 0.1 x" in self.saved(0.1, 50.0)

    def test_a_loss_is_not_called_a_saving(self) -> None:
        assert self.saved(1.0, 80.0) == "none: scratch is there with 10.0 x fewer"


class TestTwoParts:
    def test_a_part_of_an_equal_record_changes_no_drawing(self) -> None:
        module = benchmark("disentangling")
        torch.manual_seed(0)
        method = create_method("cg_dmer", "tiny").eval()
        assert isinstance(method, CgDmer)
        different = list(cohort(4, 1, ages="adults", rate_hz=100, seconds=2).recordings())
        for recordings, alike in ((different[:1] * 4, True), (different, False)):
            table = module.swaps(method, module.Asked(recordings, ["a"] * 4, {}, {}))
            assert {"hidden moments"} < set(table) <= {"hidden chest leads", "hidden limb leads", "hidden moments"}
            for errors in table.values():
                assert (errors["its own parts"] == errors["both of another"]) is alike

    def test_columns_of_a_part_are_told_from_the_others(self) -> None:
        module = benchmark("disentangling")
        truly = np.arange(60) % 2 == 0
        features = np.random.default_rng(0).normal(size=(60, 4)).astype(np.float32)
        features[:, 2:] += 3 * truly[:, None]
        asked = module.Asked([], [str(k) for k in range(60)], {"age": features[:, 3]}, {"cart": truly})
        by_part = {part: module.told(module.part_of(features, part), asked) for part in module.PARTS}
        assert by_part["specific"]["cart (AUROC)"] > 0.95 > 0.75 > by_part["shared"]["cart (AUROC)"]
        assert by_part["specific"]["age (R2)"] == pytest.approx(1, abs=0.05)
