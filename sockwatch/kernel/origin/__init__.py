"""What processes belong to: units, containers, pods, sessions; by name where that can be read."""

from sockwatch.kernel.origin.names import by_conmon, of_cgroups, of_process
from sockwatch.kernel.origin.paths import of_cgroup

__all__ = ["by_conmon", "of_cgroup", "of_cgroups", "of_process"]
