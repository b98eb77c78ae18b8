r"""Asks Arm's compiler Vela what networks cost on Ethos-U.

    pip install -e '.[vela]'
    cosearch measure_ethos_u --output=ethos_u_networks.csv
    cosearch measure_ethos_u --output=ethos_u85_networks.csv \
        --rows=configs/measurements/ethos_u85_networks.csv

Networks are those of --rows, by default the ones of
configs/measurements/ethos_u_networks.csv, with random weights. Vela compresses
weights; trained ones come out smaller.
"""

from __future__ import annotations

from absl import flags

FLAGS = flags.FLAGS
flags.DEFINE_string("rows", None, "CSV of networks to measure again.")
flags.DEFINE_string("output", None, "CSV to write.", required=True)


def main() -> None:
    from tf_cosearch.benchmark import ethos_u

    print(ethos_u.measure(FLAGS.rows, FLAGS.output))
