"""What monitoring is told: a snapshot as families of metrics, and what reads them."""
