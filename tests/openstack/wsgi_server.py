"""Serves `MODULE:application` on an inherited listening socket. Run by the Python of the OpenStack
environment, which has waitress.

wsgi_server.py MODULE FILE_DESCRIPTOR THREADS
"""

import importlib
import socket
import sys

module, descriptor, threads = sys.argv[1:]
sys.argv = ["wsgi"]  # what OpenStack's modules parse when they are imported
application = importlib.import_module(module).application

import waitress  # noqa: E402

waitress.serve(application, sockets=[socket.socket(fileno=int(descriptor))], threads=int(threads))
