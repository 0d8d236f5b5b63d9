"""The proxy beside its peers, in one run on one machine: `python -m benchmarks` (or `make bench`)."""
