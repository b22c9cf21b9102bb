"""Export the chats of many accounts with a Dask cluster: its workers fetch batches of accounts.

The workers need this package with the extra `dask`, and the output's folder at the same path. The accounts and their
tokens are sent to them through the scheduler: on a network, use TLS for the cluster.
"""

from plugchat_async._optional_extras import needing

with needing("dask", __name__):
    from plugchat_async.integrations.dask.export import fetch_many_dask

__all__ = ["fetch_many_dask"]
