import csv
import pathlib

import numpy as np
import pytest

from tf_cosearch.accelerators import technology
from tf_cosearch.accelerators.technology import Constant, PowerLaw

TABLE = pathlib.Path(__file__).parent / "data" / "cacti_sram.csv"


def named(kind):
    return {k: v for k, v in vars(technology).items() if isinstance(v, kind)}


def test_every_constant_has_unit_and_source():
    constants = {**named(Constant), **named(PowerLaw)}
    assert len(constants) >= 11
    for name, constant in constants.items():
        assert constant.value > 0, name
        assert constant.unit, name
        assert len(constant.source) > 20, name


@pytest.mark.parametrize(
    ("law", "column", "worst"),
    [
        (technology.SRAM_READ, "read_nJ", 0.81),
        (technology.SRAM_WRITE, "write_nJ", 0.23),
        (technology.SRAM_AREA, "area_mm2", 0.53),
        (technology.SRAM_LEAKAGE, "leakage", 0.35),
    ],
)
def test_sram_laws_are_the_fit_of_the_cacti_table(law, column, worst):
    rows = list(csv.DictReader(TABLE.read_text().splitlines()))
    size, width, node = (
        np.array([float(row[name]) for row in rows])
        for name in ("size_kB", "width_B", "tech_nm")
    )
    if column == "leakage":
        value = np.array(
            [
                float(r["subthreshold_leak_mW"]) + float(r["gate_leak_mW"])
                for r in rows
            ]
        )
    else:
        value = np.array([float(row[column]) for row in rows])
        value = value * 1e3 / width if column.endswith("nJ") else value
    features = np.stack(
        [np.ones(len(rows)), np.log(size), np.log(width), np.log(node / 22)], 1
    )
    fit = np.linalg.lstsq(features, np.log(value), rcond=None)[0]
    expected = (law.value, law.capacity, law.width, law.node)
    assert (np.exp(fit[0]), *fit[1:]) == pytest.approx(expected, abs=1e-4)
    error = np.abs(law(size, width, node) / value - 1)
    assert np.median(error) < 0.14
    assert error.max() < worst


def test_mac_energy_is_horowitz_at_45_nm_and_tpuv4i_at_7():
    assert technology.mac_energy_pj(8, 8, 45) == pytest.approx(0.3)
    assert technology.mac_energy_pj(8, 8, 7) == pytest.approx(0.1, rel=0.01)
    assert technology.mac_energy_pj(4, 4, 45) == pytest.approx(0.15)
