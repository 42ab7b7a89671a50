from sockwatch.kernel.sock_diag.lazy_package import run_lazily

run_lazily("pyroute2")  # by itself it imports all of its parts, in half the time of a command
