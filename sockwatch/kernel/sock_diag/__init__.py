"""The kernel's socket tables over netlink: transport, wire format, decoders by columns."""
