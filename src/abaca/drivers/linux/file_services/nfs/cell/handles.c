/*
 * The wall between the shares of one pool: file handles that clients send.
 *
 * All shares and snapshots of a pool are subvolumes of one btrfs, and the kernel opens any inode of
 * any subvolume for a handle that names it; NFS-Ganesha 4.3 does not look at that part. Here the
 * number of the subvolume is taken out of every handle before a client sees it, and put in again,
 * as that of the mount which the handle is opened on, after it was seen that the client sent none.
 * So a client cannot even name another subvolume. What was opened is compared as well.
 *
 * If this library is not in force, the launcher's filter refuses every opening by handle: only the
 * call below carries its token, in the half of the third argument that the kernel does not read.
 */
#include "real.h"
#include "holders.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/btrfs.h>
#include <linux/btrfs_tree.h>
#include <linux/magic.h>
#include <stdint.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

#ifndef TOKEN
#error "TOKEN: the upper half of open_by_handle_at's third argument, as the launcher demands it"
#endif

/* btrfs makes handles of one type here: inode (8 bytes), subvolume (8), generation (4). */
enum { BTRFS_HANDLE = 0x4d, BTRFS_WITH_PARENT = 0x4f, SUBVOLUME_AT = 8, LENGTH = 20 };

static int refuse(int error)
{
    errno = error;
    return -1;
}

static int is_btrfs(const struct file_handle *handle)
{
    return handle->handle_type >= BTRFS_HANDLE && handle->handle_type <= BTRFS_WITH_PARENT;
}

/* The subvolume that an open folder belongs to; 0 when it belongs to none. */
static uint64_t subvolume_of(int fd)
{
    struct btrfs_ioctl_ino_lookup_args found = { .objectid = BTRFS_FIRST_FREE_OBJECTID };
    return ioctl(fd, BTRFS_IOC_INO_LOOKUP, &found) < 0 ? 0 : found.treeid;
}

int name_to_handle_at(int dir, const char *name, struct file_handle *handle, int *mount, int flags)
{
    int result = REAL(name_to_handle_at)(dir, name, handle, mount, flags);
    if (!result && is_btrfs(handle)) {
        if (handle->handle_type != BTRFS_HANDLE || handle->handle_bytes != LENGTH)
            return refuse(EOPNOTSUPP);
        memset(handle->f_handle + SUBVOLUME_AT, 0, sizeof(uint64_t));
    }
    return result;
}

/* Puts the subvolume of `mount` into a client's handle, where there must be none. */
static int translate(int mount, struct file_handle *handle)
{
    uint64_t subvolume;
    if (handle->handle_type != BTRFS_HANDLE || handle->handle_bytes != LENGTH)
        return refuse(ESTALE);
    memcpy(&subvolume, handle->f_handle + SUBVOLUME_AT, sizeof subvolume);
    if (subvolume || !(subvolume = subvolume_of(mount)))
        return refuse(ESTALE);
    memcpy(handle->f_handle + SUBVOLUME_AT, &subvolume, sizeof subvolume);
    return 0;
}

static int is_beneath(int fd, int mount)
{
    struct stat file, root;
    return !fstat(fd, &file) && !fstat(mount, &root) && file.st_dev == root.st_dev;
}

int open_by_handle_at(int mount, struct file_handle *given, int flags)
{
    union {
        struct file_handle handle;
        char room[sizeof(struct file_handle) + MAX_HANDLE_SZ];
    } own;
    if (given->handle_bytes > MAX_HANDLE_SZ)
        return refuse(EINVAL);
    memcpy(&own, given, sizeof *given + given->handle_bytes);
    if (is_btrfs(&own.handle) && translate(mount, &own.handle))
        return -1;
    /* Nothing is truncated before it was seen whose it is. */
    unsigned long token = (unsigned long)TOKEN << 32;
    long fd = syscall(SYS_open_by_handle_at, mount, &own.handle,
                      (unsigned)(flags & ~O_TRUNC) | token);
    if (fd < 0)
        return fd;
    if (!is_beneath(fd, mount)) {
        close(fd);
        return refuse(ESTALE);
    }
    if (flags & O_TRUNC && ftruncate(fd, 0)) {
        int error = errno;
        close(fd);
        return refuse(error);
    }
    note_opened(fd);
    return fd;
}

/*
 * The file system's id in a handle: made of the mount point's last name, the id of the share. So it
 * is another one for each share, and stays when the share's subvolume is exchanged (a revert).
 */
static uint64_t fnv1a(const char *text)
{
    uint64_t hash = 0xcbf29ce484222325;
    for (; *text; text++)
        hash = (hash ^ (unsigned char)*text) * 0x100000001b3;
    return hash;
}

int statfs64(const char *path, struct statfs64 *found)
{
    int result = REAL(statfs64)(path, found);
    const char *slash = strrchr(path, '/');
    if (!result && found->f_type == BTRFS_SUPER_MAGIC) {
        uint64_t id = fnv1a(slash ? slash + 1 : path);
        _Static_assert(sizeof found->f_fsid == sizeof id, "an id has 64 bits");
        memcpy(&found->f_fsid, &id, sizeof id);
    }
    return result;
}

/*
 * NFS-Ganesha loads its back ends so that they find their own symbols first (RTLD_DEEPBIND), and
 * would pass by everything here.
 */
void *dlopen(const char *path, int flags)
{
    if (path && (strstr(path, "/libfsalvfs.so") || strstr(path, "/libfsalceph.so")))
        flags &= ~RTLD_DEEPBIND;
    return REAL(dlopen)(path, flags);
}

static int is_vfs(void *caller)
{
    Dl_info object;
    return dladdr(caller, &object) && object.dli_fname && strstr(object.dli_fname, "/libfsalvfs.so");
}

/*
 * Handles of another kind ("dummies", for file systems without handles) overflow a buffer in
 * NFS-Ganesha 4.3 and abort it. Nothing here makes them. Its VFS back end calls this one for them
 * alone, before that happens.
 */
int stat64(const char *path, struct stat64 *found)
{
    if (is_vfs(__builtin_return_address(0)))
        return refuse(ESTALE);
    return REAL(stat64)(path, found);
}

/* The same overflow on any other way: nothing is copied, and the kernel refuses what was there. */
void *__memcpy_chk(void *to, const void *from, size_t length, size_t room)
{
    if (length <= room)
        return memcpy(to, from, length);
    if (!is_vfs(__builtin_return_address(0)))
        abort();
    return to;
}
