"""A raw NFSv4 client (4.0, 4.1, 4.2) for tests, as there is no kernel client here; it can do what
an honest client never would.

    with Client41(netns, "10.0.0.5") as client:          # or Client40; netns: where the client's
    sockets are made
        root = client.handle_of("/shares/…") file = client.open(root, "name", create=True)
        client.write(file, 0, b"data") client.run(putfh(b"forged"), getattr("size"))    # any
        COMPOUND; raises Nfs4Error client.link.send(b"half a req")                  # any bytes
        client.reconnect(); client.recover()             # what a Linux client does when its server
        came back

XDR, RPC and the operations without state are the product's
(`abaca.drivers.linux.file_services.nfs`); those with state are in `operations.py`.
"""
