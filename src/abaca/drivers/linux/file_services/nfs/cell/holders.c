/*
 * For which client each file of a share is open. A client whose access rule goes away may leave files
 * open, and with them locks; NFS-Ganesha keeps these for as long as the client renews its lease, and
 * tells nobody whose they are. So the worker reads it here, and sends such a client away until its
 * lease is over.
 *
 * The table is a file in memory by the name of NAME, which the worker finds among the descriptors of
 * the process: for each descriptor, by its number, 16 bytes, which are the address of the client whose
 * OPEN or LOCK opened it. Zeros: nothing of a share, or opened by NFS-Ganesha for its own use; after a
 * COMMIT, for example, it keeps a file open for which no client has anything open any more.
 */
#include "real.h"
#include "holders.h"

#include <fcntl.h>
#include <stdarg.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define NAME "abaca-holders"
enum { MOST_FILES = 1 << 16 };

static struct in6_addr *holders;
/* A request is worked on by the thread that received it. */
static _Thread_local struct in6_addr served;

/* Before the filter of system calls (calls.c), which has no place for what this takes. */
__attribute__((constructor(101))) static void make_table(void)
{
    size_t size = MOST_FILES * sizeof *holders;
    int fd = memfd_create(NAME, MFD_CLOEXEC);
    if (fd < 0 || ftruncate(fd, size))
        abort();
    holders = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (holders == MAP_FAILED)
        abort();
}

void serve(const struct in6_addr *client)
{
    served = *client;
}

static void note(int fd, const struct in6_addr *client)
{
    if (fd >= 0 && fd < MOST_FILES)
        memcpy(&holders[fd], client, sizeof *client);
}

void note_opened(int fd)
{
    note(fd, &served);
}

void note_closed(int fd)
{
    note(fd, &in6addr_any);
}

/* A file that is made is opened by its name. */
int openat64(int folder, const char *name, int flags, ...)
{
    va_list more;
    va_start(more, flags);
    mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(more, mode_t) : 0;
    va_end(more);
    int fd = REAL(openat64)(folder, name, flags, mode);
    note_opened(fd);
    return fd;
}

int __openat64_2(int folder, const char *name, int flags)
{
    return openat64(folder, name, flags);
}
