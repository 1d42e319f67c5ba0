/* Whose clients, sessions and states a request names: see identities.c. */
#pragma once

#include <netinet/in.h>
#include <stddef.h>
#include <stdint.h>

/* How far a request was read; all zero before its first byte. */
struct reader {
    const char *at, *loop;                   /* in the description of what comes; NULL: no matter what */
    uint32_t again, operations;              /* times and operations that are still to come */
    uint32_t skipped, name;                  /* bytes that come next */
    uint32_t word, pieces;                   /* a word of which some bytes came */
    uint32_t words[4], had;                  /* of an identity */
    uint32_t has_spoken;                     /* for a client of its sender's */
    uint32_t opens;                          /* it may open a file for longer than the request lasts */
};

void begin_request(struct reader *r);

/* Reads on, and changes what names somebody else's; -1 when the connection has to end. */
int read_request(struct reader *r, uint8_t *bytes, size_t length, const struct in6_addr *from);

/* Notes to whom the number of a client is given. */
void read_answer(const uint8_t *bytes, size_t length, const struct in6_addr *to);
