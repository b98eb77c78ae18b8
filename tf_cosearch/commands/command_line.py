"""What commands share: flags, quiet logs, a line for an error, exit codes.

A command defines its flags on top and imports others of the package inside its
functions: a wrong flag is answered at once, not after the seconds that
TensorFlow takes.
"""

from __future__ import annotations

import atexit
import faulthandler
import logging as python_logging
import math
import os
import pathlib
import re
import signal
import sys
import tempfile
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NoReturn

from absl import app, flags, logging

if TYPE_CHECKING:
    import tf_cosearch as cs
    from tf_cosearch.tasks import Task
    from tf_cosearch.training import datasets

_INTERRUPTED = 130  # as shells have it: 128 and the number of SIGINT

# TensorFlow's C++ parts write these, whatever its log level.
_NOISE = re.compile(
    rb"WARNING: All log messages before absl::InitializeLog|"
    rb"[IWE]\d{4} [\d:.]+ +\d+ [^ ]+\.(cc|h):\d+\]|"
    rb"INFO: Created TensorFlow Lite|To enable the following instructions|"
    rb"fully_quantize: \d"
)
# What absl says of flags that must be given.
_NEEDS_VALUE = re.compile(
    r"flag --(?P<name>\w+)=None: .* must have a value other than None\."
)
_NEEDS_ONE = re.compile(
    r"flags .*: Exactly one of \((?P<names>.*)\) must have a value .*"
)
# What the package raises on purpose, with a message that stands for itself.
_EXPECTED = (
    ValueError,
    TypeError,
    OSError,
    RuntimeError,
    ImportError,
    FloatingPointError,
)

OF_SUPERNET = (
    "epochs",
    "learning_rate",
    "paths",
    "apart",
    "norms_apart",
    "shrink_stages",
    "shrink_keep",
)
"""Fields of `SupernetOptions`, each a flag."""

flags.DEFINE_bool("debug", False, "Show the traceback of an error.")
flags.disclaim_key_flags()  # what is defined below belongs to the command


def run(main: Callable[[], None], module: str, told: str) -> None:
    """Runs a command and exits.

    Args:
        main: Called without arguments once flags are parsed.
        module: Name of the module with its flags.
        told: What `--help` says before them.
    """

    def quiet_main(arguments: list[str]) -> None:
        if not os.environ.get("TF_COSEARCH_LOGS"):
            _quiet_logs()
        sys.unraisablehook = interrupt_again
        try:
            guard(main)
        except SystemExit as end:
            if end.code == _INTERRUPTED:
                # A second Ctrl-C, or the launcher's, would interrupt what
                # Python does at exit, which prints tracebacks.
                signal.signal(signal.SIGINT, signal.SIG_IGN)
            raise

    # What absl's --help prints: this docstring, and flags of this "module".
    sys.modules["__main__"].__doc__ = told
    for flag in [
        *flags.FLAGS.get_key_flags_for_module(module),
        flags.FLAGS["debug"],
    ]:
        flags.FLAGS.register_key_flag_for_module(sys.argv[0], flag)
    app.run(quiet_main, flags_parser=parse)


def interrupt_again(ignored: sys.UnraisableHookArgs) -> None:
    """Repeats a Ctrl-C that Python ignores.

    It does so where a destructor or the callback of a weak reference is at
    work, of which there are many when a network is thrown away.

    Args:
        ignored: What `sys.unraisablehook` is given.
    """
    if ignored.exc_type is not KeyboardInterrupt:
        sys.__unraisablehook__(ignored)
        return
    # From another thread and later, since here it would be ignored as well.
    later = threading.Timer(0.1, signal.raise_signal, [signal.SIGINT])
    later.daemon = True
    later.start()


def parse(arguments: list[str]) -> list[str]:
    """Parses the flags of a command, or exits with what is wrong with them.

    Args:
        arguments: The command line, the command first.

    Returns:
        What is left of it: the command.
    """
    try:
        rest = flags.FLAGS(_with_shipped_files(arguments))
    except SystemExit:  # --help, which absl takes for a failure
        sys.exit(0)
    except BrokenPipeError:
        _end_output()
    except (flags.Error, OSError, ValueError) as error:
        _fail(" ".join(map(_plain, str(error).splitlines())))
    except RecursionError:  # absl compares the name with all known ones
        _fail("Flags must be known. Received: one of a very long name.")
    if len(rest) > 1:
        _fail(
            "Arguments must be flags. Received: "
            f"{' '.join(rest[1:])}. See --help."
        )
    return rest


def _with_shipped_files(arguments: list[str]) -> list[str]:
    """With the path of each --flagfile that is a name of configs/searches."""
    paths = []
    for before, argument in zip(["", *arguments], arguments, strict=False):
        dashes, is_flag, name = argument.partition("flagfile=")
        if is_flag and dashes in ("-", "--"):
            paths.append(f"--flagfile={_flag_file(name)}")
        elif before in ("-flagfile", "--flagfile"):
            paths.append(_flag_file(argument))
        else:
            paths.append(argument)
    return paths


def _flag_file(name: str) -> str:
    from tf_cosearch import configuration

    path = os.path.expanduser(name)
    if os.path.exists(path) and not os.path.isdir(path):  # a pipe, too
        return name
    shipped = configuration.shipped("searches", "").glob("*.flags")
    known = {path.stem: os.fspath(path) for path in shipped}
    if name not in known:
        raise FileNotFoundError(
            f"--flagfile must be a file, or one of {', '.join(sorted(known))}. "
            f"Received: {name!r}, which does not exist."
        )
    return known[name]


def _plain(told: str) -> str:
    """What absl says of flags, where a flag must be given in plain words."""
    one = _NEEDS_VALUE.fullmatch(told)
    if one is not None:
        help_text = " ".join((flags.FLAGS[one["name"]].help or "").split())
        help_text = help_text.partition("; repeat this option")[0]
        return f"--{one['name']} must be given. Received: nothing. {help_text}"
    several = _NEEDS_ONE.fullmatch(told)
    if several is None:
        return " ".join(told.split()).removeprefix("ERROR:: ")
    names = several["names"].split(", ")
    given = [f"--{n}" for n in names if flags.FLAGS[n].value is not None]
    return (
        f"Exactly one of --{', --'.join(names)} must be given. Received: "
        f"{' and '.join(given) or 'none'}. See --help."
    )


def guard(main: Callable[[], None]) -> None:
    """Turns an error into a line and an exit code.

    Args:
        main: Called without arguments.
    """
    try:
        main()
        sys.stdout.flush()
    except KeyboardInterrupt as interrupt:
        if "TF_COSEARCH_SPOKEN_FOR" not in os.environ:  # else the chief says it
            print(f"\nStopped. {interrupt}".rstrip(), file=sys.stderr)
        sys.exit(_INTERRUPTED)
    except BrokenPipeError:
        _end_output()
    except Exception as error:
        if flags.FLAGS["debug"].value:
            raise
        message = _one_line(error)
        if not isinstance(error, _EXPECTED):
            message = f"{type(error).__name__}: {message} (--debug shows where)"
        _fail(message)


def define_positive(name: str, help_text: str) -> None:
    """Defines the flag of a number that must be positive if given.

    Args:
        name: Name of the flag.
        help_text: What `--help` says.
    """
    flags.DEFINE_float(name, None, help_text)
    flags.register_validator(
        name,
        lambda value: value is None or 0 < value < math.inf,
        message="must be a positive number",
    )


def define_training(epochs: int) -> None:
    """Defines the flags of a training.

    Args:
        epochs: How many there are by default.
    """
    flags.DEFINE_integer(
        "epochs", epochs, "Epochs to train, float and int8.", lower_bound=1
    )
    flags.DEFINE_integer(
        "qat_epochs",
        None,
        "How many of them are quantization-aware; about a quarter by default.",
        lower_bound=0,
    )
    flags.register_multi_flags_validator(
        ["epochs", "qat_epochs"],
        lambda given: (given["qat_epochs"] or 0) <= given["epochs"],
        message="--qat_epochs must be at most --epochs, which counts them in",
    )
    define_positive("learning_rate", "Where training starts.")
    define_steps()


def define_steps() -> None:
    """Defines the flags of what every training by steps has."""
    flags.DEFINE_integer("batch_size", 32, "Images a step.", lower_bound=1)
    flags.DEFINE_integer(
        "seed",
        0,
        "Makes it repeatable.",
        lower_bound=0,
        upper_bound=2**31 - 1,
    )


def define_supernet(prefix: str = "") -> list[str]:
    """Defines a flag for each of `SupernetOptions`.

    Args:
        prefix: Before the name of each, where others are called the same.

    Returns:
        Their names.
    """
    flags.DEFINE_integer(
        f"{prefix}epochs",
        None,
        "Epochs to train the weights that networks share.",
        lower_bound=1,
    )
    define_positive(f"{prefix}learning_rate", "Where their training starts.")
    flags.DEFINE_string(
        f"{prefix}paths",
        None,
        "Networks that share a step: uniform (one at random; if left out) or "
        "sandwich; in a search also reinforce or ppo, a controller, which "
        "learns to find what is searched.",
    )
    flags.DEFINE_list(
        f"{prefix}apart",
        None,
        "Settings of a block that nothing is shared over, such as "
        "block,kernel_size; none if empty, block if left out.",
    )
    flags.DEFINE_bool(
        f"{prefix}norms_apart",
        None,
        "Whether each width has normalisations of its own.",
    )
    flags.DEFINE_integer(
        f"{prefix}shrink_stages",
        None,
        "How often the space shrinks after the training, with some more "
        "epochs each time; never if left out.",
        lower_bound=0,
    )
    define_positive(
        f"{prefix}shrink_keep",
        "Share of the choices that stay; half if left out.",
    )
    return [f"{prefix}{name}" for name in OF_SUPERNET]


def supernet_options(prefix: str = "") -> cs.SupernetOptions:
    """What the flags of `define_supernet` ask for.

    Args:
        prefix: The same.

    Raises:
        ValueError: If one is not possible.
    """
    import tf_cosearch as cs

    given = {name: flags.FLAGS[f"{prefix}{name}"].value for name in OF_SUPERNET}
    return cs.SupernetOptions(
        **{name: value for name, value in given.items() if value is not None}
    )


def define_format(*formats: str) -> None:
    """Defines the flag of how a result is printed.

    Args:
        *formats: The possible ones; the first is the default.
    """
    flags.DEFINE_enum("format", formats[0], formats, "What to print.")


def define_data() -> None:
    """Defines the flags of a data set."""
    flags.DEFINE_string(
        "data",
        "digits",
        "digits, npz:FILE, idx:FOLDER, images:FOLDER, tfds:NAME, or what a "
        "task has, such as wav:FOLDER.",
    )
    flags.DEFINE_integer(
        "train_size",
        None,
        "How many of the training images to take; all if left out.",
        lower_bound=1,
    )
    flags.DEFINE_integer(
        "validation_size",
        None,
        "How many of the validation images to take; all if left out.",
        lower_bound=1,
    )


def define_task() -> None:
    """Defines the flag of what networks are for."""
    flags.DEFINE_string(
        "task",
        None,
        "What networks are for, such as segmentation; as --space says if left "
        "out.",
    )


def task_of_space() -> Task:
    """What networks are for, by --task or --space.

    Raises:
        ValueError: If there is no such task, or no such space.
    """
    from tf_cosearch.networks.spaces import template

    return template.task_of_space(flags.FLAGS.space, flags.FLAGS.task)


def define_image_divisor() -> None:
    """Defines the flag of what pixels are divided by."""
    define_positive(
        "divide",
        "What pixels are divided by, such as 255. If left out, a design gets "
        "them as in its training, and the network of a file as they are. If "
        "they are whole numbers, for a file it must be said.",
    )


def define_image_size() -> None:
    """Defines the flag of the size that images are brought to."""
    flags.DEFINE_list(
        "image_size",
        None,
        "Height,width to bring images:FOLDER and tfds:NAME to.",
    )
    flags.register_validator(
        "image_size",
        lambda size: (
            size is None
            or (len(size) == 2 and all(n.isdecimal() and int(n) for n in size))
        ),
        message="must be height,width in pixels",
    )


def define_evaluator() -> None:
    """Defines the flags of who says what a design costs."""
    flags.DEFINE_string(
        "evaluator",
        "analytic",
        "Who says what a design costs: analytic, pipeline, vela, litert_cpu or "
        "command.",
    )
    flags.DEFINE_multi_string(
        "evaluator_option",
        [],
        "NAME=VALUE for the evaluator, for example program='[python, "
        "measure.py]'; may be repeated.",
    )


def make_evaluator() -> cs.Evaluator:
    """Makes the evaluator that the flags of `define_evaluator` ask for.

    Raises:
        ValueError: If it is not known, or an option is not possible.
    """
    from tf_cosearch import measuring

    name = flags.FLAGS.evaluator
    return measuring.make(name, named_values("evaluator_option"))


def load_data(
    image_size: tuple[int, int] | None = None, task: Task | None = None
) -> datasets.Dataset:
    """Loads the data set that the flags of `define_data` ask for.

    Args:
        image_size: (height, width) that `images` and `tfds` resize to.
        task: What it is for; classification unless told.

    Returns:
        The data set.
    """
    from tf_cosearch.tasks import CLASSIFICATION
    from tf_cosearch.training import datasets

    return datasets.load(
        flags.FLAGS.data,
        image_size=image_size,
        train_size=flags.FLAGS.train_size,
        validation_size=flags.FLAGS.validation_size,
        task=task or CLASSIFICATION,
    )


def load_data_of_networks(task: Task | None = None) -> datasets.Dataset:
    """Loads the data set that networks of a space are to be made for.

    Args:
        task: What they are for; classification unless told.

    Returns:
        The data set, of the size that `define_image_size` asks for, checked.

    Raises:
        ValueError: If networks could not be trained on it.
    """
    from tf_cosearch.tasks import CLASSIFICATION
    from tf_cosearch.training import inputs

    given = flags.FLAGS.image_size
    size = given and (int(given[0]), int(given[1]))
    data = load_data(size, task)
    if size and data.input_shape[:2] != size:
        raise ValueError(
            "--image_size is for images:FOLDER and tfds:NAME. Received: "
            f"{flags.FLAGS.data}, whose images are {data.input_shape[:2]}. "
            "Leave it out, or resize the images."
        )
    for split, name in (
        (data.train, "training data"),
        (data.validation, "validation data"),
        (data.test, "test data"),
    ):
        inputs.check(
            *split, data.input_shape, data.classes, name, task or CLASSIFICATION
        )
    return data


def named_values(flag: str) -> dict[str, Any]:
    """Reads a flag of NAME=VALUE; values are YAML, as in configs.

    Args:
        flag: Its name, a multi_string.

    Raises:
        ValueError: If one is no such pair, or a name comes twice.
    """
    import yaml

    values = {}
    for text in flags.FLAGS[flag].value:
        name, separator, value = text.partition("=")
        if not separator or not name.isidentifier():
            raise ValueError(
                f"--{flag} must be NAME=VALUE. Received: {text!r}."
            )
        if name in values:
            raise ValueError(
                f"Each --{flag} must be given once. Received: {name} again, "
                f"{text!r}."
            )
        try:
            values[name] = yaml.safe_load(value)
        except yaml.YAMLError:
            raise ValueError(
                f"The value of --{flag} {name} must be a number, a word or a "
                f"[list]. Received: {value!r}."
            ) from None
    return values


def output_folder(path: str, flag: str = "--output_dir") -> pathlib.Path:
    """Makes a folder, if need be, and makes sure that it takes files.

    Args:
        path: What the flag says.
        flag: Which flag, for the message.

    Returns:
        Its absolute path.

    Raises:
        ValueError: If it is none, or nothing can be written there.
    """
    folder = pathlib.Path(path).absolute()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        raise ValueError(
            f"{flag} must be in a folder that can be written to. Received: "
            f"{path} ({error.strerror}). Choose another folder."
        ) from None
    return folder


def output_file(
    path: str, *endings: str, flag: str = "--output"
) -> pathlib.Path:
    """Makes the folder of a file, and makes sure that it takes files.

    Args:
        path: What the flag says.
        *endings: One of which the path must have.
        flag: Which flag, for the message.

    Returns:
        The path.

    Raises:
        ValueError: If it ends differently, or cannot be written.
    """
    file = pathlib.Path(path)
    if file.suffix not in endings or file.is_dir():
        raise ValueError(
            f"{flag} must be a file with the ending {', '.join(endings)}. "
            f"Received: {path}."
        )
    output_folder(os.fspath(file.parent), flag)
    return file


def output_picture(path: str, flag: str = "--output") -> pathlib.Path:
    """Makes the folder of a picture, see `output_file`.

    Args:
        path: What the flag says.
        flag: Which flag, for the message.

    Returns:
        The path.
    """
    return output_file(path, ".png", ".svg", ".pdf", flag=flag)


def _quiet_logs() -> None:
    """Leaves the warnings of the package, without time and line number."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    python_logging.getLogger("tensorflow").setLevel(python_logging.ERROR)
    logging.set_verbosity(logging.WARNING)
    logging.get_absl_handler().setFormatter(
        python_logging.Formatter("%(levelname)s: %(message)s")
    )
    _filter_stderr()


def _filter_stderr() -> None:
    """Drops the log lines of TensorFlow's C++ parts from standard error.

    What Python writes is none of them, and goes there without a detour, so
    that whoever asks `sys.stderr` is told whether it is a terminal.
    """
    terminal = os.dup(2)
    faulthandler.enable(terminal)
    sys.stderr = os.fdopen(
        terminal,
        "w",
        buffering=1,
        encoding=sys.stderr.encoding,
        errors="backslashreplace",
        closefd=False,
    )
    reader, writer = os.pipe()
    os.dup2(writer, 2)
    os.close(writer)

    def forward() -> None:
        with os.fdopen(reader, "rb", 0) as stream:
            for line in stream:
                if _NOISE.match(line):
                    continue
                if hasattr(sys.stderr, "rich_proxied_file"):
                    # There is a live view, above which it goes.
                    sys.stderr.write(line.decode(errors="backslashreplace"))
                else:
                    os.write(terminal, line)

    thread = threading.Thread(target=forward, daemon=True)
    thread.start()

    def restore() -> None:
        sys.stderr.flush()
        os.dup2(terminal, 2)  # Closes the pipe, so that the thread ends.
        thread.join(timeout=2)

    atexit.register(restore)


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__


def _end_output() -> NoReturn:
    """Ends where nobody reads any more: `| head` has seen enough."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    sys.exit(1)


def _fail(message: str) -> NoReturn:
    print(f"error: {message}", file=sys.stderr)
    sys.exit(1)
