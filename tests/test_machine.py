import os

import pytest

from tf_cosearch import machine

GIB = 2**30
HOST = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
CORES = len(os.sched_getaffinity(0))


def tree(root, own, files):
    """A file system with control groups, `own` as /proc tells of them."""
    for name, content in {"proc/self/cgroup": own, **files}.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    return root


MEMORY = {
    "nothing": ("", {}, HOST),
    "version 2": (
        "0::/\n",
        {"sys/fs/cgroup/memory.max": f"{GIB // 2}\n"},
        GIB // 2,
    ),
    "no limit": ("0::/\n", {"sys/fs/cgroup/memory.max": "max\n"}, HOST),
    "nested, the outer one is smaller": (
        "0::/a/b\n",
        {
            "sys/fs/cgroup/a/b/memory.max": "max\n",
            "sys/fs/cgroup/a/memory.max": f"{GIB // 4}\n",
            "sys/fs/cgroup/memory.max": f"{GIB // 2}\n",
        },
        GIB // 4,
    ),
    "nested, the inner one is smaller": (
        "0::/a/b\n",
        {
            "sys/fs/cgroup/a/b/memory.max": f"{GIB // 8}\n",
            "sys/fs/cgroup/a/memory.max": f"{GIB // 4}\n",
        },
        GIB // 8,
    ),
    "throttled before": (
        "0::/\n",
        {
            "sys/fs/cgroup/memory.max": f"{GIB // 2}\n",
            "sys/fs/cgroup/memory.high": f"{GIB // 3}\n",
        },
        GIB // 3,
    ),
    "another group": ("0::/a\n", {"sys/fs/cgroup/b/memory.max": "1\n"}, HOST),
    "version 1": (
        "5:cpu,cpuacct:/x\n4:memory:/a/b\n",
        {
            "sys/fs/cgroup/memory/a/b/memory.limit_in_bytes": f"{GIB // 2}\n",
            "sys/fs/cgroup/memory/memory.limit_in_bytes": f"{2**63 - 4096}\n",
        },
        GIB // 2,
    ),
    "version 1, with the path of the host": (
        "4:memory:/docker/0123\n",
        {"sys/fs/cgroup/memory/memory.limit_in_bytes": f"{GIB // 2}\n"},
        GIB // 2,
    ),
    "more than there is": (
        "0::/\n",
        {"sys/fs/cgroup/memory.max": f"{2 * HOST}\n"},
        HOST,
    ),
    "damaged": (":\n\n0\n", {"sys/fs/cgroup/memory.max": "many\n"}, HOST),
}


@pytest.mark.parametrize("case", MEMORY)
def test_memory_is_the_least_limit_around(tmp_path, case):
    own, files, expected = MEMORY[case]
    assert machine.memory_bytes(tree(tmp_path, own, files)) == expected


@pytest.mark.parametrize(
    ("own", "files", "expected"),
    [
        ("", {}, CORES),
        ("0::/\n", {"sys/fs/cgroup/cpu.max": "100000 100000\n"}, 1),
        ("0::/\n", {"sys/fs/cgroup/cpu.max": "50000 100000\n"}, 1),
        ("0::/\n", {"sys/fs/cgroup/cpu.max": "max 100000\n"}, CORES),
        ("0::/\n", {"sys/fs/cgroup/cpu.max": "99900000 100000\n"}, CORES),
        ("0::/a\n", {"sys/fs/cgroup/cpu.max": "100000 100000\n"}, 1),
        (
            "3:cpu,cpuacct:/a\n",
            {
                "sys/fs/cgroup/cpu,cpuacct/a/cpu.cfs_quota_us": "100000\n",
                "sys/fs/cgroup/cpu,cpuacct/a/cpu.cfs_period_us": "100000\n",
            },
            1,
        ),
        (
            "3:cpu,cpuacct:/a\n",
            {
                "sys/fs/cgroup/cpu/a/cpu.cfs_quota_us": "-1\n",
                "sys/fs/cgroup/cpu/a/cpu.cfs_period_us": "100000\n",
            },
            CORES,
        ),
    ],
)
def test_cores_are_those_that_the_container_may_use(
    tmp_path, own, files, expected
):
    assert machine.cores(tree(tmp_path, own, files)) == expected


@pytest.mark.parametrize(
    ("given", "expected"),
    [("1", 1), ("7", 7), ("0", None), ("", None), ("4,2", None)],
)
def test_a_worker_uses_its_share(monkeypatch, given, expected):
    monkeypatch.setenv("OMP_NUM_THREADS", given)
    assert machine.threads() == (expected or machine.cores())
