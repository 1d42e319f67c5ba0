/* For which client each file of a share is open: see holders.c. */
#pragma once

#include <netinet/in.h>

#pragma GCC visibility push(hidden) /* none of NFS-Ganesha's own functions is taken for one of these */

/* What the calling thread opens from now on is for this client; for nobody: in6addr_any. */
void serve(const struct in6_addr *client);

/* The calling thread has opened a file of a share, or closes a descriptor of anything. */
void note_opened(int fd);
void note_closed(int fd);

#pragma GCC visibility pop
