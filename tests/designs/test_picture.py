import itertools
import struct

import pytest
from matplotlib.figure import Figure

from tf_cosearch.designs import picture


def trial(number, accuracy, latency_ms, **changes):
    return {
        "trial_id": str(number),
        "reward": accuracy,
        "accuracy_int8": accuracy,
        "latency_ms": latency_ms,
        "energy_mj": latency_ms / 5,
        "area_mm2": 4.0 + number,
        **changes,
    }


THREE = [trial(0, 0.8, 2e-4), trial(1, 0.95, 8e-4), trial(2, 0.7, 5e-4)]


@pytest.fixture
def draw(tmp_path, monkeypatch):
    """Draws trials and gives the figure as it was saved."""
    figures = []
    save = Figure.savefig
    monkeypatch.setattr(
        Figure,
        "savefig",
        lambda self, path: (figures.append(self), save(self, path)),
    )

    def draw(trials, **options):
        path = tmp_path / "pareto.png"
        picture.plot_pareto(trials, path, **options)
        content = path.read_bytes()
        assert content.startswith(b"\x89PNG")
        assert struct.unpack(">II", content[16:24]) == (1200, 750)
        return figures[-1]

    return draw


def front(figure):
    (line,) = [
        line
        for line in figure.axes[0].lines
        if line.get_label() == "Pareto front"
    ]
    return [tuple(map(float, corner)) for corner in line.get_xydata()]


def labels(figure):
    return [text.get_text() for text in figure.legends[0].get_texts()]


def test_axes_say_their_unit_and_points_their_cost(draw):
    figure = draw(THREE, title="Designs")
    axes, colorbar = figure.axes
    assert axes.get_title() == "Designs"
    assert axes.get_xlabel() == "Latency (µs)"
    assert axes.get_ylabel() == "Accuracy of the int8 network (%)"
    assert colorbar.get_ylabel() == "Area (mm²)"
    points = axes.collections[0]
    assert points.get_offsets().tolist() == [
        pytest.approx(point) for point in [(0.2, 80), (0.8, 95), (0.5, 70)]
    ]
    assert points.get_array().tolist() == [4.0, 5.0, 6.0]


def test_the_front_is_drawn_and_goes_on_to_the_budget(draw):
    figure = draw(THREE, budget=1e-3)
    assert front(figure) == [
        pytest.approx(corner) for corner in [(0.2, 80), (0.8, 95), (1.0, 95)]
    ]
    assert labels(figure)[-1] == "budget"


def test_the_best_reward_is_marked_unless_told(draw):
    assert "chosen (trial 1)" in labels(draw(THREE))
    figure = draw(THREE, chosen="2")
    assert "chosen (trial 2)" in labels(figure)
    mark = figure.axes[0].collections[1].get_offsets().tolist()
    assert mark == [pytest.approx((0.5, 70))]


def test_other_costs_can_be_drawn(draw):
    figure = draw(THREE, x="energy_mj", color="latency_ms")
    assert figure.axes[0].get_xlabel() == "Energy (µJ)"
    assert figure.axes[1].get_ylabel() == "Latency (µs)"


@pytest.mark.parametrize(
    "trials",
    [THREE[:1], [trial(i, 0.8, 2e-4, area_mm2=4.0) for i in range(3)]],
    ids=["one", "equal"],
)
def test_a_single_point_is_a_picture_too(draw, trials):
    figure = draw(trials, budget=1e-3)
    assert front(figure)[-1] == pytest.approx((1.0, 80))
    assert figure.axes[0].get_xscale() == "linear"


def test_costs_far_apart_are_drawn_on_a_logarithmic_axis(draw):
    far = [trial(0, 0.8, 1e-3), trial(1, 0.9, 0.5)]
    assert draw(far).axes[0].get_xscale() == "log"
    # So is a budget far from all of them.
    assert draw(THREE, budget=0.1).axes[0].get_xscale() == "log"
    assert draw(THREE).axes[0].get_xscale() == "linear"


@pytest.mark.parametrize("count", [1, 3, 12])
def test_nothing_overlaps(draw, count):
    trials = [trial(i, 0.9 + i / 200, 1e-4 * (1 + i)) for i in range(count)]
    figure = draw(
        trials,
        budget=2e-3,
        title="Joint designs of the efficientnet_b0 space",
    )
    axes, colorbar = figure.axes
    renderer = figure.canvas.get_renderer()
    boxes = [
        figure.legends[0].get_window_extent(renderer),
        axes.xaxis.label.get_window_extent(renderer),
        axes.yaxis.label.get_window_extent(renderer),
        axes.title.get_window_extent(renderer),
        axes.get_window_extent(renderer),
        colorbar.get_tightbbox(renderer),
    ]
    for one, other in itertools.combinations(boxes, 2):
        assert not one.overlaps(other)
    for box in boxes:
        assert figure.bbox.containsx(box.x0)
        assert figure.bbox.containsx(box.x1)
        assert figure.bbox.containsy(box.y0)
        assert figure.bbox.containsy(box.y1)


def test_what_cannot_be_drawn_is_refused(tmp_path):
    path = tmp_path / "pareto.png"
    with pytest.raises(ValueError, match="must be a completed trial"):
        picture.plot_pareto([], path)
    with pytest.raises(ValueError, match="Did you mean 'latency_ms'"):
        picture.plot_pareto(THREE, path, x="latency")
    with pytest.raises(ValueError, match="Unknown metric to draw: 'power'"):
        picture.plot_pareto(THREE, path, color="power")
    with pytest.raises(ValueError, match="Unknown completed trial: '9'"):
        picture.plot_pareto(THREE, path, chosen="9")
    assert not path.exists()


def test_what_was_measured_is_led_to_from_what_was_predicted(draw):
    """In the unit of the axis; a trial that is known has no prediction."""
    trials = [
        trial(0, 0.8, 2e-3, latency_ms_predicted="0.003"),
        trial(1, 0.9, 4e-3, latency_ms_predicted=""),
    ]
    figure = draw(trials)
    assert "as predicted" in labels(figure)
    (dots,) = [
        each
        for each in figure.axes[0].collections
        if each.get_label() == "as predicted"
    ]
    assert dots.get_offsets()[0].tolist() == pytest.approx([3.0, 80.0])
    assert "as predicted" not in labels(draw(trials, x="energy_mj"))
    assert "as predicted" not in labels(draw(THREE))


def test_the_axis_is_called_as_the_score_is(draw):
    label = draw(THREE).axes[0].get_ylabel()
    assert label == "Accuracy of the int8 network (%)"
    label = draw(THREE, score="mean IoU").axes[0].get_ylabel()
    assert label == "Mean IoU of the int8 network (%)"
