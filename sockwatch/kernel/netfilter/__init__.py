"""NAT rules of a network namespace: nftables, and both kinds of iptables. Nothing is changed."""
