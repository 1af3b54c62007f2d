# nf4j: see `make help`.
