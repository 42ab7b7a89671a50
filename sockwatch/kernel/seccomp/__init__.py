"""System calls handed to a supervisor before the kernel makes them: seccomp_unotify(2)."""
