"""What works with other libraries. Each needs an extra: `dask` and `cluster` the extra `dask`."""
