"""Installs tf_cosearch; each dependency says what it is for."""

import pathlib
import re

import setuptools

ROOT = pathlib.Path(__file__).parent
VERSION = re.search(
    r'^__version__ = "(.+)"$',
    (ROOT / "tf_cosearch" / "__init__.py").read_text(),
    re.MULTILINE,
).group(1)

setuptools.setup(
    name="tf_cosearch",
    version=VERSION,
    description=(
        "Searches a neural network and its edge accelerator together, "
        "with KerasTuner and TensorFlow"
    ),
    long_description=(ROOT / "README.md").read_text(),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    python_requires=">=3.10",
    packages=[
        *setuptools.find_packages(include=["tf_cosearch", "tf_cosearch.*"]),
        "tf_cosearch.configs",
    ],
    package_dir={"tf_cosearch.configs": "configs"},
    package_data={
        "tf_cosearch": ["py.typed", "*.pyi"],
        "tf_cosearch.designs.page": ["page.*"],
        "tf_cosearch.configs": [
            "*/*.yaml",
            "*/*.flags",
            "*/*.csv",
            "cluster/*",
        ],
    },
    entry_points={"console_scripts": ["cosearch=tf_cosearch.commands:main"]},
    install_requires=[
        # tf_keras and TFMOT each pull in a TensorFlow of their own choice;
        # these ranges leave exactly one.
        "tensorflow>=2.21,<2.22",  # cost model, training, conversion
        "tf_keras>=2.21,<2.22",  # the Keras that TFMOT can quantize
        "keras>=3.12,<4",  # the Keras that users and KerasTuner speak
        "keras-tuner==1.4.8",  # the search loop and its oracles
        "tensorboard>=2.20",  # which KerasTuner's own tuners import
        "tensorflow-model-optimization>=0.8.1,<0.9",  # quantization-aware fit
        "ai-edge-litert>=2.0,<3",  # runs the int8 .tflite for its accuracy
        "absl-py>=1.2,<2",  # flags and logging of the tools
        "lazy_loader>=0.4",  # so that --help waits for no TensorFlow
        "numpy>=1.26",  # genomes, Pareto fronts
        "scipy>=1.11",  # sparse sums, fits, the normal distribution
        "moocore>=0.2",  # Pareto fronts and hypervolumes
        "pyyaml>=6.0",  # presets and search spaces
        "rich>=13",  # progress lines and tables
        "matplotlib>=3.8",  # pareto.png
        "plotly>=6",  # its plotly.min.js draws in report.html
        "scikit-learn>=1.4",  # Gaussian processes; the built-in digits images
        "threadpoolctl>=3",  # one core for small matrices
    ],
    extras_require={
        "tfds": ["tensorflow-datasets>=4.9"],  # --data=tfds:NAME
        "vela": ["ethos-u-vela==5.2.0"],  # --evaluator=vela
        "mlflow": [  # --track=mlflow
            "mlflow-skinny>=3",
            "sqlalchemy>=2",  # of stores in a file
            "alembic>=1",
        ],
        "optuna": ["optuna>=5,<6"],  # --track=optuna
        "wandb": ["wandb>=0.19"],  # --track=wandb
        "ray": ["ray>=2.50,<3"],  # --engine=ray
        "benchmark": [
            "optuna>=5,<6",  # rivals of benchmark_oracles.py
            "torch>=2",  # Optuna's Gaussian process
        ],
        "test": [
            "ipykernel>=6",  # the notebook
            "nbclient>=0.10",
            "optuna>=5,<6",
            "pytest>=8,<9.2",  # with 9.2 pytest-xdist 3.8 loses its groups
            "pytest-cov>=5",
            "pytest-xdist>=3",
            "hypothesis>=6",
            "kubernetes-validate>=1.34",  # schemas for configs/cluster
            "import-linter>=2",
            "mypy>=1.10",
            "ruff>=0.6",
            "setuptools",  # they and wheel build the wheel that is tested
            "wheel",
            "types-PyYAML",
        ],
        "dev": ["pyinstrument>=4"],  # profiles of a search
    },
    classifiers=[
        "License :: OSI Approved :: Apache Software License",
        "Programming Language :: Python :: 3",
        "Topic :: Scientific/Engineering :: Artificial Intelligence",
    ],
)
