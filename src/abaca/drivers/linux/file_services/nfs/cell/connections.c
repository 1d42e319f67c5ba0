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
#include "holders.h"
#include "identities.h"
#include "reads.h"

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
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

enum {
    MOST_FILES = 1 << 16,
    HEAD = 4,
    LONGEST = (1 << 20) + (1 << 16), /* of a request, in bytes: the largest WRITE, and what is around it */
    MOST_UNANSWERED = 16,            /* requests of one connection; as many as a session has slots */
    MOST_OF_ALL = 128,               /* of all connections; beyond it each has one */
    HEAD_MS = 2000,    /* for the rest of the four bytes */
    ANSWERS_MS = 10000, /* in which a client takes something of its answers */
    STEP_MS = 16,
    MOST_READ = 2 << 20,       /* bytes of files in the answer to one request */
    LARGE = 1 << 16,           /* of a request, in bytes */
    MOST_RECEIVED = 256 << 20, /* of large requests that are not whole yet */
    TIDY_SECONDS = 10,         /* in which a large request comes on by as much as LARGE, or ends */
    KEPT = 32 << 20,           /* of freed memory */
};
static const uint32_t IS_LAST = 1u << 31;

struct connection {
    uint32_t asked;         /* bytes of the request that is being received, of all its fragments */
    uint32_t missing;       /* of them, of this fragment */
    atomic_uint reserved;   /* of MOST_RECEIVED */
    atomic_uint received;   /* bytes since the last look */
    atomic_uint looked_at;  /* whether the request was being received then */
    atomic_int unanswered;  /* requests */
    atomic_uint taken;      /* answers that were sent whole, ever */
    uint32_t left;          /* bytes of the fragment that is being sent */
    uint8_t head[HEAD];     /* of the next one, as far as it was sent */
    uint8_t head_length;
    uint8_t is_last, is_client, ends_request;
    struct in6_addr peer;
    struct reader reader; /* of the request that is being received */
};
static struct connection connections[MOST_FILES];
static atomic_int unanswered_of_all;
static atomic_uint received_of_all;

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

static void forget_received(struct connection *c)
{
    atomic_store(&c->looked_at, 0);
    atomic_fetch_sub(&received_of_all, atomic_exchange(&c->reserved, 0));
}

static void forget_requests(struct connection *c)
{
    forget_received(c);
    atomic_fetch_sub(&unanswered_of_all, atomic_exchange(&c->unanswered, 0));
}

/*
 * Whose connection it is; an address of version 4 as it is written in version 6. A link-local one is
 * another machine's on each network: the number of the interface stands where it has zeros.
 */
static struct in6_addr peer_of(int fd)
{
    union {
        struct sockaddr any;
        struct sockaddr_in ipv4;
        struct sockaddr_in6 ipv6;
    } peer = { 0 };
    socklen_t length = sizeof peer;
    struct in6_addr address = { 0 };
    if (getpeername(fd, &peer.any, &length))
        return address;
    if (peer.any.sa_family == AF_INET6) {
        address = peer.ipv6.sin6_addr;
        if (IN6_IS_ADDR_LINKLOCAL(&address))
            memcpy(address.s6_addr + 4, &peer.ipv6.sin6_scope_id, sizeof peer.ipv6.sin6_scope_id);
        return address;
    }
    memset(address.s6_addr + 10, 0xff, 2);
    memcpy(address.s6_addr + 12, &peer.ipv4.sin_addr, sizeof peer.ipv4.sin_addr);
    return address;
}

int accept(int fd, struct sockaddr *address, socklen_t *length)
{
    int made = REAL(accept)(fd, address, length);
    if (made >= MOST_FILES) {
        shutdown(made, SHUT_RDWR);
    } else if (made >= 0) {
        forget_requests(&connections[made]);
        memset(&connections[made], 0, sizeof(struct connection));
        connections[made].peer = peer_of(made);
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
    note_closed(fd);
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

static int has_room(struct connection *c, uint32_t length)
{
    int own = atomic_load(&c->unanswered);
    int may_ask = !own || (own < MOST_UNANSWERED && atomic_load(&unanswered_of_all) < MOST_OF_ALL);
    return may_ask && (length < LARGE || atomic_load(&received_of_all) + length <= MOST_RECEIVED);
}

/*
 * Waits until enough of what all asked for was received and answered, and the answers taken. Not for
 * a client that has gone: NFS-Ganesha would wait for this thread with another one that does not sleep.
 */
static int waits_for_room(int fd, struct connection *c, uint32_t length)
{
    struct pollfd gone = { .fd = fd, .events = POLLRDHUP };
    unsigned taken = atomic_load(&c->taken);
    int waited = 0, pause = 1;
    while (!has_room(c, length)) {
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

/*
 * One request may hold a hundred READs of a mebibyte, and the answer to it all of these. Clients send
 * one; those that ask for more at once are told to ask again later (NFS4ERR_DELAY). A request is
 * answered by the thread that received it.
 */
static _Thread_local uint64_t read_for_request;

int reads_too_much(uint64_t length)
{
    read_for_request += length;
    return read_for_request > MOST_READ;
}

ssize_t preadv64(int fd, const struct iovec *parts, int count, off64_t offset)
{
    uint64_t length = 0;
    for (int place = 0; place < count; place++)
        length += parts[place].iov_len;
    if (reads_too_much(length)) {
        errno = EAGAIN;
        return -1;
    }
    return REAL(preadv64)(fd, parts, count, offset);
}

static ssize_t begin_fragment(int fd, struct connection *c, void *head, int flags)
{
    uint32_t announced = 0;
    read_for_request = 0;
    if (!has_head(fd))
        return end(fd);
    ssize_t length = REAL(recv)(fd, head, HEAD, flags);
    if (length != HEAD)
        return length;
    memcpy(&announced, head, HEAD);
    announced = ntohl(announced);
    c->missing = announced & ~IS_LAST;
    c->ends_request = !!(announced & IS_LAST);
    if (c->missing > LONGEST - c->asked || !waits_for_room(fd, c, c->missing))
        return end(fd);
    if (!c->asked)
        begin_request(&c->reader);
    c->asked += c->missing;
    if (c->missing >= LARGE) {
        atomic_fetch_add(&c->reserved, c->missing);
        atomic_fetch_add(&received_of_all, c->missing);
    }
    return length;
}

static void received(struct connection *c, uint32_t length)
{
    atomic_fetch_add(&c->received, length);
    c->missing -= length < c->missing ? length : c->missing;
    if (c->missing || !c->ends_request)
        return;
    c->asked = 0;
    forget_received(c);
    atomic_fetch_add(&c->unanswered, 1);
    atomic_fetch_add(&unanswered_of_all, 1);
}

ssize_t recv(int fd, void *to, size_t length, int flags)
{
    struct connection *c = connection_of(fd);
    if (c && length == HEAD && flags == MSG_WAITALL)
        return begin_fragment(fd, c, to, flags);
    ssize_t found = REAL(recv)(fd, to, length, flags);
    if (c && found > 0 && read_request(&c->reader, to, found, &c->peer))
        return end(fd);
    serve(c && c->reader.opens ? &c->peer : &in6addr_any);
    if (c && found > 0)
        received(c, found);
    return found;
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

/* The beginning of an answer says whose number a client has, before the client knows it. */
static void look_at(const struct connection *c, const struct msghdr *message)
{
    uint8_t start[256];
    size_t length = 0;
    if (c->left || c->head_length)
        return;
    for (size_t place = 0; place < message->msg_iovlen && length < sizeof start; place++) {
        size_t part = message->msg_iov[place].iov_len;
        part = part < sizeof start - length ? part : sizeof start - length;
        memcpy(start + length, message->msg_iov[place].iov_base, part);
        length += part;
    }
    read_answer(start, length, &c->peer);
}

ssize_t sendmsg(int fd, const struct msghdr *message, int flags)
{
    struct connection *c = connection_of(fd);
    if (!c)
        return REAL(sendmsg)(fd, message, flags);
    look_at(c, message);
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

/* Ends connections that have begun a large request and do not go on with it. */
static void end_idle_requests(void)
{
    for (int fd = 0; fd < MOST_FILES; fd++) {
        struct connection *c = connection_of(fd);
        if (!c || !atomic_load(&c->reserved))
            continue;
        if (atomic_exchange(&c->looked_at, 1) && atomic_load(&c->received) < LARGE)
            shutdown(fd, SHUT_RDWR);
        atomic_store(&c->received, 0);
    }
}

/*
 * From time to time: idle requests end, and what was freed goes back to the kernel. The C library
 * would keep it, and one attack leave the process as large as it ever was.
 */
static void *tidy(void *unused)
{
    struct timespec pause = { .tv_sec = TIDY_SECONDS };
    for (;;) {
        nanosleep(&pause, NULL);
        end_idle_requests();
        if (mallinfo2().fordblks > KEPT)
            malloc_trim(0);
    }
    return unused;
}

__attribute__((constructor)) static void start_tidying(void)
{
    pthread_t thread;
    sigset_t all, before;
    sigfillset(&all); /* signals are for NFS-Ganesha's own threads */
    pthread_sigmask(SIG_BLOCK, &all, &before);
    if (!pthread_create(&thread, NULL, tidy, NULL))
        pthread_detach(thread);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
}
