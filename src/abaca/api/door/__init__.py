"""Between Granian and the WSGI application: what a request must be and have before it takes a
thread.

`application` is what Granian calls. A request's head becomes WSGI's environment (`environment`),
its body is read whole (`bodies`), its credentials are checked in places of their own (`checks`),
then it waits for one of a few threads (`threads`). `connections` ends those that only take room.
Nothing here knows what the requests are about.
"""
