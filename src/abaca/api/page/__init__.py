"""The web page at /ui/: static files, a client of the same API (docs/adr/0097, 0098).

`serving` is all of it that runs here; the rest, below `static/`, runs in browsers.
"""
