/*
 * What a client is told of room (`df`): its share's size, use and free room, as the quota group of
 * its subvolume has them, in place of those of the pool and so of everybody in it.
 */
#include "real.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/btrfs.h>
#include <linux/magic.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/statvfs.h>
#include <sys/vfs.h>
#include <unistd.h>

enum { BYTES = 16 }; /* of a file system's id */
static const uint64_t LIMITED = BTRFS_QGROUP_LIMIT_MAX_RFER;

struct room {
    uint64_t flags, size, used, unwritten; /* the last: used, too, but not on the disk yet */
};

static int number_in(int folder, const char *name, uint64_t *number)
{
    char text[32] = "";
    int file = openat(folder, name, O_RDONLY | O_CLOEXEC);
    if (file < 0)
        return -1;
    ssize_t length = read(file, text, sizeof text - 1);
    close(file);
    if (length <= 0)
        return -1;
    *number = strtoull(text, NULL, 0);
    return 0;
}

/* The folder of the quota group of the subvolume that `share` is the root of. */
static int open_group(int share)
{
    struct btrfs_ioctl_get_subvol_info_args subvolume = { 0 };
    struct btrfs_ioctl_fs_info_args pool = { 0 };
    char path[128], id[2 * BYTES + 5], *at = id;
    if (ioctl(share, BTRFS_IOC_GET_SUBVOL_INFO, &subvolume) < 0 ||
        ioctl(share, BTRFS_IOC_FS_INFO, &pool) < 0)
        return -1;
    for (int place = 0; place < BYTES; place++) {
        const char *dash = place == 4 || place == 6 || place == 8 || place == 10 ? "-" : "";
        at += sprintf(at, "%s%02x", dash, pool.fsid[place]);
    }
    snprintf(path, sizeof path, "/sys/fs/btrfs/%s/qgroups/0_%llu", id,
             (unsigned long long)subvolume.treeid);
    return open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

static int room_of(const char *path, struct room *found)
{
    int share = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (share < 0)
        return -1;
    int group = open_group(share);
    close(share);
    if (group < 0)
        return -1;
    int failed = number_in(group, "limit_flags", &found->flags) ||
                 number_in(group, "max_referenced", &found->size) ||
                 number_in(group, "referenced", &found->used) ||
                 number_in(group, "rsv_data", &found->unwritten);
    close(group);
    found->used += found->unwritten;
    return failed ? -1 : 0;
}

int statvfs64(const char *path, struct statvfs64 *found)
{
    struct statfs64 kind;
    struct room room = { 0 };
    int result = REAL(statvfs64)(path, found);
    if (result || REAL(statfs64)(path, &kind) || kind.f_type != BTRFS_SUPER_MAGIC)
        return result;
    /* Where nothing is known, nothing is told: never what the pool has. */
    int is_limited = !room_of(path, &room) && room.flags & LIMITED;
    int is_writable = !(found->f_flag & ST_RDONLY); /* a snapshot is as large as what is in it */
    uint64_t size = is_limited && is_writable ? room.size : room.used;
    uint64_t free = size > room.used ? size - room.used : 0;
    found->f_blocks = size / found->f_frsize;
    found->f_bfree = found->f_bavail = free / found->f_frsize;
    return 0;
}
