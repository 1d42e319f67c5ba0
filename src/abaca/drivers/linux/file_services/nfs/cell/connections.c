/*
 * What a connection may keep of the server. NFS-Ganesha 4.3 has no bound of its own: it waits for
 * the rest of four bytes with a thread, believes any length of a request, and keeps answers in
 * memory for as long as nobody takes them. Here a connection that goes too far is ended; its client
 * may connect anew.
 *
 * Requests and answers are records of fragments: four bytes, of which the first bit says that it is
 * the last one and the others how long it is, then its bytes. NFS-Ganesha receives these four bytes
 * by the one call of recv() that waits for all of them, and sends answers one after the other.
 */
#include "real.h"

#include <errno.h>
#include <malloc.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum {
    MOST_FILES = 1 << 16,
    HEAD = 4,
    LONGEST = (1 << 20) + (1 << 16), /* of a request, in bytes: the largest WRITE, and what is around it */
    MOST_UNANSWERED = 16,            /* requests of one connection; as many as a session has slots */
    MOST_OF_ALL = 256,               /* of all connections, when each has more than a few */
    FEW = 1,
    HEAD_MS = 2000,    /* for the rest of the four bytes */
    ANSWERS_MS = 10000, /* in which a client takes something of its answers */
    STEP_MS = 16,
    TRIM_SECONDS = 10,
    KEPT = 32 << 20, /* bytes */
};
static const uint32_t IS_LAST = 1u << 31;

struct connection {
    uint32_t asked;         /* bytes of the request that is being received */
    atomic_int unanswered;  /* requests */
    atomic_uint taken;      /* answers that were sent whole, ever */
    uint32_t left;          /* bytes of the fragment that is being sent */
    uint8_t head[HEAD];     /* of the next one, as far as it was sent */
    uint8_t head_length;
    uint8_t is_last, is_client;
};
static struct connection connections[MOST_FILES];
static atomic_int unanswered_of_all;

static struct connection *connection_of(int fd)
{
    return fd >= 0 && fd < MOST_FILES && connections[fd].is_client ? &connections[fd] : NULL;
}

static int end(int fd)
{
    shutdown(fd, SHUT_RDWR);
    errno = ECONNRESET;
    return -1;
}

static void forget_requests(struct connection *c)
{
    atomic_fetch_sub(&unanswered_of_all, atomic_exchange(&c->unanswered, 0));
}

int accept(int fd, struct sockaddr *address, socklen_t *length)
{
    int made = REAL(accept)(fd, address, length);
    if (made >= MOST_FILES) {
        shutdown(made, SHUT_RDWR);
    } else if (made >= 0) {
        forget_requests(&connections[made]);
        memset(&connections[made], 0, sizeof(struct connection));
        connections[made].is_client = 1;
    }
    return made;
}

int close(int fd)
{
    struct connection *c = connection_of(fd);
    if (c) {
        c->is_client = 0;
        forget_requests(c);
    }
    return REAL(close)(fd);
}

/* Whether all of the four bytes are there, or the end of the connection. */
static int has_head(int fd)
{
    uint8_t peeked[HEAD];
    int all = HEAD, any = 1;
    struct pollfd wanted = { .fd = fd, .events = POLLIN };
    ssize_t there = REAL(recv)(fd, peeked, HEAD, MSG_PEEK | MSG_DONTWAIT);
    if (there <= 0 || there == HEAD)
        return 1;
    setsockopt(fd, SOL_SOCKET, SO_RCVLOWAT, &all, sizeof all);
    int found = poll(&wanted, 1, HEAD_MS);
    setsockopt(fd, SOL_SOCKET, SO_RCVLOWAT, &any, sizeof any);
    return found > 0;
}

static int has_room(struct connection *c)
{
    int own = atomic_load(&c->unanswered);
    return own < FEW || (own < MOST_UNANSWERED && atomic_load(&unanswered_of_all) < MOST_OF_ALL);
}

/*
 * Waits until enough of what it asked for was answered, and the answers taken. Not for a client that
 * has gone: NFS-Ganesha would wait for this thread with another one that does not sleep.
 */
static int is_answered(int fd, struct connection *c)
{
    struct pollfd gone = { .fd = fd, .events = POLLRDHUP };
    unsigned taken = atomic_load(&c->taken);
    int waited = 0, pause = 1;
    while (!has_room(c)) {
        if (poll(&gone, 1, pause) != 0)
            return 0;
        waited += pause;
        pause = pause < STEP_MS ? 2 * pause : STEP_MS;
        if (atomic_load(&c->taken) != taken) {
            taken = atomic_load(&c->taken);
            waited = 0;
        } else if (waited >= ANSWERS_MS) {
            return 0;
        }
    }
    return 1;
}

static ssize_t begin_fragment(int fd, struct connection *c, void *head, int flags)
{
    uint32_t announced;
    if (!has_head(fd) || (!c->asked && !is_answered(fd, c)))
        return end(fd);
    ssize_t length = REAL(recv)(fd, head, HEAD, flags);
    if (length != HEAD)
        return length;
    memcpy(&announced, head, HEAD);
    announced = ntohl(announced);
    if ((announced & ~IS_LAST) > LONGEST - c->asked)
        return end(fd);
    c->asked += announced & ~IS_LAST;
    if (announced & IS_LAST) {
        c->asked = 0;
        atomic_fetch_add(&c->unanswered, 1);
        atomic_fetch_add(&unanswered_of_all, 1);
    }
    return length;
}

ssize_t recv(int fd, void *to, size_t length, int flags)
{
    struct connection *c = connection_of(fd);
    if (c && length == HEAD && flags == MSG_WAITALL)
        return begin_fragment(fd, c, to, flags);
    return REAL(recv)(fd, to, length, flags);
}

static void answer_taken(struct connection *c)
{
    atomic_fetch_add(&c->taken, 1);
    if (atomic_load(&c->unanswered) > 0) {
        atomic_fetch_sub(&c->unanswered, 1);
        atomic_fetch_sub(&unanswered_of_all, 1);
    }
}

/* Follows the fragments in `length` bytes that were sent. */
static void follow(struct connection *c, const uint8_t *sent, size_t length)
{
    while (length) {
        if (c->left) {
            size_t skipped = length < c->left ? length : c->left;
            c->left -= skipped;
            sent += skipped;
            length -= skipped;
            if (!c->left && c->is_last)
                answer_taken(c);
            continue;
        }
        c->head[c->head_length++] = *sent++;
        length--;
        if (c->head_length == HEAD) {
            uint32_t head;
            memcpy(&head, c->head, HEAD);
            c->left = ntohl(head) & ~IS_LAST;
            c->is_last = !!(ntohl(head) & IS_LAST);
            c->head_length = 0;
        }
    }
}

static size_t length_of(const struct msghdr *message)
{
    size_t length = 0;
    for (size_t place = 0; place < message->msg_iovlen; place++)
        length += message->msg_iov[place].iov_len;
    return length;
}

/*
 * NFS-Ganesha keeps what cannot be sent at once. When the connection breaks then, it never lets go
 * of what it keeps, nor of the connection's descriptor. So this waits in its place, and what nobody
 * takes counts as sent; that the connection was ended is seen when it is received from.
 */
static ssize_t send_or_end(int fd, const struct msghdr *message, int flags)
{
    struct pollfd wanted = { .fd = fd, .events = POLLOUT };
    int is_full = 1;
    ssize_t sent = -1;
    while (sent < 0 && is_full) {
        sent = REAL(sendmsg)(fd, message, flags);
        is_full = sent < 0 && (errno == EAGAIN || errno == EWOULDBLOCK) &&
                  poll(&wanted, 1, ANSWERS_MS) > 0;
    }
    if (sent < 0) {
        end(fd);
        sent = length_of(message);
    }
    errno = 0; /* NFS-Ganesha looks there, whatever the call returns */
    return sent;
}

ssize_t sendmsg(int fd, const struct msghdr *message, int flags)
{
    struct connection *c = connection_of(fd);
    if (!c)
        return REAL(sendmsg)(fd, message, flags);
    ssize_t sent = send_or_end(fd, message, flags);
    size_t rest = sent;
    for (size_t place = 0; rest && place < message->msg_iovlen; place++) {
        size_t length = message->msg_iov[place].iov_len;
        length = length < rest ? length : rest;
        follow(c, message->msg_iov[place].iov_base, length);
        rest -= length;
    }
    return sent;
}

/*
 * What was freed goes back to the kernel: the C library keeps it, and one attack would leave the
 * process as large as it ever was.
 */
static void *trim(void *unused)
{
    struct timespec pause = { .tv_sec = TRIM_SECONDS };
    for (;;) {
        nanosleep(&pause, NULL);
        if (mallinfo2().fordblks > KEPT)
            malloc_trim(0);
    }
    return unused;
}

__attribute__((constructor)) static void start_trimming(void)
{
    pthread_t thread;
    sigset_t all, before;
    sigfillset(&all); /* signals are for NFS-Ganesha's own threads */
    pthread_sigmask(SIG_BLOCK, &all, &before);
    if (!pthread_create(&thread, NULL, trim, NULL))
        pthread_detach(thread);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
}
