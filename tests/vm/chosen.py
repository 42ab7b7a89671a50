"""Which tests run on other kernels."""

from __future__ import annotations

from typing import Final

# What a kernel decides: the bind test, the tables, flags by BPF and by pidfd_getfd(2), holders,
# namespaces, failures, the lab.
WHOLE: Final = (
    "tests/bind/test_quirks.py",
    "tests/bind/test_pairs.py",
    "tests/bind/test_histories.py",
    "tests/bind/test_port_memory.py",
    "tests/bind/test_causes_real.py",
    "tests/kernel/test_states.py",
    "tests/kernel/test_flags.py",
    "tests/kernel/test_unlisted.py",
    "tests/kernel/test_counted_holders.py",
    "tests/kernel/bpf/test_iterators.py",
    "tests/kernel/bpf/test_netns_iterators.py",
    "tests/kernel/bpf/test_permissions.py",
    "tests/kernel/bpf/test_states.py",
    "tests/kernel/bpf/test_tasks.py",
    "tests/kernel/sock_diag",
    "tests/kernel/proc/test_holders.py",
    "tests/kernel/netns/test_catalogue.py",
    "tests/kernel/netns/test_handles.py",
    "tests/kernel/netns/test_one_pass.py",
    "tests/kernel/failures",
    "tests/watch/test_errnos.py",
    "tests/watch/test_servers.py",
    "tests/lab/test_scenarios.py::test_it_passes_on_a_sandbox_of_its_own",
)
# A minute's worth.
SHORT: Final = (
    "tests/bind/test_quirks.py",
    "tests/bind/test_pairs.py::test_a_sample_of_the_pairs[0]",
    "tests/bind/test_histories.py::test_histories_that_taught_us",
    "tests/kernel/test_flags.py",
    "tests/kernel/proc/test_holders.py",
)
# Emulated, a minute's test takes many, and the probe of paths starts too late to be waited for.
OPTIONS: Final = (
    "-q", "-n0", "-p", "no:cacheprovider", "-o", "timeout=1200", "--color=no",
    "-k", "not three_hundred_looks and not path_probe",
)  # fmt: skip
