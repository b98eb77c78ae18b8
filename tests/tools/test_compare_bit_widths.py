import pytest


def test_prints_and_draws_the_best_width_of_each_bandwidth(call, tmp_path):
    done = call(
        "compare_bit_widths",
        "--network=mobilenet_v2",
        "--bandwidth_gbs=4",
        f"--output={tmp_path / 'bits.png'}",
    )
    assert (done.code, done.err) == (0, "")
    head, unlimited, limited, wrote = done.out.splitlines()
    assert head.split("  ")[0] == "network"
    assert unlimited.split()[:4] == ["mobilenet_v2", "no", "limit", "2"]
    assert limited.split()[:3] == ["mobilenet_v2", "4", "2"]
    assert wrote == f"Wrote {tmp_path / 'bits.png'}."
    assert (tmp_path / "bits.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("flag", "message"),
    [
        ("--network=mobilenet_v9", "Did you mean 'mobilenet_v"),
        ("--area_mm2=0", "must be a positive number"),
        ("--area_mm2=0.0001", "must have room for a processing element"),
        ("--bandwidth_gbs=0", "0.001"),
        ("--output=bits.gif", "with the ending .png, .svg, .pdf"),
    ],
)
def test_wrong_flags_are_refused(call, tmp_path, flag, message):
    done = call(
        "compare_bit_widths",
        "--network=mobilenet_v2",
        f"--output={tmp_path / 'bits.png'}",
        flag,
    )
    assert message in done.message
    assert not any(tmp_path.iterdir())
