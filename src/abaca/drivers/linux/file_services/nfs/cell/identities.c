/*
 * The wall between the clients of one server. NFS-Ganesha 4.3 believes whoever names a client or a
 * session, and both are numbers that count upwards; without Kerberos nothing else proves whose they
 * are. Here they belong to the source address that they were given to:
 *
 * - the number of a client, which is also in its sessions and states, becomes one that nobody has
 *   when it comes from another address, so that NFS-Ganesha itself answers that it does not know it;
 * - the name that a client gives itself is mixed with its address, so that nobody takes over another
 *   one's state by its name;
 * - no client is destroyed on demand: NFS-Ganesha would forget it and keep its locks. It goes with its
 *   lease, and then they go, too.
 *
 * Requests are read as they are received. A COMPOUND that cannot be read to its end as NFS-Ganesha
 * reads it ends its connection.
 */
#include "identities.h"

#include <arpa/inet.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#ifndef KEPT_SECONDS
#define KEPT_SECONDS 20 /* without a word from the client; its lease is ten */
#endif

enum {
    NFS = 100003,
    LAST_OPERATION = 58, /* what comes after one that is none is not carried out */
    OPEN = 18,
    LOCK = 12,
    EXCHANGE_ID = 42,
    SETCLIENTID = 35,
    OWNERS = 1 << 20,
    MOST = 1 << 21, /* bytes of anything in a request */
    NOBODY = 0xffffffff,
    MIXED = 16,
};

/*
 * What a request holds, word by word. `.` any word; `o` bytes, after their length; `a` words, after
 * their number; `s` a state, `S` a session, `c` a client, `D` one to be destroyed, `N` a client's name;
 * `{1:…|2:…|*:…}` what a word decides, `[…]` as often as a word says. Of the head: `k` a call, `P` the
 * program, `4` its version, `1` COMPOUND, `F` credentials, `M` the minor version, `#` the number of
 * operations; `@` the number of an operation.
 */
#define ATTRIBUTES "ao"
#define SECURITY "[{0:|1:.o..a|6:.oo}]"
#define CHANNEL "......a"
static const char HEAD[] = ".k.P41Fo.ooM#", OPERATION[] = "@";
static const char *const OPERATIONS[LAST_OPERATION + 1] = {
    [3] = ".", [4] = ".s", [5] = "...", [6] = "{3:..|4:..|5:o|*:}o" ATTRIBUTES, [7] = "c",
    [8] = "s", [9] = "a", [10] = "", [11] = "o", [12] = "......{0:s.|*:.s.co}", [13] = ".....co",
    [14] = "..s....", [15] = "o", [16] = "", [17] = ATTRIBUTES,
    [18] = "...co{1:{0:ao|1:ao|2:..|3:..ao}|*:}{0:o|1:.|2:so|3:o|4:|5:s|6:}", [19] = ".",
    [20] = "s.", [21] = "s...", [22] = "o", [23] = "", [24] = "", [25] = "s...", [26] = "......a",
    [27] = "", [28] = "o", [29] = "oo", [30] = "c", [31] = "", [32] = "", [33] = "o",
    [34] = "s" ATTRIBUTES, [35] = "..N.oo.", [36] = "c..", [37] = ATTRIBUTES, [38] = "s...o",
    [39] = "co", [40] = "." SECURITY, [41] = "S..", [42] = "..N.{0:|1:aa|2:aa[o][o]..}[oo...]",
    [43] = "c.." CHANNEL CHANNEL "." SECURITY, [44] = "S", [45] = "s", [47] = "......a",
    [48] = "......", [49] = ".....s{0:|*:..}{0:|*:...}.o", [50] = ".........s.",
    [51] = "...{1:....so|*:}", [52] = ".", [53] = "S....", [55] = "[s]", [57] = "D", [58] = ".",
};

/*
 * By the number of the client. One that is heard of keeps its place: numbers are given away by tens of
 * thousands a second, so another one soon asks for it, and gets the next.
 */
static struct owner {
    uint32_t number, heard_of; /* the second, of a clock that only goes on */
    struct in6_addr address;
} owners[OWNERS];
static const uint32_t kept = KEPT_SECONDS;
static uint32_t epoch; /* the upper half of every client's number, until NFS-Ganesha is restarted */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static uint32_t seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
    return now.tv_sec;
}

/* One whose number finds no place has to ask again: to the server it is a client that nobody knows. */
static void note_owner(uint64_t client, const struct in6_addr *address)
{
    uint32_t number = client, now = seconds();
    pthread_mutex_lock(&lock);
    epoch = client >> 32;
    struct owner *owner = &owners[number % OWNERS];
    if (!owner->number || owner->number == number || now - owner->heard_of >= kept)
        *owner = (struct owner){ number, now, *address };
    pthread_mutex_unlock(&lock);
}

/*
 * A number that this process has not given is left to NFS-Ganesha, which says what became of it. A
 * request speaks for one client: who names many in it keeps the place of one.
 */
static int is_foreign(struct reader *r, uint32_t of, uint32_t number,
                      const struct in6_addr *address)
{
    pthread_mutex_lock(&lock);
    struct owner *owner = &owners[number % OWNERS];
    int is_own = owner->number == number && !memcmp(&owner->address, address, sizeof *address);
    int found = epoch && of == epoch && !is_own;
    if (is_own && !r->has_spoken) {
        owner->heard_of = seconds();
        r->has_spoken = 1;
    }
    pthread_mutex_unlock(&lock);
    return found;
}

/* SipHash-2-4. */
static uint64_t rotated(uint64_t value, int by) { return value << by | value >> (64 - by); }

static void stir(uint64_t v[4], int rounds)
{
    while (rounds--) {
        v[0] += v[1], v[1] = rotated(v[1], 13) ^ v[0], v[0] = rotated(v[0], 32);
        v[2] += v[3], v[3] = rotated(v[3], 16) ^ v[2];
        v[0] += v[3], v[3] = rotated(v[3], 21) ^ v[0];
        v[2] += v[1], v[1] = rotated(v[1], 17) ^ v[2], v[2] = rotated(v[2], 32);
    }
}

static uint64_t siphash(const uint64_t key[2], const uint8_t *text, size_t length)
{
    uint64_t v[4] = { key[0] ^ 0x736f6d6570736575, key[1] ^ 0x646f72616e646f6d,
                      key[0] ^ 0x6c7967656e657261, key[1] ^ 0x7465646279746573 };
    uint64_t word, last = (uint64_t)length << 56;
    for (; length >= 8; text += 8, length -= 8) {
        memcpy(&word, text, 8);
        v[3] ^= word, stir(v, 2), v[0] ^= word;
    }
    for (size_t place = 0; place < length; place++)
        last |= (uint64_t)text[place] << 8 * place;
    v[3] ^= last, stir(v, 2), v[0] ^= last;
    v[2] ^= 0xff, stir(v, 4);
    return v[0] ^ v[1] ^ v[2] ^ v[3];
}

/*
 * Puts a hash of the whole name and the address in the place of the name's last bytes, as the server
 * shows names to nobody. The key is the server's, and stays over its restarts.
 */
static int mix(uint8_t *name, uint32_t length, const struct in6_addr *address)
{
    static const size_t most = 1024;
    const char *secret = getenv("ABACA_SECRET");
    uint8_t text[1024 + sizeof *address + 1];
    uint64_t key[2], hashes[2];
    if (!secret || strlen(secret) != 2 * MIXED || length > most)
        return -1;
    for (int half = 0; half < 2; half++) {
        char digits[MIXED + 1] = "";
        memcpy(digits, secret + half * MIXED, MIXED);
        key[half] = strtoull(digits, NULL, 16);
    }
    memcpy(text, name, length);
    memcpy(text + length, address, sizeof *address);
    for (int half = 0; half < 2; half++) {
        text[length + sizeof *address] = half;
        hashes[half] = siphash(key, text, length + sizeof *address + 1);
    }
    uint32_t replaced = length < MIXED ? length : MIXED;
    memcpy(name + length - replaced, hashes, replaced);
    return 0;
}

static int pass_over(struct reader *r) /* the rest of the request */
{
    r->at = NULL;
    return 0;
}

/* From inside braces or brackets, to behind what closes them. */
static const char *behind(const char *at)
{
    for (int depth = 1; depth; at++)
        depth += (*at == '{' || *at == '[') - (*at == '}' || *at == ']');
    return at;
}

static const char *branch(const char *at, uint32_t value)
{
    for (;;) {
        char *end = (char *)at + 1;
        int is_it = *at == '*' || strtoul(at, &end, 10) == value;
        if (is_it)
            return end + 1;
        int depth = 0;
        for (; depth || (*at != '|' && *at != '}'); at++)
            depth += (*at == '{') - (*at == '}');
        if (*at++ == '}')
            return NULL;
    }
}

/* To the next letter that takes a word. */
static void settle(struct reader *r)
{
    for (;;) {
        if (*r->at == '|')
            r->at = behind(r->at + 1);
        else if (*r->at == '}')
            r->at++;
        else if (*r->at == ']')
            r->at = --r->again ? r->loop : r->at + 1;
        else
            break;
    }
    if (!*r->at)
        r->at = r->operations ? OPERATION : NULL;
}

static int begin_operation(struct reader *r, uint32_t number)
{
    r->operations--;
    if (number < 3 || number > LAST_OPERATION)
        return pass_over(r);
    r->opens |= number == OPEN || number == LOCK;
    r->at = OPERATIONS[number];
    if (!r->at)
        return -1;
    settle(r);
    return 0;
}

/* A client, session or state of which a word came: `count` of them in all. */
static int take_identity(struct reader *r, int kind, uint32_t word, uint8_t *place,
                         const struct in6_addr *from)
{
    uint32_t count = kind == 'c' || kind == 'D' ? 2 : 4, first = kind == 's';
    r->words[r->had++] = word;
    if (r->had < count)
        return 0;
    r->had = 0;
    r->at++;
    /* In sessions and states the number lies as this machine has it in its memory. */
    uint32_t of = count == 2 ? r->words[0] : htonl(r->words[first + 1]);
    uint32_t number = count == 2 ? r->words[1] : htonl(r->words[first]);
    if (kind == 'D' || is_foreign(r, of, number, from)) {
        uint32_t nobody = NOBODY;
        if (!place)
            return -1;
        memcpy(place, &nobody, sizeof nobody);
    }
    settle(r);
    return 0;
}

/* One word of the request, which lies at `place`, or NULL when it came in pieces. */
static int take(struct reader *r, uint32_t word, uint8_t *place, const struct in6_addr *from)
{
    int kind = *r->at;
    if (word > MOST && strchr("oaN#[", kind))
        return -1;
    switch (kind) {
    case '@':
        return begin_operation(r, word);
    case 'c': case 'D': case 's': case 'S':
        return take_identity(r, kind, word, place, from);
    case '{':
        r->at = branch(r->at + 1, word);
        if (!r->at)
            return -1;
        settle(r);
        return 0;
    case '[':
        r->again = word;
        r->loop = r->at + 1;
        r->at = word ? r->loop : behind(r->loop);
        settle(r);
        return 0;
    case 'k': case 'P': case '4': case '1': case 'M':
        if (kind == 'k' ? word != 0 : kind == 'P' ? word != NFS : kind == '4' ? word != 4 :
            kind == '1' ? word != 1 : word > 1)
            return pass_over(r);
        break;
    case 'F':
        if (word > 1)
            return -1;
        break;
    case 'o':
        r->skipped = (word + 3) & ~3u;
        break;
    case 'a':
        r->skipped = 4 * word;
        break;
    case 'N':
        r->name = word;
        break;
    case '#':
        r->operations = word;
        break;
    }
    r->at++;
    settle(r);
    return 0;
}

void begin_request(struct reader *r)
{
    memset(r, 0, sizeof *r);
    r->at = HEAD;
}

int read_request(struct reader *r, uint8_t *bytes, size_t length, const struct in6_addr *from)
{
    while (length && r->at) {
        size_t step = 1;
        int wrong = 0;
        if (r->skipped) {
            step = length < r->skipped ? length : r->skipped;
            r->skipped -= step;
        } else if (r->name) {
            step = (r->name + 3) & ~3u;
            wrong = length < step || mix(bytes, r->name, from);
            r->name = 0;
        } else if (!r->pieces && length >= 4) {
            uint32_t word;
            memcpy(&word, bytes, step = sizeof word);
            wrong = take(r, ntohl(word), bytes, from);
        } else {
            r->word = r->word << 8 | *bytes;
            if (++r->pieces == 4) {
                r->pieces = 0;
                wrong = take(r, r->word, NULL, from);
            }
        }
        if (wrong)
            return -1;
        bytes += step;
        length -= step;
    }
    return 0;
}

/* In words: fragment, transaction, reply, accepted, verifier (2), success, status, tag, results. */
void read_answer(const uint8_t *bytes, size_t length, const struct in6_addr *to)
{
    enum { TAG = 8, AT_MOST = 64 };
    uint32_t words[AT_MOST];
    size_t count = length / 4 < AT_MOST ? length / 4 : AT_MOST;
    memcpy(words, bytes, 4 * count);
    for (size_t place = 0; place < count; place++)
        words[place] = ntohl(words[place]);
    if (count <= TAG || words[2] != 1 || words[3] || words[5] || words[6] || words[7] || words[TAG] > MOST)
        return;
    size_t results = TAG + 1 + (words[TAG] + 3) / 4;
    if (results + 5 > count || words[results + 2])
        return;
    if (words[results + 1] == EXCHANGE_ID || words[results + 1] == SETCLIENTID)
        note_owner((uint64_t)words[results + 3] << 32 | words[results + 4], to);
}
