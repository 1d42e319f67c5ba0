/*
 * The system calls that NFS-Ganesha may make, from the moment that this library is loaded: a list
 * of what is allowed. Whatever is not on it answers as in a kernel that does not have it (ENOSYS),
 * so that a newer C library falls back to a call that is.
 *
 * No process is started (no execve, threads only), nothing is mounted, traced, loaded or put into
 * another namespace. Calls whose arguments decide are allowed for some of these only.
 */
#include "real.h"

#include <errno.h>
#include <linux/audit.h>
#include <linux/btrfs.h>
#include <linux/filter.h>
#include <linux/sched.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#if defined(__x86_64__)
#define ARCHITECTURE AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define ARCHITECTURE AUDIT_ARCH_AARCH64
#else
#error "the list of system calls was made for x86_64 and aarch64 only"
#endif

#define ANSWER(action) BPF_STMT(BPF_RET | BPF_K, action)
#define REFUSE(error) ANSWER(SECCOMP_RET_ERRNO | (error))
#define LOAD(field) BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, field))
#define IF_EQUAL(value, then, otherwise) \
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)(value), then, otherwise)

#define ALLOW_VALUE(value) IF_EQUAL(value, 0, 1), ANSWER(SECCOMP_RET_ALLOW)
#define ALLOW(name) ALLOW_VALUE(__NR_##name)
/* The `count` statements that follow look at the call's argument and must end in an answer. */
#define WITH_ARGUMENT(name, number, count) \
    IF_EQUAL(__NR_##name, 0, (count) + 1), LOAD(args[number])

/* What any of these would be a new namespace, in which this process would have every right. */
enum {
    NAMESPACES = CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWUSER |
                 CLONE_NEWPID | CLONE_NEWNET,
    SET_ANONYMOUS_NAME = 0x53564d41, /* newer C libraries name their memory */
};

static struct sock_filter program[] = {
    LOAD(arch), IF_EQUAL(ARCHITECTURE, 1, 0), ANSWER(SECCOMP_RET_KILL_PROCESS), LOAD(nr),

    /* most frequent first */
    ALLOW(futex), ALLOW(epoll_pwait), ALLOW(fstat), ALLOW(newfstatat), ALLOW(close),
    ALLOW(recvmsg), ALLOW(sendmsg), ALLOW(recvfrom), ALLOW(sendto), ALLOW(open_by_handle_at),
    ALLOW(name_to_handle_at), ALLOW(setfsuid), ALLOW(setfsgid), ALLOW(setresuid),
    ALLOW(setresgid), ALLOW(setgroups), ALLOW(clock_gettime), ALLOW(epoll_ctl),

    /* files */
    ALLOW(read), ALLOW(write), ALLOW(readv), ALLOW(writev), ALLOW(pread64), ALLOW(pwrite64),
    ALLOW(preadv), ALLOW(pwritev), ALLOW(preadv2), ALLOW(pwritev2), ALLOW(openat), ALLOW(lseek),
    ALLOW(statx), ALLOW(faccessat), ALLOW(faccessat2), ALLOW(readlinkat), ALLOW(getdents64),
    ALLOW(mkdirat), ALLOW(mknodat), ALLOW(unlinkat), ALLOW(renameat), ALLOW(renameat2),
    ALLOW(linkat), ALLOW(symlinkat), ALLOW(fchmod), ALLOW(fchmodat), ALLOW(fchown),
    ALLOW(fchownat), ALLOW(utimensat), ALLOW(truncate), ALLOW(ftruncate), ALLOW(fallocate),
    ALLOW(fsync), ALLOW(fdatasync), ALLOW(sync_file_range), ALLOW(fadvise64),
    ALLOW(copy_file_range), ALLOW(getxattr), ALLOW(lgetxattr), ALLOW(fgetxattr),
    ALLOW(setxattr), ALLOW(lsetxattr), ALLOW(fsetxattr), ALLOW(listxattr), ALLOW(llistxattr),
    ALLOW(flistxattr), ALLOW(removexattr), ALLOW(lremovexattr), ALLOW(fremovexattr),
    ALLOW(statfs), ALLOW(fstatfs), ALLOW(flock), ALLOW(fcntl), ALLOW(umask), ALLOW(getcwd),
    ALLOW(dup), ALLOW(dup3), ALLOW(pipe2), ALLOW(eventfd2),

    /* sockets */
    ALLOW(socketpair), ALLOW(bind), ALLOW(listen), ALLOW(accept), ALLOW(accept4), ALLOW(connect),
    ALLOW(getsockname), ALLOW(getpeername), ALLOW(getsockopt), ALLOW(setsockopt),
    ALLOW(shutdown), ALLOW(ppoll), ALLOW(pselect6), ALLOW(epoll_create1),
    WITH_ARGUMENT(socket, 0, 7), ALLOW_VALUE(AF_INET), ALLOW_VALUE(AF_INET6),
    ALLOW_VALUE(AF_UNIX), REFUSE(EAFNOSUPPORT),

    /* memory, threads, signals to itself */
    ALLOW(mmap), ALLOW(munmap), ALLOW(mprotect), ALLOW(mremap), ALLOW(madvise), ALLOW(brk),
    ALLOW(set_robust_list), ALLOW(get_robust_list), ALLOW(rseq), ALLOW(set_tid_address),
    ALLOW(membarrier), ALLOW(getcpu), ALLOW(gettid), ALLOW(getpid), ALLOW(getppid),
    ALLOW(tgkill), ALLOW(exit), ALLOW(exit_group), ALLOW(sched_yield), ALLOW(sched_getaffinity),
    ALLOW(restart_syscall), ALLOW(rt_sigaction), ALLOW(rt_sigprocmask), ALLOW(rt_sigreturn),
    ALLOW(rt_sigtimedwait), ALLOW(rt_sigsuspend), ALLOW(sigaltstack),
    WITH_ARGUMENT(clone, 0, 4),
    BPF_STMT(BPF_ALU | BPF_AND | BPF_K, (uint32_t)(CLONE_THREAD | NAMESPACES)),
    ALLOW_VALUE(CLONE_THREAD), REFUSE(EPERM),

    /* who and where it is, and the time */
    ALLOW(getuid), ALLOW(geteuid), ALLOW(getgid), ALLOW(getegid), ALLOW(getgroups),
    ALLOW(getresuid), ALLOW(getresgid), ALLOW(setuid), ALLOW(setgid), ALLOW(setreuid),
    ALLOW(setregid), ALLOW(capget), ALLOW(capset), ALLOW(uname), ALLOW(sysinfo),
    ALLOW(getrandom), ALLOW(getrusage), ALLOW(prlimit64), ALLOW(clock_getres),
    ALLOW(clock_nanosleep), ALLOW(nanosleep), ALLOW(gettimeofday),
    WITH_ARGUMENT(prctl, 0, 13), ALLOW_VALUE(PR_SET_NAME), ALLOW_VALUE(PR_GET_NAME),
    ALLOW_VALUE(PR_GET_DUMPABLE), ALLOW_VALUE(PR_SET_DUMPABLE), ALLOW_VALUE(PR_CAPBSET_READ),
    ALLOW_VALUE(SET_ANONYMOUS_NAME), REFUSE(EPERM),
    WITH_ARGUMENT(ioctl, 1, 13), ALLOW_VALUE(BTRFS_IOC_INO_LOOKUP),
    ALLOW_VALUE(BTRFS_IOC_GET_SUBVOL_INFO), ALLOW_VALUE(BTRFS_IOC_FS_INFO),
    ALLOW_VALUE(TCGETS), ALLOW_VALUE(FIONBIO), ALLOW_VALUE(FIONREAD), REFUSE(ENOTTY),

#if defined(__x86_64__) /* older forms that only this architecture has */
    ALLOW(open), ALLOW(stat), ALLOW(lstat), ALLOW(access), ALLOW(readlink), ALLOW(getdents),
    ALLOW(mkdir), ALLOW(rmdir), ALLOW(unlink), ALLOW(rename), ALLOW(link), ALLOW(symlink),
    ALLOW(mknod), ALLOW(chmod), ALLOW(chown), ALLOW(lchown), ALLOW(creat), ALLOW(dup2),
    ALLOW(pipe), ALLOW(poll), ALLOW(select), ALLOW(epoll_create), ALLOW(epoll_wait),
    ALLOW(time), ALLOW(getrlimit), ALLOW(setrlimit), ALLOW(arch_prctl),
#endif
    REFUSE(ENOSYS),
};

/* Runs before NFS-Ganesha's own first line. Without the filter there is no NFS server. */
__attribute__((constructor)) static void filter_calls(void)
{
    struct sock_fprog filter = { sizeof program / sizeof *program, program };
    if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter)) {
        static const char message[] = "abaca: the filter of system calls was refused\n";
        _exit(write(2, message, sizeof message - 1) < 0 ? 98 : 97);
    }
}
