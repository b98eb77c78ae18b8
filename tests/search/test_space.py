import keras
import numpy as np
import pytest

from tf_cosearch import accelerators, configuration
from tf_cosearch.accelerators.families.edge_tpu import EdgeTpu
from tf_cosearch.cost.model import estimate
from tf_cosearch.networks.spaces import effect
from tf_cosearch.networks.spaces.template import load_network
from tf_cosearch.networks.workload import pad, to_array
from tf_cosearch.search.space import SearchSpace


@pytest.fixture(scope="module")
def space():
    return SearchSpace.load("evolved", (32, 32, 1), 10)


@pytest.mark.parametrize("name", configuration.names("spaces"))
def test_genomes_and_values_are_one(name):
    space = SearchSpace.load(name)
    for genome in space.sample(np.random.default_rng(0), 50):
        values = space.values(genome)
        assert (space.genome(values) == genome).all()
        assert values.keys() == {p.name for p in space.parameters}


def test_canonical_is_idempotent_and_keeps_the_design(tmp_path):
    path = tmp_path / "deep.yaml"
    path.write_text(
        "input_shape: [8, 8, 1]\nclasses: 2\nstem: {filters: 8}\n"
        "stages: [{block: inverted_residual, filters: 8, per: block,\n"
        "          repeats: [1, 2, 3], kernel_size: [3, 5]}]\n"
    )
    space = SearchSpace.load(path)
    rng = np.random.default_rng(0)
    raw = rng.integers(0, space.choice_counts, (100, len(space.choice_counts)))
    canonical = space.canonical(raw)
    assert (canonical != raw).any()
    np.testing.assert_array_equal(space.canonical(canonical), canonical)
    for one, other in zip(raw[:20], canonical[:20], strict=True):
        assert space.decode(one).network == space.decode(other).network


def recorded(space, genome):
    """What layers and operations a network has, whatever their names."""
    genes = tuple(genome[: space.num_network_parameters].tolist())
    log = effect._Log()
    x = log.input(*space.network_space.input_shape)
    for block in space.network_space.decode(genes).blocks:
        x = block.apply(log, x)
    operations = [operation for _, operation, _ in log.calls]
    return to_array(log.layers()).tolist(), operations


def others(space, genome, place):
    """The genomes with each other choice at a place."""
    for choice in range(space.choice_counts[place]):
        other = genome.copy()
        other[place] = choice
        if choice != genome[place]:
            yield other


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=pytest.mark.slow)
        if name in ("hsconas", "evolved_mixed")  # of many choices
        else name
        for name in configuration.names("spaces")
    ],
)
def test_a_gene_counts_where_any_other_choice_is_another_network(name):
    space = SearchSpace.load(name)
    genomes = space.sample(np.random.default_rng(0), 6)
    for genome, decided in zip(genomes, space.decided(genomes), strict=True):
        network = recorded(space, genome)
        for place in range(space.num_network_parameters):
            assert decided[place] == any(
                recorded(space, other) != network
                for other in others(space, genome, place)
            ), space.parameters[place].name
    searched = space.choice_counts[space.num_network_parameters :] > 1
    assert (space.decided(genomes)[:, -searched.size :] == searched).all()


@pytest.mark.parametrize(
    ("per", "blocks"),
    [
        ("stage", "[conv_bn, inverted_residual]"),
        ("block", "[conv_bn, inverted_residual]"),
        ("block", "[skip, conv_bn, inverted_residual]"),
        ("block", "[inverted_residual, skip]"),
    ],
)
def test_genes_of_all_networks_count_where_they_matter(tmp_path, per, blocks):
    # Two of the widths round to one, as do two of the expansions.
    path = tmp_path / "small.yaml"
    path.write_text(
        "input_shape: [8, 8, 1]\nclasses: 2\nstem: {filters: 8}\n"
        f"stages: [{{block: {blocks}, filters: 8, per: {per},\n"
        "  width_multiplier: [0.5, 2, 1], repeats: [1, 2],\n"
        "  expansion: [2, 2.01, 3]}]\n"
    )
    space = SearchSpace.load(path)
    split = space.num_network_parameters
    counts = space.choice_counts[:split]
    raw = np.stack(np.unravel_index(np.arange(counts.prod()), counts), axis=1)
    genomes = np.zeros((len(raw), len(space.parameters)), np.int64)
    genomes[:, :split] = raw
    genomes = np.unique(space.canonical(genomes), axis=0)
    assert len(genomes) == space.num_networks
    for genome, decided in zip(genomes, space.decided(genomes), strict=True):
        network = recorded(space, genome)
        for place in range(split):
            assert decided[place] == any(
                recorded(space, other) != network
                for other in others(space, genome, place)
            ), (genome, space.parameters[place].name)
    width = [p.name for p in space.parameters].index("stage1/width_multiplier")
    assert space.decided(genomes)[:, width].all()


def test_batch_is_what_decode_describes(space):
    genomes = space.sample(np.random.default_rng(1), 16)
    together = estimate(*space.batch(genomes))
    for row, genome in enumerate(genomes):
        candidate = space.decode(genome)
        alone = estimate(
            pad([candidate.network.layers()]), candidate.accelerator
        )
        for name in ("latency_ms", "energy_mj", "area_mm2", "macs", "params"):
            one, other = getattr(alone, name)[0], getattr(together, name)[row]
            assert float(one) == pytest.approx(float(other), rel=1e-5), name


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"classes": 0}, "classes in digits must be.*Received: 0"),
        ({"input_shape": ()}, r"input_shape in digits must be.*\(\)"),
    ],
)
def test_what_is_empty_is_not_the_default(arguments, message):
    with pytest.raises(ValueError, match=message):
        SearchSpace.load("digits", **arguments)


def test_sizes_are_reported(space, num_chips):
    assert space.num_accelerators == num_chips
    assert space.size == space.num_networks * num_chips
    assert f"{num_chips:,} accelerators" in space.summary()


def test_hyperparameters_cover_the_space(space):
    hp = space.hyperparameters()
    assert {p.name for p in space.parameters} == set(hp.values)
    mixed = next(h for h in hp.space if h.name == "pe_memory/capacity_mib")
    assert mixed.values == [0.5, 1.0, 2.0, 3.0, 4.0]
    genome = space.genome(hp.values)
    assert space.decode(genome).network.classes == 10


def test_the_hardware_can_be_fixed_or_narrowed(num_chips):
    fixed = SearchSpace.load("digits", accelerator="edge_tpu_v3")
    assert fixed.num_accelerators == 1
    genome = fixed.sample(np.random.default_rng(0), 1)[0]
    assert fixed.decode(genome).accelerator.pe_array.lanes == 8
    narrow = SearchSpace.load(
        "digits", accelerator={"pe_array/rows": [2, 4], "process/node_nm": 32}
    )
    assert narrow.num_accelerators == num_chips // 5 * 2
    chip = narrow.decode(narrow.sample(np.random.default_rng(0), 1)[0])
    assert chip.accelerator.process.node_nm == 32
    _, chips = narrow.batch(narrow.sample(np.random.default_rng(0), 3))
    assert chips.process.node_nm.tolist() == [32, 32, 32]


def test_fingerprints_tell_spaces_apart():
    prints = {
        SearchSpace.load("digits").fingerprint,
        SearchSpace.load("digits", classes=11).fingerprint,
        SearchSpace.load("digits", (16, 16, 1)).fingerprint,
        SearchSpace.load("digits", accelerator="edge_tpu").fingerprint,
        SearchSpace.load("evolved").fingerprint,
    }
    assert len(prints) == 5
    again = SearchSpace.load("digits").fingerprint
    assert again in prints


@pytest.mark.parametrize(
    ("accelerator", "message"),
    [
        ("edge_tpu9", "Did you mean 'edge_tpu"),
        ({"pe_array/row": [1]}, "Did you mean 'pe_array/rows'"),
        ({"pe_array/rows": [0]}, "must lie in 1 to 1024"),
        ({"pe_array/rows": [2, 2]}, "list of different values"),
        ({"pe_array/rows": []}, "list of different values"),
    ],
)
def test_impossible_hardware_is_refused(accelerator, message):
    with pytest.raises(ValueError, match=message):
        SearchSpace.load("digits", accelerator=accelerator)


def test_values_outside_the_space_are_refused(space):
    values = space.values(space.sample(np.random.default_rng(0), 1)[0])
    with pytest.raises(ValueError, match="pe_array/rows must be one of"):
        space.genome({**values, "pe_array/rows": 3})


def test_a_space_file_may_say_what_hardware_to_search(tmp_path, num_chips):
    path = tmp_path / "mine.yaml"
    path.write_text(
        "input_shape: [8, 8, 1]\nclasses: 2\nstem: {filters: 8}\n"
        "stages: [{block: conv_bn, filters: [8, 16]}]\n"
        "accelerator: {pe_array/rows: [1, 2], pe_array/columns: 4}\n"
    )
    space = SearchSpace.load(path)
    assert space.num_networks == 2
    assert space.num_accelerators == num_chips // 5 // 5 * 2
    assert space.fixed == {"pe_array/columns": 4}
    path.write_text(path.read_text().replace("pe_array/rows", "pe_array/rwos"))
    with pytest.raises(ValueError, match="Did you mean 'pe_array/rows'"):
        SearchSpace.load(path)


def test_paths_of_accelerators_round_trip():
    chip = accelerators.default()
    assert accelerators.from_paths(accelerators.to_paths(chip)) == chip


@pytest.mark.parametrize("name", ["mobilenet_v2", "efficientnet_b0"])
def test_published_networks_are_part_of_their_space(name):
    space = SearchSpace.load(name, (64, 64, 3), 10)
    values = space.encode(load_network(name))
    chip = space.values(space.sample(np.random.default_rng(0), 1)[0])
    network = space.decode(space.genome({**chip, **values})).network
    published = load_network(name, (64, 64, 3), 10)
    assert network.layers() == published.layers()


@pytest.mark.parametrize("name", ["digits", "evolved", "mobilenet_v2"])
def test_encode_is_the_inverse_of_decode(name):
    space = SearchSpace.load(name)
    for genome in space.sample(np.random.default_rng(0), 10):
        network = space.decode(genome).network
        values = {**space.values(genome), **space.encode(network)}
        assert space.decode(space.genome(values)).network == network


def test_a_network_outside_the_space_is_refused():
    space = SearchSpace.load("mobilenet_v2")
    with pytest.raises(ValueError, match="whose stage2 the space does not"):
        space.encode(load_network("mobilenet_edgetpu"))
    with pytest.raises(ValueError, match="where the space has"):
        space.encode(load_network("efficientnet_b0"))


def dense(hp):
    return keras.Sequential(
        [
            keras.Input((16,)),
            keras.layers.Dense(hp.Int("units", 8, 64, step=8)),
            keras.layers.Dense(hp.Fixed("classes", 3)),
        ]
    )


def test_a_users_own_model_is_a_space_with_accelerators():
    space = SearchSpace.from_hypermodel(dense, {"pe_array/rows": [2, 4]})
    assert space.num_networks == 8
    assert space.name == "dense"
    assert "dense: 8 networks x" in space.summary()
    hp = space.hyperparameters()
    assert [type(e).__name__ for e in hp.space][:2] == ["Int", "Fixed"]
    values = {**hp.values, "units": 24, "pe_array/rows": 4}
    candidate = space.decode(space.genome(values))
    assert candidate.network.build().layers[0].units == 24
    assert candidate.accelerator.pe_array.rows == 4
    genomes = space.sample(np.random.default_rng(0), 8)
    together = estimate(*space.batch(genomes))
    for row, genome in enumerate(genomes):
        candidate = space.decode(genome)
        layers = [row for row in candidate.network.layers() if row.macs]
        assert float(together.macs[row]) == sum(la.macs for la in layers)
    fixed = SearchSpace.from_hypermodel(dense, "edge_tpu", name="mine")
    assert (fixed.num_accelerators, fixed.name) == (1, "mine")


def test_names_of_both_sides_must_differ():
    def rows(hp):
        hp.Int("pe_array/rows", 1, 2)
        return dense(hp)

    with pytest.raises(ValueError, match=r"other names.*pe_array/rows"):
        SearchSpace.from_hypermodel(rows)


def test_a_hyperparameter_called_chips_is_none_of_the_accelerator():
    def rows(hp):
        hp.Int("chips", 1, 4)
        return dense(hp)

    def last(hp):
        model = dense(hp)
        hp.Int("chips", 2, 4)
        return model

    for model in (rows, last):
        space = SearchSpace.from_hypermodel(model, "edge_tpu")
        assert space.most_chips == 1
        genomes = space.sample(np.random.default_rng(0), 3)
        counts = space.chips(genomes[:, space.num_network_parameters :])
        assert {name: each.tolist() for name, each in counts.items()} == {
            "own": [1, 1, 1]
        }


def test_an_accelerator_must_be_one_of_the_space():
    space = SearchSpace.load("digits", accelerator={"process/node_nm": 28})
    chip = accelerators.from_paths({"process/node_nm": 28, "pe_array/rows": 2})
    values = space.encode_accelerator(chip)
    assert values["pe_array/rows"] == 2
    assert values.keys() == {
        p.name for p in space.parameters[space.num_network_parameters :]
    }
    with pytest.raises(ValueError, match="whose process/node_nm is 22, where"):
        space.encode_accelerator(EdgeTpu())
