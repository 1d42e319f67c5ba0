/*
 * For shares in CephFS. NFS-Ganesha is then in the network namespace of the storage and listens in
 * that of its clients, by a socket that the launcher made there.
 *
 * Ceph's servers let the user of a share look up no other inode, and no object of another share;
 * but a handle that names a snapshot is not looked at (Ceph 16.2: attributes of any inode of the
 * file system), and one of a file's "snapshot folder" aborts the client. Nobody here is given such
 * a handle, so all are refused. The proof asks with one.
 */
#include "real.h"
#include "reads.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdint.h>
#include <sys/socket.h>
#include <unistd.h>

enum { NFS_PORT = 2049 };
static const uint64_t NO_SNAPSHOT = (uint64_t)-2;

struct inode_number { /* vinodeno_t of libcephfs */
    uint64_t inode, snapshot;
};

/* NFS-Ganesha loads the client of Ceph itself, out of reach of REAL. */
static void *of_ceph(const char *name)
{
    void *library = dlopen("libcephfs.so.2", RTLD_LAZY | RTLD_NOLOAD);
    void *found = library ? dlsym(library, name) : NULL;
    if (!found)
        abort();
    return found;
}

int ceph_ll_lookup_vino(void *mount, struct inode_number number, void **found)
{
    static int (*real)(void *, struct inode_number, void **);
    if (number.snapshot != NO_SNAPSHOT)
        return -ESTALE;
    if (!real)
        real = of_ceph("ceph_ll_lookup_vino");
    return real(mount, number, found);
}

int ceph_ll_read(void *mount, void *file, int64_t offset, uint64_t length, char *to)
{
    static int (*real)(void *, void *, int64_t, uint64_t, char *);
    if (reads_too_much(length))
        return -EAGAIN;
    if (!real)
        real = of_ceph("ceph_ll_read");
    return real(mount, file, offset, length, to);
}

static int is_of_clients(const struct sockaddr *address)
{
    const struct sockaddr_in *ipv4 = (const void *)address;
    const struct sockaddr_in6 *ipv6 = (const void *)address;
    return (address->sa_family == AF_INET && ntohs(ipv4->sin_port) == NFS_PORT) ||
           (address->sa_family == AF_INET6 && ntohs(ipv6->sin6_port) == NFS_PORT);
}

int bind(int fd, const struct sockaddr *address, socklen_t length)
{
    const char *given = getenv("ABACA_LISTENER");
    if (!given || !is_of_clients(address))
        return REAL(bind)(fd, address, length);
    int status = fcntl(fd, F_GETFL), kept = 0;
    socklen_t size = sizeof kept;
    getsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &kept, &size);
    if (dup2(atoi(given), fd) < 0 || fcntl(fd, F_SETFL, status) ||
        setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &kept, sizeof kept))
        return -1;
    return 0;
}
