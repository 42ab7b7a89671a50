"""Sockets with their reuse flags from the kernel's BPF iterators, without a compiler or a library.

Start at ``iterators.SocketIterators``; ``errors.BpfUnavailable`` says why it cannot be had.
"""
